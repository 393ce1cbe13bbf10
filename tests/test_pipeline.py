import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import tone, write_wav

from ganad_tf import datasets
from ganad_tf.cache import blocks, records
from ganad_tf.cache import windows as pipeline
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.cache.validation import split_by_file
from ganad_tf.cache.windows import Source
from ganad_tf.config import Config
from ganad_tf.config.sections import Feature
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer
from ganad_tf.run import MachineRun

FRAMES, MELS = 5, 16
FEATURE = Feature(n_mels=MELS)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Clips of different length in several shards."""
    root = tmp_path_factory.mktemp("pipeline")
    for number in range(30):
        path = root / "data" / "fan" / "train" / f"normal_id_{number % 3:02d}_{number:08d}.wav"
        write_wav(path, tone(seconds=0.3 + 0.05 * number, seed=number))
    config = Config(dev_directory=str(root / "data"), cache_directory=str(root / "cache"), feature=FEATURE)
    (listing,) = datasets.list_clips(config, "dev")
    shard_size, blocks.CLIPS_PER_SHARD = blocks.CLIPS_PER_SHARD, 7
    try:
        prepare_cache(MachineRun(config, listing, "dev"), "train")
    finally:
        blocks.CLIPS_PER_SHARD = shard_size
    found = Cache(MachineRun(config, listing, "dev"), "train").current()
    assert len(found.shards) == 5
    normalizer = Normalizer(found.statistics.mean, found.statistics.std)
    path = Path(config.cache_directory, "dev", "fan", "train")
    return Source(KeptSpectra(path), found.entries, MELS, FRAMES, normalizer)


@pytest.fixture(params=["in memory", pytest.param("streamed", marks=pytest.mark.slow), "streamed in pieces"])
def budget_mb(request, monkeypatch):
    """Each way in which windows come from the cache: all 30 clips at once, or seven at a time."""
    if request.param == "streamed in pieces":
        monkeypatch.setattr(pipeline, "CLIPS_AT_ONCE", 7)
    return 1024 if request.param == "in memory" else 0


def stacked_by_hand(source):
    """The windows of the clips in the order of the shards, in NumPy."""
    windows = []
    mean, std = np.float32(source.normalizer.mean), np.float32(source.normalizer.std)
    for _, log_mel in source.spectra.read(source.entries):
        values = (log_mel - mean) / std
        windows += [values[start : start + FRAMES].ravel() for start in range(0, len(values) - FRAMES + 1, source.hop)]
    return np.stack(windows)


def in_order(windows):
    return windows[np.lexsort(windows.T[:8])]


def test_an_endless_dataset_has_the_epochs_of_others_one_after_another(source, budget_mb):
    order = {"batch_size": 512, "seed": 3, "memory_budget_mb": budget_mb, "first_epoch": 1}
    epochs = pipeline.window_batches(source, **order)
    expected = [batch for _ in range(2) for batch in epochs.as_numpy_iterator()]
    endless = pipeline.window_batches(source, endless=True, **order)
    next(iter(endless))  # another iterator has no influence
    for batch, other in zip(endless.take(len(expected)).as_numpy_iterator(), expected, strict=True):
        np.testing.assert_array_equal(batch, other)


@pytest.mark.parametrize(("batch_size", "hop"), [(16, 1), (100_000, 1), (512, 4)])
def test_every_window_once_per_epoch(source, budget_mb, batch_size, hop):
    source = dataclasses.replace(source, hop=hop)
    expected = stacked_by_hand(source)
    assert len(expected) == source.n_windows
    dataset = pipeline.window_batches(source, batch_size=batch_size, seed=3, memory_budget_mb=budget_mb)
    epochs = [[batch.numpy() for batch in dataset] for _ in range(2)]
    for batches in epochs:
        assert len(batches) == dataset.cardinality() == -(-source.n_windows // batch_size)
        assert {len(batch) for batch in batches[:-1]} <= {batch_size}
        np.testing.assert_allclose(in_order(np.concatenate(batches)), in_order(expected), rtol=0, atol=1e-6)
    first, second = (np.concatenate(batches) for batches in epochs)
    assert not np.array_equal(first, second)  # another order in every epoch
    assert not np.array_equal(first, expected)


@pytest.mark.parametrize("seed", [None, 3])
def test_labelled_windows_are_the_same_with_the_numbers_of_their_machine_ids(source, budget_mb, seed):
    order = {"batch_size": 64, "seed": seed, "memory_budget_mb": budget_mb}
    plain = np.concatenate(list(pipeline.window_batches(source, **order)))
    labelled = dataclasses.replace(source, machine_ids=("02", "00", "01"))
    batches = list(pipeline.window_batches(labelled, **order))
    windows, numbers = (np.concatenate(part) for part in zip(*batches, strict=True))
    np.testing.assert_array_equal(windows, plain)
    entries = sorted(source.entries, key=lambda entry: (entry.shard, entry.index))
    of_clips = [("02", "00", "01").index(entry.clip.machine_id) for entry in entries]
    expected = np.repeat(of_clips, [entry.frames - FRAMES + 1 for entry in entries])
    by_window = {window.tobytes(): number for window, number in zip(stacked_by_hand(source), expected, strict=True)}
    known = [
        by_window[window.tobytes()] == number
        for window, number in zip(windows, numbers, strict=True)
        if window.tobytes() in by_window
    ]
    assert all(known)
    assert len(known) > 0.5 * len(expected)
    assert numbers.dtype == np.int32


def test_passes_of_one_epoch_are_as_epochs_of_one_pass(source, budget_mb):
    """Resumed or not, in one epoch or in several, the third pass over the windows has the third order."""
    order = {"batch_size": 512, "seed": 3, "memory_budget_mb": budget_mb}
    single, double, resumed = (
        pipeline.window_batches(source, **order, **passes)
        for passes in ({}, {"passes": 2}, {"passes": 2, "first_epoch": 1})
    )
    expected = [np.concatenate(list(single)) for _ in range(4)]
    assert double.cardinality() == 2 * single.cardinality()
    for epoch in range(2):
        found = np.concatenate(list(double))
        np.testing.assert_array_equal(found, np.concatenate(expected[2 * epoch : 2 * epoch + 2]))
    np.testing.assert_array_equal(np.concatenate(list(resumed)), found)


def test_order_of_the_clips_without_a_seed(source, budget_mb):
    dataset = pipeline.window_batches(source, batch_size=64, seed=None, memory_budget_mb=budget_mb)
    for _ in range(2):
        np.testing.assert_allclose(np.concatenate(list(dataset)), stacked_by_hand(source), rtol=0, atol=1e-6)


def test_same_seed_same_order(source, budget_mb):
    def first_epoch(seed):
        return np.concatenate(
            list(pipeline.window_batches(source, batch_size=64, seed=seed, memory_budget_mb=budget_mb))
        )

    np.testing.assert_array_equal(first_epoch(5), first_epoch(5))
    assert not np.array_equal(first_epoch(5), first_epoch(6))


@pytest.mark.parametrize("budget_mb", [1024, 0], ids=["in memory", "streamed"])
def test_shuffling_reaches_across_clips(source, budget_mb):
    """A batch of 64 windows in the clips' order comes from 1 to 4 clips; shuffled, from most of them."""
    rows = {window[:8].tobytes(): number for number, window in enumerate(stacked_by_hand(source))}
    owners = np.repeat(
        np.arange(30), [entry.frames - FRAMES + 1 for entry in sorted(source.entries, key=lambda e: (e.shard, e.index))]
    )
    batch = next(iter(pipeline.window_batches(source, batch_size=64, seed=1, memory_budget_mb=budget_mb))).numpy()
    known = [owners[rows[window[:8].tobytes()]] for window in batch if window[:8].tobytes() in rows]
    assert len(known) > 50
    assert len(set(known)) > 15


def test_the_order_is_that_of_the_names_not_of_the_shards(source, tmp_path):
    """A clip that was mended and prepared later lies in the last shard; windows in memory come as ever."""
    data = str(source.spectra.path.parents[3] / "data")
    config = Config(dev_directory=data, cache_directory=str(tmp_path), feature=FEATURE)
    (listing,) = datasets.list_clips(config, "dev")
    later = dataclasses.replace(listing, clips=listing.clips[3:])
    for some in (later, listing):
        prepare_cache(MachineRun(config, some, "dev"), "train")
    found = Cache(MachineRun(config, listing, "dev"), "train").current()
    spectra = KeptSpectra(Path(config.cache_directory, "dev", "fan", "train"))
    other = dataclasses.replace(source, spectra=spectra, entries=found.entries)
    assert [entry.clip for entry in other.entries] != [entry.clip for entry in source.entries]

    def batches(of, budget_mb):
        dataset = pipeline.window_batches(of, batch_size=64, seed=1, memory_budget_mb=budget_mb)
        return np.concatenate(list(dataset.as_numpy_iterator()))

    np.testing.assert_array_equal(batches(other, 64), batches(source, 64))
    assert source.order(64) == other.order(64)
    assert (batches(other, 0) != batches(source, 0)).any()
    assert len({source.order(64), source.order(0), other.order(0)}) == 3


def of_another_clip(record):
    """As long as it was: its length must not be what tells."""
    example = tf.train.Example.FromString(record)
    example.features.feature["file"].bytes_list.value[0] = b"fan/train/normal_id_00_00000099.wav"
    return example.SerializeToString(deterministic=True)


def that_claims_4_gb(record):
    """For the spectra; TensorFlow's parser of examples does not survive it."""

    def field(number, content):
        assert len(content) < 128  # its length is one byte
        return bytes([8 * number + 2, len(content)]) + content

    values = b"\x0a\xff\xff\xff\xff\x0f" + record[-80:]
    return field(1, field(1, field(1, b"log_mel") + field(2, field(1, values))))


@pytest.mark.parametrize("spoilt", [of_another_clip, that_claims_4_gb, lambda record: record[:-4], lambda _: b""])
def test_a_record_that_is_not_the_clip_s_is_refused(source, tmp_path, spoilt):
    """Such as when the recordings are prepared again while a process reads them."""
    shutil.copytree(source.spectra.path, tmp_path / "cache")
    shard = tmp_path / "cache" / source.entries[0].shard
    first, *others = [record.numpy() for record in tf.data.TFRecordDataset(str(shard))]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for record in (spoilt(first), *others):
            writer.write(record)
    with pytest.raises(DataError, match="corrupted"):
        list(records.read(tmp_path / "cache", source.entries))
    streamed = dataclasses.replace(source, spectra=KeptSpectra(tmp_path / "cache"))
    with pytest.raises(tf.errors.InvalidArgumentError):
        list(pipeline.window_batches(streamed, batch_size=50, seed=1, memory_budget_mb=0))


def test_some_clips_of_a_shard(source):
    some = Source(source.spectra, source.entries[::3], MELS, FRAMES, source.normalizer)
    for budget_mb in (1024, 0):
        dataset = pipeline.window_batches(some, batch_size=50, seed=1, memory_budget_mb=budget_mb)
        np.testing.assert_allclose(
            in_order(np.concatenate(list(dataset))), in_order(stacked_by_hand(some)), rtol=0, atol=1e-6
        )


def test_split_is_by_file_the_same_share_of_every_id_and_seeded(source):
    training, validation = split_by_file(source.entries, 0.2, seed=1)
    assert sorted(training + validation, key=id) == sorted(source.entries, key=id)
    ids = [entry.clip.machine_id for entry in validation]
    assert {key: ids.count(key) for key in set(ids)} == {"00": 2, "01": 2, "02": 2}
    again = split_by_file(source.entries[::-1], 0.2, seed=1)
    assert {e.clip for e in again[1]} == {e.clip for e in validation}
    other = split_by_file(source.entries, 0.2, seed=2)
    assert {e.clip for e in other[1]} != {e.clip for e in validation}


def test_the_same_recording_is_never_in_training_and_in_validation(source):
    """Not even where one of the two is another machine's."""
    training, validation = split_by_file(source.entries, 0.2, seed=1)
    alike = {entry.clip: entry.sha256 for entry in source.entries}
    assert len(set(alike.values())) == len(source.entries)
    alike[validation[0].clip] = alike[training[-1].clip]
    entries = [dataclasses.replace(entry, sha256=alike[entry.clip]) for entry in source.entries]
    after = split_by_file(entries, 0.2, seed=1)
    assert [entry.clip for entry in after[1]] == [entry.clip for entry in validation[1:]]
    assert {entry.clip for entry in after[0]} == {*(entry.clip for entry in training), validation[0].clip}


def test_a_lone_clip_is_for_training(source):
    training, validation = split_by_file(source.entries[:1], 0.9, seed=1)
    assert (len(training), len(validation)) == (1, 0)
