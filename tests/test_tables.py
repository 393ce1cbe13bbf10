"""Manifests of many clips: their tables are read as they were written, written once, and mended where damaged."""

import dataclasses
import json
import sys

import pytest
from conftest import write_machine

from ganad_tf import datasets
from ganad_tf.cache import manifest, prepare, tables
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.entry import Entry
from ganad_tf.cache.manifest import Manifest, Shard
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.run import MachineRun

pytest.importorskip("pyarrow", reason="the extra `parquet` is not installed")


def entry(number):
    clip = Clip(f"fan/größe {number}.wav", f"{number}.wav", "fan", "00", "train", 0, 32044, 10**18 + number)
    return Entry(clip, f"{number // 3}.tfrecord", number % 3, 32, f"{number:064x}", (), (0.1 * number, -1e-300))


def of_every_kind(number):
    """Clips with everything that a clip may have."""
    known = entry(number)
    clip = dataclasses.replace(known.clip, label=None, group="a", channel=7, span=(0.1, 10.25), domain="target", copy=2)
    clip = dataclasses.replace(clip, attributes=(("vel", "16"), ("x", "")))
    return dataclasses.replace(known, clip=clip, remarks=("clipped", "silent"), sound=())


@pytest.fixture
def small_tables(monkeypatch):
    monkeypatch.setattr(tables, "CLIPS_PER_TABLE", 4)


def names_in(folder):
    return sorted(path.name for path in folder.glob(tables.PATTERN))


def manifest_of(entries):
    return Manifest("f", {}, "data", is_complete=True, entries=entries, shards=(Shard("0.tfrecord", 1, "ab"),))


@pytest.mark.usefixtures("small_tables")
def test_many_clips_are_read_as_they_were_written(tmp_path):
    written = manifest_of((*map(entry, range(9)), *map(of_every_kind, range(9, 15))))
    manifest.save(tmp_path, written)
    assert manifest.load(tmp_path) == written
    assert len(names_in(tmp_path)) == 3
    assert len(json.loads((tmp_path / manifest.FILE).read_text())["manifest"]["entries"]) == 15 - 12


@pytest.mark.usefixtures("small_tables")
def test_tables_that_are_unchanged_are_not_written_again_and_former_ones_are_removed(tmp_path):
    manifest.save(tmp_path, manifest_of(tuple(map(entry, range(9)))))
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in names_in(tmp_path)}
    manifest.save(tmp_path, manifest_of(tuple(map(entry, range(13)))))
    assert len(names_in(tmp_path)) == 3
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in times} == times
    manifest.save(tmp_path, manifest_of(tuple(map(entry, range(4, 13)))))
    assert len(times.keys() & set(names_in(tmp_path))) == 1
    assert len(names_in(tmp_path)) == 2
    manifest.save(tmp_path, manifest_of(()))
    assert names_in(tmp_path) == []


@pytest.mark.usefixtures("small_tables")
def test_without_pyarrow_nothing_is_lost(tmp_path, monkeypatch):
    written = manifest_of(tuple(map(entry, range(9))))
    manifest.save(tmp_path, written)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"^Expected pyarrow to read .*parquet; install it with: pip install '"):
        manifest.load(tmp_path)
    manifest.save(tmp_path, written)
    assert manifest.load(tmp_path) == written
    assert names_in(tmp_path) == []


def become_another(path):
    """Gives it the content of another table, which can be read."""
    path.write_bytes((path.parent / names_in(path.parent)[0]).read_bytes())


@pytest.mark.usefixtures("small_tables")
@pytest.mark.parametrize(
    "damage", [lambda path: path.unlink(), lambda path: path.write_bytes(path.read_bytes()[:-9]), become_another]
)
def test_a_damaged_table_is_named_and_its_clips_alone_are_read_again(tmp_path, damage):
    write_machine(tmp_path / "data", "fan", ids=("00",), n_train=10, n_test=0)
    config = Config(dev_directory=str(tmp_path / "data"), cache_directory=str(tmp_path / "cache"))
    (listing,) = datasets.list_clips(config, "dev")
    run = MachineRun(config, listing, "dev")
    assert prepare.prepare_cache(run, "train").n_new == 10
    cache = Cache(run, "train")
    before = cache.current()
    assert (len(names_in(cache.path)), len(before.entries)) == (2, 10)
    name = names_in(cache.path)[1]
    damage(cache.path / name)
    with pytest.raises(DataError, match=rf"corrupted: {name} can't be read .*Run `ganad prepare`"):
        cache.current()
    done = prepare.prepare_cache(run, "train")
    assert (done.n_new, done.n_kept) == (4, 6)
    after = cache.current()
    assert {entry.clip for entry in after.entries} == {entry.clip for entry in before.entries}
    assert after.statistics == before.statistics
    assert after.digest() == before.digest()
