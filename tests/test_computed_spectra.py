"""`cache: {dtype: none}`: no log-mels on the disk, and the same spectra, weights and scores as with `float32`."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import requests
from conftest import gate_takes, tone, write_machine, write_wav
from object_store import object_store
from processes import forked, kill_after

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import blocks, copies, extraction, spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache, preparing
from ganad_tf.cache.windows import Source, hold, window_batches
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import Normalizer
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.score import score_clips
from ganad_tf.training.train import train_detector

BUCKET = "computed"
MELS, FRAMES = 16, 3
KINDS = ("float32", "none")
SPLITS = ("train", "test")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    return write_machine(folder, "fan", ids=("00", "02"), n_train=6, n_test=2)


@pytest.fixture(scope="module", autouse=True)
def small_shards():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "CLIPS_PER_SHARD", 5)
        yield


@pytest.fixture(scope="module")
def pair(recordings, tmp_path_factory):
    """Runs whose caches are prepared, with `float32` and with `none`, and stay as they are."""
    return both(recordings, tmp_path_factory.mktemp("pair"))


def mapping_of(recordings, folder, dtype, **sections):
    settings = {f"{name}_directory": str(folder / dtype / name) for name in ("cache", "model", "result")}
    settings |= {"dev_directory": str(recordings), "cache": {"dtype": dtype}}
    settings["feature"] = {"n_mels": MELS, "frames": FRAMES, "standardize": True} | sections.pop("feature", {})
    return settings | sections


def run_of(recordings, folder, dtype, **sections):
    config = configuration.from_mapping(mapping_of(recordings, folder, dtype, **sections), source="test")
    (listing,) = datasets.list_clips(config, "dev")
    return MachineRun(config, listing, "dev")


def prepared(recordings, folder, dtype, splits=SPLITS, **sections):
    run = run_of(recordings, folder, dtype, **sections)
    for split in splits:
        prepare_cache(run, split)
    return run


def both(recordings, folder, **more):
    return [prepared(recordings, folder, dtype, **more) for dtype in KINDS]


def own_copy(recordings, folder):
    """The recordings in a folder where they may be changed."""
    for path in sorted(recordings.rglob("*.wav")):
        target = folder / path.relative_to(recordings)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    return folder


def log_mels(run, split="train"):
    cache = Cache(run, split)
    return {entry.clip.key: log_mel for entry, log_mel in spectra.read(cache, cache.current().entries)}


def in_cache(run, pattern="*"):
    return sorted(path.name for path in Path(run.config.cache_directory).rglob(pattern) if path.is_file())


def require_same(one, other):
    assert list(one) == list(other)  # also in the same order
    for name, log_mel in one.items():
        np.testing.assert_array_equal(log_mel, other[name])
        assert other[name].dtype == np.float32


def source_of(run, entries=None):
    cache = Cache(run, "train")
    current = cache.current()
    normalizer = Normalizer(current.statistics.mean, current.statistics.std)
    return Source(spectra.of(cache), entries or current.entries, run.config.feature.bands, FRAMES, normalizer)


def streamed(source, seed):
    dataset = window_batches(source, batch_size=64, seed=seed, memory_budget_mb=0)
    return np.concatenate(list(dataset.as_numpy_iterator()))


def test_the_cache_has_sums_alone_and_is_another_one(pair):
    kept, computed = pair
    assert len(in_cache(kept, "*.tfrecord")) == 5
    assert not in_cache(computed, "*.tfrecord")
    assert len(in_cache(computed, "*.sums")) == 5
    statistics = [Cache(run, "train").current().statistics for run in pair]
    assert statistics[0] == statistics[1]
    assert len({run.config.feature_fingerprint() for run in (kept, computed)}) == 2
    assert len({str(run.config.training_settings()) for run in (kept, computed)}) == 2
    before = {path: path.stat().st_mtime_ns for path in Cache(computed, "train").path.iterdir()}
    assert prepare_cache(computed, "train").n_kept == 12
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_spectra_are_the_same_read_and_streamed(pair):
    for split in SPLITS:
        require_same(*(log_mels(run, split) for run in pair))
    held = [hold(source_of(run)) for run in pair]
    np.testing.assert_array_equal(*(each.spectra.numpy() for each in held))
    np.testing.assert_array_equal(*(streamed(source_of(run), seed=1) for run in pair))
    some = [source_of(run, Cache(run, "train").current().entries[1::3]) for run in pair]
    np.testing.assert_array_equal(*(streamed(source, seed=None) for source in some))


@pytest.mark.slow
@pytest.mark.parametrize("long", [2**21, 16000])
@pytest.mark.parametrize("feature", [{}, {"kind": "pcen"}], ids=["log-mel", "pcen"])
def test_so_are_others_and_those_of_clips_that_count_as_long(recordings, tmp_path, monkeypatch, feature, long):
    """Such as PCEN, of which the same operations in another graph give other last digits."""
    monkeypatch.setattr(extraction, "LONG", long)
    data = own_copy(recordings, tmp_path / "data")
    for number in range(3):
        write_wav(data / "fan" / "train" / f"normal_id_00_{number:08d}.wav", tone(seconds=1.5 + number, seed=number))
    kept, computed = both(data, tmp_path, splits=["train"], feature=feature)
    require_same(log_mels(kept), log_mels(computed))
    for seed in (None, 1):
        np.testing.assert_array_equal(*(streamed(source_of(run), seed) for run in (kept, computed)))


def test_spectra_come_in_the_order_of_a_cache_that_grew(recordings, tmp_path):
    data = own_copy(recordings, tmp_path / "data")
    both(data, tmp_path, splits=["train"])
    for seconds in (2.0, 0.5):
        write_wav(data / "fan" / "train" / f"normal_id_00_9999999{seconds:.0f}.wav", tone(seconds=seconds))
    (data / "fan" / "train" / "normal_id_02_00000001.wav").unlink()  # of a shard with others
    kept, computed = both(data, tmp_path, splits=["train"])
    assert len(log_mels(kept)) == 13
    require_same(log_mels(kept), log_mels(computed))
    statistics = [Cache(run, "train").current().statistics for run in (kept, computed)]
    assert statistics[0] == statistics[1]


def test_what_was_prepared_is_not_computed_again_for_the_sums(recordings, tmp_path):
    """Its recordings, spoilt here behind the back of their size and time, have no influence any more."""
    data = own_copy(recordings, tmp_path / "data")
    run = prepared(data, tmp_path, "none", splits=["train"])
    for path in (data / "fan" / "train").iterdir():
        status = path.stat()
        path.write_bytes(bytes(status.st_size))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    write_wav(data / "fan" / "train" / "normal_id_00_99999999.wav", tone(seed=99))
    prepare_cache(run_of(data, tmp_path, "none"), "train")
    whole = own_copy(recordings, tmp_path / "whole")
    write_wav(whole / "fan" / "train" / "normal_id_00_99999999.wav", tone(seed=99))
    expected = Cache(prepared(whole, tmp_path / "other", "float32", splits=["train"]), "train").current()
    found = Cache(run_of(data, tmp_path, "none"), "train").load()
    assert found.statistics == expected.statistics
    assert run.config.feature_fingerprint() in found.shards[0].file


def weights_and_scores(run, folder, **sections):
    folders = {f"{name}_directory": str(folder / run.config.cache.dtype / name) for name in ("model", "result")}
    mapping = configuration.to_dict(run.config) | folders | sections
    run = run.with_config(configuration.from_mapping(mapping, source="test"))
    prepare_cache(run, "train")  # copies
    train_detector(run)
    directory = ModelDirectory.of(run)
    model, scorer = directory.load(), directory.load_scorer(run.config.scorer)
    return model.detector.get_weights(), scorer.train_scores, score_clips(run).scores


EVERYTHING = {
    "scorer": {"name": "density"},
    "augmentation": {"waveform": {"copies": 1, "gain_db": 6.0, "noise_snr_db": [0.0, 10.0]}},
    "recording_check": {"enabled": True},
}


@pytest.mark.parametrize("way", gate_takes(["in memory", "streamed", "in memory, everything"], "in memory"))
def test_weights_and_scores_are_those_of_float32_to_the_last_bit(pair, tmp_path, way):
    more, budget_mb = EVERYTHING if "everything" in way else {}, 0 if way == "streamed" else 64
    fit = {"epochs": 2, "batch_size": 32, "validation_split": 0.2, "memory_budget_mb": budget_mb, "verbose": 0}
    model = {"name": "DenseAE", "hidden": [8], "latent": 2}
    (weights, normal, scores), (others, other_normal, other_scores) = [
        weights_and_scores(run, tmp_path, fit=fit, model=model, **more) for run in pair
    ]
    for one, other in zip(weights, others, strict=True):
        np.testing.assert_array_equal(one, other)
    assert normal == other_normal
    assert len(scores) == 8
    assert {clip.key: float(score) for clip, score in scores.items()} == {
        clip.key: float(score) for clip, score in other_scores.items()
    }


@pytest.mark.slow
def test_augmented_copies_are_made_again_the_same(recordings, tmp_path):
    waveform = {"copies": 2, "pitch_semitones": 2.0, "speed": 0.2, "noise_snr_db": [0.0, 10.0]}
    sources = []
    for run in both(recordings, tmp_path, splits=["train"], augmentation={"waveform": waveform}):
        entries = Cache(run, "train").current().entries
        sources.append(copies.added(run, source_of(run, entries[:2]), entries))
    assert [len(source.entries) for source in sources] == [6, 6]
    require_same(*({entry.clip.key: log_mel for entry, log_mel in of.spectra.read(of.entries)} for of in sources))
    np.testing.assert_array_equal(*(streamed(source, seed=1) for source in sources))


CHANGES = {
    "longer": (lambda path: write_wav(path, tone(seconds=2)), "expected the recording that was prepared, but it has"),
    "cut off": (
        lambda path: os.truncate(path, 1000),
        r"expected the recording that was prepared, but it has changed\. Run `ganad prepare`",
    ),
    "touched": (os.utime, "expected the recording that was prepared, but it has changed"),
    "gone": (lambda path: path.unlink(), "expected the recording that was prepared.*No such file"),
}


@pytest.mark.parametrize("change", gate_takes(CHANGES, "longer"))
def test_a_recording_that_changes_meanwhile_ends_in_one_sentence(recordings, tmp_path, change):
    data = own_copy(recordings, tmp_path / "data")
    fit = {"epochs": 1, "verbose": 0, "validation_split": 0.0}
    model = {"name": "DenseAE", "hidden": [8], "latent": 2}
    run = prepared(data, tmp_path, "none", splits=["train"], fit=fit, model=model)
    name, (spoil, message) = "normal_id_02_00000003.wav", CHANGES[change]
    spoil(data / "fan" / "train" / name)
    streaming = dataclasses.replace(run.config, fit=dataclasses.replace(run.config.fit, memory_budget_mb=0))
    for changed in (run, run.with_config(streaming)):
        with pytest.raises(DataError, match=rf"{name}: {message}"):
            train_detector(changed)
        assert not ModelDirectory.of(changed).exists()
    cache = Cache(run_of(data, tmp_path, "none"), "train")
    if change == "touched":  # the contents are as before, which is found out when they are listed again
        assert len(cache.current().entries) == 12
    else:
        with pytest.raises(DataError, match="is stale: 1 clips.*Run `ganad prepare`"):
            cache.current()


def test_damaged_sums_are_found_and_their_clips_read_again(recordings, tmp_path):
    run = prepared(recordings, tmp_path, "none", splits=["train"])
    expected = Cache(run, "train").current()
    (Cache(run, "train").path / expected.shards[1].file).write_text("{}")
    with pytest.raises(DataError, match="corrupted"):
        Cache(run, "train").current()
    assert prepare_cache(run, "train").n_new == 5
    assert Cache(run, "train").current().statistics == expected.statistics


def test_another_dtype_prepares_anew_and_leaves_no_old_shards(recordings, tmp_path):
    for dtype, ending, other in (
        ("float32", "tfrecord", "sums"),
        ("none", "sums", "tfrecord"),
        ("float32", "tfrecord", "sums"),
    ):
        settings = mapping_of(recordings, tmp_path, dtype) | {"cache_directory": str(tmp_path / "one")}
        config = configuration.from_mapping(settings, source="test")
        (listing,) = datasets.list_clips(config, "dev")
        run = MachineRun(config, listing, "dev")
        with pytest.raises(DataError, match="there is none|other feature settings"):
            Cache(run, "train").current()
        assert prepare_cache(run, "train").n_new == 12
        assert len(in_cache(run, f"*.{ending}")) == 3
        assert not in_cache(run, f"*.{other}")


def test_blocks_of_other_processes_are_the_same_to_the_last_bit(recordings, tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "CLIPS_PER_BLOCK", 7)
    plain, run = prepared(recordings, tmp_path, "none", splits=["train"]), run_of(recordings, tmp_path / "b", "none")
    steps = preparing(run, "train")
    missing = next(steps)
    made = list(blocks.of_clips(missing.block))
    assert len(made) == 2
    for block in reversed(made):
        blocks.process(block)
    missing.take_over(made)
    assert next(steps, None) is None
    files = [{path.name: path.read_bytes() for path in Cache(one, "train").path.glob("*.*")} for one in (plain, run)]
    assert files[0] == files[1]
    assert len(files[0]) == 4


def prepare_in_small_shards(run):
    blocks.CLIPS_PER_SHARD = 5
    prepare_cache(run, "train")


def test_a_stopped_prepare_keeps_what_it_has_and_the_rest_follows(pair, recordings, tmp_path):
    run = run_of(recordings, tmp_path, "none")

    def stopped(clips, _):
        for number, clip in enumerate(clips):
            if number == 7:
                raise KeyboardInterrupt
            yield clip

    with pytest.raises(KeyboardInterrupt):
        prepare_cache(run, "train", progress=stopped)
    with pytest.raises(DataError, match="not finished"):
        Cache(run, "train").current()
    done = prepare_cache(run, "train")
    assert (done.n_kept, done.n_new) == (5, 7)
    assert Cache(run, "train").current().statistics == Cache(pair[1], "train").current().statistics


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 0.1, 0.3])
def test_a_killed_prepare_keeps_what_it_has_and_the_rest_follows(tmp_path, seconds):
    ids = tuple(f"{number:02d}" for number in range(6))
    data = write_machine(tmp_path / "data", "fan", ids=ids, n_train=10, n_test=0)
    run = run_of(data, tmp_path, "none")
    process, cache = forked(prepare_in_small_shards, run), Cache(run, "train")
    kill_after(process, cache.path / "manifest.json", seconds)
    if process.exitcode:
        with pytest.raises(DataError, match="not finished|there is none"):
            cache.current()
        kept = len(cache.load().entries)
        assert prepare_cache(run, "train").n_kept == kept
    assert len(cache.current().entries) == 60
    whole = prepared(data, tmp_path / "whole", "none", splits=["train"])
    assert cache.current().statistics == Cache(whole, "train").current().statistics
    assert not list(cache.path.glob(".*"))


REFUSED = {
    "imported": (
        {"dataset": {"name": "imported"}},
        r"expected recordings for `cache\.dtype: none`. Received: log-mels",
    ),
    "background": (
        {"augmentation": {"waveform": {"copies": 1, "background": "noises"}}},
        r"expected `cache\.dtype: float32` or `float16` with `augmentation\.waveform\.background`",
    ),
    "null": ({"cache": {"dtype": None}}, r"cache\.dtype"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_work_is_refused_at_once(case):
    sections, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        configuration.from_mapping({"cache": {"dtype": "none"}, **sections}, source="test")


def test_none_in_yaml_is_the_word():
    assert configuration.from_mapping({}, source="test", overrides=["cache.dtype=none"]).cache.dtype == "none"


PROJECT = """
dev_directory: {data}
cache_directory: ./{name}/cache
model_directory: ./{name}/model
result_directory: ./{name}/result
export_directory: ./{name}/exported
cache: {{dtype: {dtype}}}
feature: {{n_mels: 16, frames: 3}}
fit: {{epochs: 2, batch_size: 32, memory_budget_mb: {budget}, verbose: 0}}
threshold: {{method: conformal, folds: 2}}
scorer: {{name: density}}
recording_check: {{enabled: true}}
ensemble:
  members:
    - {{name: gan, model: {{name: GANomaly, hidden: [8, 8], latent: 2}}}}
    - {{name: none, model: {{name: SpectrumDensity}}, feature: {{frames: 1}}}}
"""


def results_of(folder):
    """Files of scores and decisions, and the pictures of the report."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.csv")}
    return found | {path.name: path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.slow
def test_every_stage_of_a_project_gives_the_same(recordings, tmp_path, ganad):
    """Members, folds, scorers, decisions, the report with its pictures, and the examples that verify an export."""
    found = []
    for dtype in KINDS:
        text = PROJECT.format(data=recordings, name=dtype, dtype=dtype, budget=0)
        (tmp_path / f"{dtype}.yaml").write_text(text)
        for verb in ("prepare", "train", "score", "evaluate", "export"):
            ganad(verb, f"{dtype}.yaml", "-q", cwd=tmp_path)
        ganad("report", f"{dtype}/result", "--out", f"{dtype}/result", cwd=tmp_path)
        found.append(results_of(tmp_path / dtype / "result"))
    assert not list((tmp_path / "none").rglob("*.tfrecord"))
    assert found[0].keys() == found[1].keys()
    assert {"result.csv", "members/gan/anomaly_score_fan_id_00.csv"} <= found[0].keys()
    assert [name for name, content in found[0].items() if content != found[1][name]] == ["made.csv"]  # the settings


@pytest.mark.slow
def test_recordings_in_a_store_are_fetched_when_they_are_read(recordings, tmp_path, ganad):
    with object_store() as (_, environment):
        requests.put(f"{environment['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=10)
        for path in recordings.rglob("*.wav"):
            address = f"{environment['AWS_ENDPOINT_URL']}/{BUCKET}/dev/{path.relative_to(recordings).as_posix()}"
            requests.put(address, data=path.read_bytes(), timeout=10)
        scores = []
        for name, data in (("here", recordings), ("there", f"s3://{BUCKET}/dev")):
            text = PROJECT.partition("threshold")[0] + "model: {{name: DenseAE, hidden: [8], latent: 2}}\n"
            (tmp_path / f"{name}.yaml").write_text(text.format(data=data, name=name, dtype="none", budget=64))
            for verb in ("prepare", "train", "score"):
                ganad(verb, f"{name}.yaml", "-q", "--set", "storage.scratch=scratch", cwd=tmp_path, **environment)
            scores.append(results_of(tmp_path / name / "result"))
    assert scores[0] == scores[1]
    fetched = list((tmp_path / "scratch").rglob("*.wav"))
    assert len(fetched) == 20
    assert all(path.stat().st_blocks == 0 for path in fetched)  # placeholders again
