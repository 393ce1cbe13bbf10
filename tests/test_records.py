"""Shards of log-mels: what was appended is read, whatever happens to the file is noticed."""

import dataclasses
import json
import math
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from processes import forked

from ganad_tf.cache import manifest, records
from ganad_tf.cache import sums as exact
from ganad_tf.cache.manifest import Manifest
from ganad_tf.cache.sums import RunningStatistics
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError

LENGTHS = (5, 1, 40)


def clip(number):
    return Clip(f"fan/train/{number}.wav", f"{number}.wav", "fan", "00", "train", 0, 1, 1)


LOG_MELS = [
    (clip(number), np.random.default_rng(number).normal(-40, 7, [frames, 4]).astype(np.float32))
    for number, frames in enumerate(LENGTHS)
]


@pytest.fixture
def cache(tmp_path):
    """A complete cache of two shards: its folder and its manifest."""
    sums = RunningStatistics()
    current = records.append(tmp_path, Manifest("f", {}, ""), LOG_MELS[:2], sums)
    current = records.append(tmp_path, current, LOG_MELS[2:], sums)
    return tmp_path, records.finish(tmp_path, current, sums)


def test_log_mels_are_read_as_they_were_appended(cache):
    folder, complete = cache
    assert [shard.file for shard in complete.shards] == ["f-00000.tfrecord", "f-00001.tfrecord"]
    assert manifest.load(folder) == complete
    found = [(entry.clip, log_mel) for entry, log_mel in records.read(folder, complete.entries[::-1])]
    assert [one for one, _ in found] == [one for one, _ in LOG_MELS]  # in the order of the shards
    for (_, expected), (_, log_mel) in zip(LOG_MELS, found, strict=True):
        np.testing.assert_array_equal(log_mel, expected)
    ((entry, log_mel),) = records.read(folder, complete.entries[1:2])
    assert (entry.clip, len(log_mel)) == (clip(1), 1)


def test_statistics_are_numpys_and_stay_right_of_pieces(cache, monkeypatch):
    spectra = np.concatenate([log_mel for _, log_mel in LOG_MELS]).astype(np.float64)
    for at_once in (exact.SPECTRA_AT_ONCE, 3):
        monkeypatch.setattr(exact, "SPECTRA_AT_ONCE", at_once)
        sums = RunningStatistics()
        for _, log_mel in LOG_MELS:
            sums.add(log_mel)
        statistics = sums.statistics()
        assert statistics.n_frames == sum(LENGTHS)
        np.testing.assert_allclose(statistics.mean, spectra.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(statistics.std, spectra.std(axis=0), rtol=1e-9)
    assert cache[1].statistics == statistics or np.allclose(cache[1].statistics.std, statistics.std)


@pytest.mark.parametrize("seed", range(3))
def test_statistics_are_the_same_to_the_last_bit_whatever_the_order_and_the_parts(seed):
    """Of values of very different sizes, whose float sums depend on the order."""
    rng = np.random.default_rng(seed)
    clips = [(rng.normal(size=[9, 4]) * 10.0 ** rng.integers(-5, 5)).astype(np.float32) for _ in range(40)]
    of_clips = [float(clip[0, 0]) / 3 for clip in clips]
    assert len({sum(rng.permutation(of_clips).tolist()) for _ in range(9)}) > 1
    found = set()
    for _ in range(5):
        parts = [RunningStatistics() for _ in range(4)]
        for number in rng.permutation(len(clips)):
            parts[rng.integers(4)].add(clips[number])
        whole = RunningStatistics()
        for number in rng.permutation(4):
            written = json.dumps(parts[number].to_json())
            whole.merge(RunningStatistics.from_json(json.loads(written)))
        found.add(whole.statistics())
    (statistics,) = found
    sums = [math.fsum(float(clip[:, band].astype(np.float64).sum()) for clip in clips) for band in range(4)]
    assert statistics.mean == pytest.approx([total / 360 for total in sums], rel=1e-15)
    assert statistics.std == pytest.approx(np.concatenate(clips).astype(np.float64).std(axis=0), rel=1e-12)


def test_statistics_of_tiny_values_are_numpys():
    """Of powers of a quiet recording, say, whose squares are as small as float32 can tell apart."""
    tiny = np.random.default_rng(0).normal(size=[50, 4]).astype(np.float32) * np.float32(1e-40)
    sums = RunningStatistics()
    for part in np.split(tiny, 5):
        sums.add(part)
    np.testing.assert_allclose(sums.statistics().std, tiny.astype(np.float64).std(axis=0), rtol=1e-9)


def test_a_flipped_byte_anywhere_is_noticed(cache):
    folder, complete = cache
    shard = folder / "f-00001.tfrecord"
    good = shard.read_bytes()
    for position in range(0, len(good), 41):
        spoilt = bytearray(good)
        spoilt[position] ^= 0x10
        shard.write_bytes(spoilt)
        assert manifest.damage(folder, complete.shards[1])
        with pytest.raises(DataError, match=r"corrupted: f-00001\.tfrecord can't be read\. Run `ganad prepare`"):
            list(records.read(folder, complete.entries))


def test_a_shard_that_ends_too_early_and_one_of_other_clips_are_refused(cache):
    folder, complete = cache
    first, second = (folder / shard.file for shard in complete.shards)
    kept = first.read_bytes()
    twin = records.append(folder / "twin", Manifest("t", {}, ""), [(clip(7), LOG_MELS[2][1])], RunningStatistics())
    for other in (kept, (folder / "twin" / twin.shards[0].file).read_bytes()):
        second.write_bytes(other)  # as another process has prepared it meanwhile
        with pytest.raises(DataError, match=r"f-00001\.tfrecord can't be read"):
            list(records.read(folder, complete.entries))
    with tf.io.TFRecordWriter(str(first)) as writer:
        writer.write(records.record_prefix(complete.entries[0], 4) + LOG_MELS[0][1].tobytes())
    with pytest.raises(DataError, match=r"f-00000\.tfrecord ends too early"):
        list(records.read(folder, complete.entries[:2]))


def test_finishing_removes_what_no_clip_is_in(cache):
    folder, complete = cache
    (folder / ".f-00002.tfrecord.1.tmp").touch()
    kept = dataclasses.replace(complete, entries=complete.entries[2:])
    sums = RunningStatistics()
    sums.add(LOG_MELS[2][1])
    finished = records.finish(folder, kept, sums)
    assert sorted(path.name for path in folder.iterdir()) == ["f-00001.tfrecord", "manifest.json"]
    assert [shard.file for shard in finished.shards] == ["f-00001.tfrecord"]
    again = records.append(folder, finished, LOG_MELS[:1], sums)
    assert again.shards[-1].file == "f-00000.tfrecord"


def test_records_are_parsed_in_the_graph_or_refused(cache):
    folder, complete = cache
    (entry,) = complete.entries[2:]
    record = next(tf.data.TFRecordDataset(str(folder / entry.shard)).as_numpy_iterator())
    opening = records.record_prefix(entry, 4)
    assert record.startswith(opening)
    read = tf.function(lambda record: records.parse_spectra(record, tf.constant(opening), tf.constant(40), 4))
    np.testing.assert_array_equal(read(tf.constant(record)), LOG_MELS[2][1])
    for wrong in (record[1:], record.replace(b"2.wav", b"3.wav"), record[:-4], b""):
        with pytest.raises(tf.errors.InvalidArgumentError):
            read(tf.constant(wrong))


def append_until_killed(folder):
    """Begins to write a shard, and no more."""

    def log_mels():
        yield clip(0), np.zeros([40, 4], np.float32)
        os.kill(os.getpid(), signal.SIGKILL)

    records.append(folder, Manifest("f", {}, ""), log_mels(), RunningStatistics())


def test_a_killed_writer_leaves_no_shard(tmp_path):
    process = forked(append_until_killed, tmp_path)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert not list(tmp_path.glob("*.tfrecord"))
    current = records.append(tmp_path, Manifest("f", {}, ""), LOG_MELS, RunningStatistics())
    assert len(list(records.read(tmp_path, current.entries))) == 3
