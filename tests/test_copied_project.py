"""A copy of a project has other file times and is the same project; other contents are not, whatever the times."""

import dataclasses
import json
import os
import shutil

import pytest
import yaml
from conftest import tone, write_machine, write_wav

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import contents, manifest
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.errors import DataError
from ganad_tf.files import checksummed
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory

SETTINGS = {
    "dev_directory": "./data",
    "cache_directory": "./cache",
    "model_directory": "./model",
    "result_directory": "./result",
    "feature": {"n_mels": 16},
    "model": {"name": "DenseAE", "hidden": [8], "latent": 2},
    "fit": {"epochs": 2, "batch_size": 32},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ganad):
    place = tmp_path_factory.mktemp("original") / "project"
    write_machine(place / "data", "fan", ids=("00",))
    (place / "fan.yaml").write_text(yaml.safe_dump(SETTINGS))
    ganad("run", "fan.yaml", cwd=place)
    for path in place.rglob("*"):  # long ago, so that a copy's times are certainly others
        os.utime(path, (1e9, 1e9))
    ganad("prepare", "fan.yaml", cwd=place)
    return place


def copied_without_times(project, place, *without):
    shutil.copytree(project, place, copy_function=shutil.copy, ignore=shutil.ignore_patterns(*without))
    return place


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def change(recording):
    """Another sound of the same size at the same time as before, but for a second."""
    status = recording.stat()
    data = bytearray(recording.read_bytes())
    data[1000] ^= 1
    recording.write_bytes(data)
    os.utime(recording, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))


def test_nothing_is_prepared_or_trained_again_in_a_copy(finished, tmp_path, ganad):
    copy = copied_without_times(finished, tmp_path / "copy")
    before = times(copy / "model") | times(copy / "cache")
    done = ganad("run", "fan.yaml", "-v", cwd=copy)
    assert "fan train: 6 clips are in the cache, nothing has changed" in done.stderr
    assert "fan test: 6 clips are in the cache, nothing has changed" in done.stderr
    assert "fan: already trained with this configuration" in done.stderr
    changed = {
        path.name for path, time in (times(copy / "model") | times(copy / "cache")).items() if before[path] != time
    }
    assert changed == {"manifest.json"}
    csv = {name: data for name, data in files_of(copy / "result").items() if name.suffix == ".csv"}
    assert csv == {name: data for name, data in files_of(finished / "result").items() if name.suffix == ".csv"}
    noted = times(copy / "cache")
    ganad("run", "fan.yaml", cwd=copy)  # the new times are noted: nothing is left to compare
    assert times(copy / "cache") == noted


def test_every_verb_takes_a_copy_as_it_is(finished, tmp_path, ganad):
    for verb in (("train", "fan.yaml"), ("evaluate", "fan.yaml"), ("report", "result", "--clips", "1")):
        copy = copied_without_times(finished, tmp_path / verb[0])
        ganad(*verb, cwd=copy)


@pytest.mark.slow
def test_a_copy_s_report_is_of_the_copy(finished, tmp_path, ganad):
    """Though the original is there too. A copy of the results alone goes on speaking of the original."""
    original = shutil.copytree(finished, tmp_path / "original")
    ganad("score", "fan.yaml", cwd=original)
    copy = copied_without_times(original, tmp_path / "copy")
    results = copied_without_times(original / "result", tmp_path / "elsewhere" / "result")
    ganad("report", results, "--clips", "1", cwd=tmp_path)
    change(original / "data" / "fan" / "test" / "normal_id_00_00000001.wav")
    ganad("report", "copy/result", "--clips", "1", cwd=tmp_path)
    made = (copy / "result" / "report" / "made.csv").read_text()
    assert str(original) not in made
    for spoilt in ("original/result", results):
        assert "have changed since they were scored" in ganad("report", spoilt, cwd=tmp_path, check=2).stderr


def test_a_clone_without_its_cache_keeps_its_detector(finished, tmp_path, ganad):
    clone = copied_without_times(finished, tmp_path / "clone", "cache", "result")
    before = files_of(clone / "model")
    done = ganad("run", "fan.yaml", cwd=clone)
    assert "fan: already trained with this configuration" in done.stderr
    assert files_of(clone / "model") == before
    assert (clone / "result" / "result.csv").read_bytes() == (finished / "result" / "result.csv").read_bytes()


def test_other_contents_of_the_same_size_are_noticed_in_a_copy(finished, tmp_path, ganad):
    copy = copied_without_times(finished, tmp_path / "copy")
    change(copy / "data" / "fan" / "train" / "normal_id_00_00000003.wav")
    done = ganad("train", "fan.yaml", cwd=copy, check=2)
    assert "stale: 1 clips were added, changed or removed, such as fan/train/normal_id_00_00000003.wav" in done.stderr
    done = ganad("run", "fan.yaml", cwd=copy, check=2)
    assert "fan train: 1 clips prepared, 5 kept, 1 dropped" in done.stderr
    assert "was trained on other recordings than those of fan now" in done.stderr


def prepared(place, monkeypatch, **settings):
    monkeypatch.chdir(place)
    config = configuration.from_mapping({**SETTINGS, **settings}, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    return config, listing, prepare_cache(MachineRun(config, listing, "dev"), "train")


def test_recordings_that_were_left_out_are_not_read_again_in_a_copy(tmp_path, monkeypatch):
    write_machine(tmp_path / "one" / "data", "fan", ids=("00",), n_test=0)
    write_wav(tmp_path / "one" / "data" / "fan" / "train" / "normal_id_00_00000050.wav", tone(0.05))
    *_, done = prepared(tmp_path / "one", monkeypatch, on_bad_clip="skip")
    assert (done.n_new, len(done.skipped)) == (6, 1)
    copy = copied_without_times(tmp_path / "one", tmp_path / "two")
    bad = copy / "data" / "fan" / "train" / "normal_id_00_00000050.wav"
    os.utime(bad, (2e9, 2e9))
    config, listing, done = prepared(copy, monkeypatch, on_bad_clip="skip")
    assert (done.n_new, done.n_kept, len(done.skipped)) == (0, 6, 1)
    assert len(Cache(MachineRun(config, listing, "dev"), "train").current().skipped) == 1


def as_by_an_earlier_version(cache):
    """Its manifest without what that version did not know."""
    path = cache / "manifest.json"
    body = checksummed.load("manifest", path.read_text())
    for entry in body["entries"]:
        del entry["sha256"], entry["remarks"]
    for clip in body["skipped"]:
        del clip["sha256"]
    path.write_text(checksummed.dump("manifest", body))
    stamps = sorted([entry["clip"][key] for key in ("file", "size", "mtime_ns")] for entry in body["entries"])
    return checksummed.fingerprint([body["fingerprint"], stamps])


def test_a_project_of_an_earlier_version_stays_as_it_is(finished, tmp_path, ganad):
    """Its manifests have no checksums: their names, which are in the detector's record, are made of file times."""
    project = tmp_path / "project"
    shutil.copytree(finished, project)  # with its times
    before = files_of(project / "result")
    record = project / "model" / "dev" / "fan" / "training.json"
    digests = {
        split: as_by_an_earlier_version(project / "cache" / "dev" / "fan" / split) for split in ("train", "test")
    }
    record.write_text(json.dumps(json.loads(record.read_text()) | {"cache": digests["train"]}))
    done = ganad("run", "fan.yaml", "-v", cwd=project)
    assert "fan train: 6 clips are in the cache, nothing has changed" in done.stderr
    assert "fan: already trained with this configuration" in done.stderr
    assert (
        files_of(project / "result").items() >= {name: before[name] for name in before if name.suffix == ".csv"}.items()
    )
    write_wav(project / "data" / "fan" / "test" / "normal_id_00_00000077.wav", tone(seed=5))
    done = ganad("run", "fan.yaml", "-v", cwd=project)
    assert "fan test: 1 clips prepared, 6 kept" in done.stderr
    ganad("prepare", "fan.yaml", "--fresh", cwd=project)  # now there are checksums; the detector knows the times
    done = ganad("run", "fan.yaml", "-v", cwd=project)
    assert "fan: already trained with this configuration" in done.stderr


def test_the_digest_names_contents_and_a_detector_s_identity_too(finished, tmp_path):
    cached = manifest.load(finished / "cache" / "dev" / "fan" / "train")
    first, *others = cached.entries
    later = dataclasses.replace(first, clip=dataclasses.replace(first.clip, mtime_ns=1))
    other = dataclasses.replace(first, sha256="0" * 64)
    assert dataclasses.replace(cached, entries=(later, *others)).digest() == cached.digest()
    assert dataclasses.replace(cached, entries=(*others, first)).digest() == cached.digest()
    assert dataclasses.replace(cached, entries=(other, *others)).digest() != cached.digest()
    copy = copied_without_times(finished / "model", tmp_path / "model")
    assert (
        ModelDirectory(copy / "dev" / "fan").identity() == ModelDirectory(finished / "model" / "dev" / "fan").identity()
    )


def test_a_recording_that_can_t_be_read_is_no_known_one(finished, tmp_path):
    """A link to nowhere stands for it: root may read everything."""
    copy = copied_without_times(finished, tmp_path / "copy")
    config = configuration.from_mapping({**SETTINGS, "dev_directory": str(copy / "data")}, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    cached = manifest.load(copy / "cache" / "dev" / "fan" / "train")
    gone = copy / "data" / cached.entries[0].clip.file
    gone.unlink()
    recognised = contents.with_current_times(cached, listing.clips, listing.directory)
    assert {entry.clip for entry in recognised.entries} ^ set(listing.clips_of("train")) == {
        cached.entries[0].clip,
        *(clip for clip in listing.clips if clip.file == cached.entries[0].clip.file),
    }
    with pytest.raises(DataError, match="stale: 1 clips"):
        contents.load_current(
            copy / "cache" / "dev" / "fan" / "train",
            listing.clips_of("train"),
            cached.fingerprint,
            cached.source,
            listing.directory,
        )
