import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import records
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.config import yaml_text
from ganad_tf.errors import DataError
from ganad_tf.run import MachineRun

NPY = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}".ljust(117) + b"\n" * 9
YAML = "dataset: {name: imported}\ndev_directory: cache/dev\ncache_directory: cache\n"


def run(folder, *arguments, check=0):
    (folder / "c.yaml").write_text(YAML)
    command = [
        sys.executable,
        str(ROOT / "tools" / "import_logmel.py"),
        "c.yaml",
        "--machine",
        "ToyCar",
        *map(str, arguments),
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == check, done.stderr
    return done


def cached(folder, monkeypatch, split):
    monkeypatch.chdir(folder)
    config = configuration.load("c.yaml")
    (listing,) = datasets.list_clips(config, "dev")
    assert prepare_cache(MachineRun(config, listing, "dev"), split).n_new == 0
    found = Cache(MachineRun(config, listing, "dev"), split).current()
    return {
        entry.clip.name: (entry.clip, log_mel)
        for entry, log_mel in records.read(Path(config.cache_directory, "dev", "ToyCar", split), found.entries)
    }


@pytest.mark.slow
def test_npz_with_numbered_split(tmp_path, monkeypatch):
    names = [
        f"{kind}_id_0{machine}_{index:08d}"
        for machine in (1, 2)
        for kind in ("normal", "anomaly")
        for index in range(4)
    ]
    log_mels = np.random.default_rng(0).normal(-40, 10, [len(names), 20, 128]).astype(np.float16)
    np.savez(tmp_path / "clips.npz", names=np.array(names), logmel_db=log_mels)
    run(tmp_path, "--train-below", 3, "clips.npz")
    train, test = cached(tmp_path, monkeypatch, "train"), cached(tmp_path, monkeypatch, "test")
    assert sorted(train) == sorted(f"normal_id_0{machine}_{index:08d}.wav" for machine in (1, 2) for index in range(3))
    assert len(test) == 10
    for name, (clip, log_mel) in {**train, **test}.items():
        assert clip.label == int(name.startswith("anomaly"))
        assert clip.machine_id == name.split("_")[2]
        np.testing.assert_array_equal(log_mel, log_mels[names.index(name[:-4])].astype(np.float32))


@pytest.mark.slow
def test_anomalies_in_training(tmp_path, monkeypatch):
    names = [f"{kind}_id_01_{index:08d}" for kind in ("normal", "anomaly") for index in range(4)]
    log_mels = np.random.default_rng(0).normal(-40, 10, [len(names), 20, 128]).astype(np.float16)
    np.savez(tmp_path / "clips.npz", names=np.array(names), logmel_db=log_mels)
    expected = {"clean": 2, "contaminated": 3}
    for folder, more in {"clean": [], "contaminated": ["--contaminate"]}.items():
        (tmp_path / folder).mkdir()
        run(tmp_path / folder, "--train-below", 2, "--anomalies-from", 1, *more, "../clips.npz")
        train, test = (cached(tmp_path / folder, monkeypatch, split) for split in ("train", "test"))
        assert len(train) == expected[folder]
        assert {clip.label for clip, _ in train.values()} == {0}
        assert sorted(name[:-4] for name in test) == sorted(names[2:4] + names[5:])
        assert sum(clip.label for clip, _ in test.values()) == 3
    np.testing.assert_array_equal(train["anomaly_id_01_00000000.wav"][1], log_mels[4].astype(np.float32))


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A folder with the benchmark's files, and what was imported: little-endian float32, one spectrum after another."""
    folder = tmp_path_factory.mktemp("imported")
    spectra = {}
    for name in ("normal_id_01_00000003", "anomaly_id_04_00000263"):
        spectra[f"{name}.wav"] = np.random.default_rng(len(spectra)).normal(size=[200, 128]).astype("<f4")
        spectra[f"{name}.wav"].tofile(folder / f"{name}_hist_librosa.bin")
    run(folder, *folder.glob("*.bin"))
    return folder, spectra


def test_mlperf_tiny_bin_files(imported, monkeypatch):
    folder, spectra = imported
    test = cached(folder, monkeypatch, "test")
    assert test.keys() == spectra.keys()
    for name, (clip, log_mel) in test.items():
        np.testing.assert_array_equal(log_mel, spectra[name])
        assert clip.split == "test"


def test_other_settings_than_those_of_the_import_leave_it_untouched(imported, ganad):
    folder, _ = imported
    before = {path: path.read_bytes() for path in (folder / "cache").rglob("*") if path.is_file()}
    note = folder / "cache" / "failed_prepare_dev.json"
    done = ganad("prepare", "c.yaml", "--set", "feature.n_fft=2048", cwd=folder, check=2)
    assert "made with other feature settings. Import the log-mels again" in done.stderr
    assert list(json.loads(note.read_text())) == ["ToyCar"]
    after = {path: path.read_bytes() for path in (folder / "cache").rglob("*") if path.is_file() and path != note}
    assert after == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.with_name("x.npz").write_bytes(b"no archive"), "x.npz: expected an .npz file"),
        (
            lambda path: np.savez(path.with_name("x.npz"), names=["normal_id_01_00000000"]),
            "x.npz: expected an .npz file with",
        ),
        (
            lambda path: np.savez(path.with_name("x.npz"), names=["car 7"], logmel_db=np.zeros([1, 9, 128])),
            "Received: 'car 7'",
        ),
        (
            lambda path: np.savez(
                path.with_name("x.npz"), names=["normal_id_01_00000000"], logmel_db=np.zeros([1, 9, 64])
            ),
            "128 mel bands",
        ),
        (
            lambda path: np.savez(
                path.with_name("x.npz"), names=["normal_id_01_00000000"], logmel_db=np.zeros([1, 4, 128])
            ),
            "at least 5 spectra",
        ),
        (
            lambda path: np.savez(
                path.with_name("x.npz"), names=["normal_id_01_00000000"], logmel_db=np.full([1, 9, 128], np.nan)
            ),
            "NaN",
        ),
        (
            lambda path: np.savez(path.with_name("x.npz"), names=["a", "b"], logmel_db=np.zeros([1, 9, 128])),
            "as many names",
        ),
        (
            lambda path: np.savez(
                path.with_name("x.npz"), names=np.array([{}], dtype=object), logmel_db=np.zeros([1, 9, 128])
            ),
            "expected an .npz",
        ),
        (
            lambda path: np.savez(
                path.with_name("x.npz"), names=["normal_id_01_00000000"] * 2, logmel_db=np.zeros([2, 9, 128])
            ),
            "normal_id_01_00000000.wav twice",
        ),
        (lambda path: path.with_name("x.npz").write_bytes(NPY), "expected an .npz"),
        (
            lambda path: path.with_name("normal_id_01_00000000_hist_librosa.bin").write_bytes(b"1234567"),
            "expected float32 spectra",
        ),
    ],
)
def test_bad_files_are_one_sentence_and_leave_no_cache(tmp_path, monkeypatch, make, message):
    make(tmp_path / "file")
    monkeypatch.syspath_prepend(ROOT / "tools")
    import import_logmel

    monkeypatch.chdir(tmp_path)
    config = configuration.from_mapping(yaml_text.parse(YAML, "test"), source="test")
    with pytest.raises(DataError, match=re.escape(message)):
        import_logmel.import_files(config, [*tmp_path.glob("*.[nb][pi][zn]")], "ToyCar", import_logmel.Split())
    assert not (tmp_path / "cache").exists()
