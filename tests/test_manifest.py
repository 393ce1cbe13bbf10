"""The list of a cache's contents: read as it was written or refused, and named after its clips."""

import dataclasses
import os

import pytest

from ganad_tf.cache import manifest
from ganad_tf.cache.manifest import Entry, Manifest, Shard, SkippedClip, Statistics
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.files import checksummed


def clip(number):
    return Clip(f"fan/train/{number}.wav", f"{number}.wav", "fan", "00", "train", 0, 32044, 10**18 + number)


FULL = Manifest(
    fingerprint="0123456789abcdef",
    features={"feature": {"n_mels": 2}},
    source="./dev_data",
    is_complete=True,
    entries=(Entry(clip(0), "a.tfrecord", 0, 32, "ab" * 32, ("clipped",)), Entry(clip(1), "a.tfrecord", 1, 63)),
    shards=(Shard("a.tfrecord", 1234, "cd" * 32),),
    skipped=(SkippedClip("fan/train/2.wav", 0, 5, "expected at least 2048 samples, received 0", "ef" * 32),),
    foreign=("fan/train/note.txt: expected a recording",),
    statistics=Statistics(95, (-40.5, -39.25), (3.5, 0.1)),
)


@pytest.mark.parametrize("written", [FULL, Manifest("0", {}, "")], ids=["full", "empty"])
def test_it_is_read_as_it_was_written(tmp_path, written):
    manifest.save(tmp_path, written)
    assert manifest.load(tmp_path) == written
    assert [path.name for path in tmp_path.iterdir()] == [manifest.FILE]


def test_a_missing_and_a_damaged_one_are_each_a_sentence(tmp_path):
    with pytest.raises(DataError, match=r"^Expected a cache in .*, but there is none\.$"):
        manifest.load(tmp_path)
    manifest.save(tmp_path, FULL)
    good = (tmp_path / manifest.FILE).read_bytes()
    for position in range(0, len(good) - 1, 7):
        spoilt = bytearray(good)
        spoilt[position] ^= 1
        for content in (bytes(spoilt), good[:position]):
            (tmp_path / manifest.FILE).write_bytes(content)
            with pytest.raises(DataError, match=r"is corrupted: manifest\.json can't be read"):
                manifest.load(tmp_path)


def test_one_of_an_earlier_version_knows_no_checksums_and_remarks(tmp_path):
    manifest.save(tmp_path, FULL)
    body = checksummed.load("manifest", (tmp_path / manifest.FILE).read_text())
    for entry in body["entries"]:
        del entry["sha256"], entry["remarks"]
    del body["skipped"][0]["sha256"]
    (tmp_path / manifest.FILE).write_text(checksummed.dump("manifest", body))
    loaded = manifest.load(tmp_path)
    assert [(entry.sha256, entry.remarks) for entry in loaded.entries] == [("", ())] * 2
    assert loaded.skipped[0].sha256 == ""


def test_its_digest_is_of_names_and_contents_and_of_times_where_nothing_else_is_known():
    first, second = FULL.entries

    def digest_with(entry):
        return dataclasses.replace(FULL, entries=(entry, second)).digest()

    def at(mtime_ns):
        return dataclasses.replace(first.clip, mtime_ns=mtime_ns)

    assert digest_with(dataclasses.replace(first, clip=at(1))) == FULL.digest()
    unknown = dataclasses.replace(first, sha256="")
    assert digest_with(unknown) != digest_with(dataclasses.replace(unknown, clip=at(1)))
    assert digest_with(dataclasses.replace(first, sha256="00" * 32)) != FULL.digest()
    assert digest_with(dataclasses.replace(first, clip=clip(7))) != FULL.digest()
    assert dataclasses.replace(FULL, fingerprint="other").digest() != FULL.digest()
    assert dataclasses.replace(FULL, entries=(second, first)).digest() == FULL.digest()
    by_times = [(entry.clip.file, entry.clip.size, entry.clip.mtime_ns) for entry in FULL.entries]
    earlier = checksummed.fingerprint([FULL.fingerprint, by_times])
    assert FULL.has_digest(FULL.digest()) and FULL.has_digest(earlier)
    assert not FULL.has_digest("0123456789abcdef")
    assert not FULL.has_digest(None)


def test_what_is_wrong_with_a_shard_is_said(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(bytes(5000))
    shard = Shard(path.name, 5000, checksummed.file_checksum(path))
    assert manifest.damage(tmp_path, shard) is None
    path.write_bytes(bytes(4999) + b"\1")
    assert manifest.damage(tmp_path, shard) == "the checksum of a.tfrecord does not match"
    os.truncate(path, 4999)
    assert manifest.damage(tmp_path, shard) == "a.tfrecord has 4999 bytes instead of 5000"
    path.unlink()
    assert manifest.damage(tmp_path, shard) == "a.tfrecord can't be read (No such file or directory)"
