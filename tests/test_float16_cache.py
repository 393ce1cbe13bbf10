"""`cache: {dtype: float16}`: half the size, levels rounded to float16, the same windows held in memory and streamed."""

import numpy as np
import pytest
from conftest import write_machine

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import blocks, records, spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache, preparing
from ganad_tf.cache.windows import Source, window_batches
from ganad_tf.errors import ConfigError
from ganad_tf.run import MachineRun

MELS, FRAMES = 16, 3


@pytest.fixture(scope="module")
def caches(tmp_path_factory):
    """The training clips of a machine in both types: the manifest and the log-mels of each, and the run."""
    folder = tmp_path_factory.mktemp("float16")
    write_machine(folder / "data", "fan", ids=("00",), n_train=3, n_test=0)
    return {dtype: run_of(folder, dtype) for dtype in ("float32", "float16")}


def run_of(folder, dtype, name=""):
    settings = {"dev_directory": str(folder / "data"), "cache_directory": str(folder / (name or dtype))}
    settings |= {"feature": {"n_mels": MELS, "frames": FRAMES}, "cache": {"dtype": dtype}}
    config = configuration.from_mapping(settings, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    run = MachineRun(config, listing, "dev")
    prepare_cache(run, "train")
    return run


def log_mels(run):
    cache = Cache(run, "train")
    return {entry.clip.name: log_mel for entry, log_mel in records.read(cache.path, cache.current().entries)}


def test_levels_are_rounded_to_float16_and_so_are_their_statistics(caches):
    exact, rounded = (log_mels(run) for run in caches.values())
    assert exact.keys() == rounded.keys()
    for name, expected in exact.items():
        assert rounded[name].dtype == np.float32
        np.testing.assert_array_equal(rounded[name], expected.astype(np.float16).astype(np.float32))
        assert not np.array_equal(rounded[name], expected)
    spectra = np.concatenate(list(rounded.values())).astype(np.float64)
    statistics = Cache(caches["float16"], "train").current().statistics
    np.testing.assert_allclose(statistics.mean, spectra.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, spectra.std(axis=0), rtol=1e-9)


def test_the_cache_is_half_as_large_and_another_one(caches):
    sizes = [sum(shard.size for shard in Cache(run, "train").current().shards) for run in caches.values()]
    assert 0.5 < sizes[1] / sizes[0] < 0.53
    assert len({Cache(run, "train").fingerprint for run in caches.values()}) == 2
    assert len({str(run.config.training_settings()) for run in caches.values()}) == 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_windows_are_the_same_from_memory_and_streamed(caches, dtype):
    cache = Cache(caches[dtype], "train")
    source = Source(spectra.of(cache), cache.current().entries, MELS, FRAMES, None)
    held, streamed = (
        np.concatenate(list(window_batches(source, batch_size=64, seed=None, memory_budget_mb=mb).as_numpy_iterator()))
        for mb in (100, 0)
    )
    assert held.shape == (source.n_windows, MELS * FRAMES)
    np.testing.assert_array_equal(held, streamed)


def test_blocks_of_other_processes_are_the_same_to_the_last_bit(caches, tmp_path):
    plain = caches["float16"]
    config = configuration.from_mapping(
        {**configuration.to_dict(plain.config), "cache_directory": str(tmp_path / "blocks")}, source="test"
    )
    run = MachineRun(config, plain.listing, "dev")
    steps = preparing(run, "train")
    missing = next(steps)
    made = list(blocks.of_clips(missing.block))
    for block in made:
        blocks.process(block)
    missing.take_over(made)
    assert next(steps, None) is None
    files = [{path.name: path.read_bytes() for path in Cache(one, "train").path.glob("*.*")} for one in (plain, run)]
    assert files[0] == files[1]


def test_values_that_are_no_levels_are_refused():
    settings = {"feature": {"kind": "pcen"}, "cache": {"dtype": "float16"}}
    with pytest.raises(ConfigError, match=r"expected `cache\.dtype: float32` with `feature\.kind: pcen`"):
        configuration.from_mapping(settings, source="test")
    with pytest.raises(ConfigError, match="dtype"):
        configuration.from_mapping({"cache": {"dtype": "int8"}}, source="test")
