"""The repository on real copies of the shipped model: what is loaded stays, whatever happens to its folder."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from ganad_tf.errors import DataError
from ganad_tf.serving.models import inventory, metadata, versions, wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.repository import NotHereError, Repository
from ganad_tf.serving.models.versions import Policy
from ganad_tf.serving.protocols import rest

DEMO = ROOT / "exported_models/demo"
CLIP = {"waveform": np.random.default_rng(0).normal(0, 0.1, [1, 16000]).astype(np.float32)}


def put(folder: Path, *names: str) -> Path:
    """The shipped model under other names, `model/version` each."""
    for name in names:
        shutil.copytree(DEMO / "1", folder / name)
    return folder


def states(repository: Repository, name: str = "demo") -> dict[int, str]:
    return {number: state.name for number, state in repository.versions(name).items()}


@pytest.fixture(scope="module")
def expected() -> float:
    return float(Artifact(DEMO)("score_waveform", CLIP)["anomaly_score"][0])


def score(repository: Repository, name: str = "demo", version: int | None = None) -> float:
    _, artifact = repository.get(name, version)
    return float(artifact("score_waveform", CLIP)["anomaly_score"][0])


@pytest.mark.slow
def test_a_version_without_permission_stops_no_other(tmp_path):
    """As a user who may not read it; root may read everything."""
    put(tmp_path, "demo/1", "demo/2", "other/1", "closed/1", "7/1")
    (tmp_path / "demo/2").chmod(0)
    (tmp_path / "closed").chmod(0)
    (tmp_path / "7").chmod(0)
    code = """
import os, sys
from pathlib import Path
from ganad_tf.serving.models.repository import Repository
if os.geteuid() == 0:
    os.seteuid(65534)
repository = Repository(Path(sys.argv[1]))
repository.refresh()
repository.refresh()
assert repository.names() == ["demo", "other"], repository.names()
assert repository.get("demo")[0] == 1
state = repository.versions("demo")[2]
assert (state.name, "demo/2" in state.reason, "Permission denied" in state.reason) == ("END", True, True), state
assert sys.argv[1] not in state.reason
"""
    for folder in (tmp_path, *tmp_path.parents):  # pytest's folders are the user's alone
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    (tmp_path / "demo/2").chmod(0o755)
    (tmp_path / "closed").chmod(0o755)
    (tmp_path / "7").chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_looked_into_is_told_with_its_reason_and_once(tmp_path, caplog):
    put(tmp_path, "demo/1", "demo/2")
    (tmp_path / "demo/2/saved_model.pb").unlink()
    (tmp_path / "demo/2/saved_model.pb").symlink_to("saved_model.pb")  # a link to itself
    repository = Repository(tmp_path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            repository.refresh()
    assert states(repository) == {2: "END", 1: "AVAILABLE"}
    assert "demo/2" in repository.versions("demo")[2].reason
    assert len(caplog.records) == 1
    answer = rest.status(repository.versions("demo"))["model_version_status"]
    assert [row["status"]["error_code"] for row in answer] == ["UNKNOWN", "OK"]
    assert answer[0]["status"]["error_message"] == repository.versions("demo")[2].reason
    with pytest.raises(NotHereError, match="can't be used in version 2: "):
        repository.get("demo", 2)


@pytest.mark.slow
def test_a_good_model_outlives_its_files(tmp_path, expected):
    """Truncated in place, renamed away for a moment, not to be listed: it is served until its version is gone."""
    put(tmp_path / "models", "demo/1")
    repository = Repository(tmp_path / "models")
    repository.refresh()
    for file in ("saved_model.pb", "variables/variables.index", "assets.extra/ganad.json"):
        path = tmp_path / "models/demo/1" / file
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 3])
        repository.refresh()
        assert score(repository) == pytest.approx(expected, rel=1e-5)
        state = repository.versions("demo")[1]
        assert (state.name, "demo/1" in state.reason) == ("AVAILABLE", True)
        path.write_bytes(content)
        repository.refresh()
        assert repository.versions("demo")[1].reason == ""
    (tmp_path / "models/demo").rename(tmp_path / "away")
    repository.refresh()
    assert score(repository) == pytest.approx(expected, rel=1e-5)
    (tmp_path / "away").rename(tmp_path / "models/demo")
    repository.refresh()
    (tmp_path / "models").rename(tmp_path / "unmounted")
    for _ in range(2 * inventory.SCANS_UNTIL_GONE):
        repository.refresh()
    assert score(repository) == pytest.approx(expected, rel=1e-5)
    (tmp_path / "models").symlink_to("models")  # can't be listed
    repository.refresh()
    assert repository.names() == ["demo"]
    (tmp_path / "models").unlink()
    (tmp_path / "unmounted").rename(tmp_path / "models")
    shutil.rmtree(tmp_path / "models/demo")
    for _ in range(inventory.SCANS_UNTIL_GONE):
        assert repository.names() == ["demo"]
        repository.refresh()
    assert repository.names() == []
    with pytest.raises(NotHereError, match="demo is not here; there are: none"):
        repository.get("demo")


@pytest.mark.slow
def test_half_a_version_is_served_when_the_other_half_arrives(tmp_path):
    put(tmp_path, "demo/1")
    repository = Repository(tmp_path)
    repository.refresh()
    shutil.copytree(DEMO / "1/assets.extra", tmp_path / "demo/2/assets.extra")
    (tmp_path / "demo/2/saved_model.pb").write_bytes(b"half of a mod")
    repository.refresh()
    assert (repository.get("demo")[0], states(repository)) == (1, {2: "END", 1: "AVAILABLE"})
    shutil.copytree(DEMO / "1", tmp_path / "demo/2", dirs_exist_ok=True)
    repository.refresh()
    assert (repository.get("demo")[0], states(repository)) == (2, {2: "AVAILABLE", 1: "AVAILABLE"})
    assert repository.loaded("demo", 1) is None
    assert repository.get("demo", 1)[0] == 1
    repository.refresh()
    assert repository.loaded("demo", 1)  # it was asked for not long ago


@pytest.mark.slow
def test_versions_that_come_and_go_under_load_cost_no_answer(tmp_path, expected):
    put(tmp_path, "demo/1")
    repository = Repository(tmp_path)
    repository.refresh()
    is_over = threading.Event()

    def ask(_: int) -> list[float]:
        scores = []
        while not is_over.is_set():
            scores.append(score(repository))
        return scores

    with ThreadPoolExecutor(2) as pool:
        asking = pool.map(ask, range(2))
        try:
            shutil.copytree(DEMO / "1/variables", tmp_path / "demo/2/variables")
            (tmp_path / "demo/2/saved_model.pb").write_bytes(b"half of a mod")
            repository.refresh()
            shutil.copytree(DEMO / "1", tmp_path / "demo/2", dirs_exist_ok=True)
            repository.refresh()
            assert repository.loaded("demo")[0] == 2
            shutil.rmtree(tmp_path / "demo/2")
            for _ in range(inventory.SCANS_UNTIL_GONE):
                repository.refresh()
            assert repository.loaded("demo")[0] == 1
        finally:
            is_over.set()
        for scores in asking:
            assert scores == pytest.approx([expected] * len(scores), rel=1e-5)


@pytest.mark.slow
def test_hidden_folders_are_not_served_but_links_into_them_are(tmp_path, expected):
    """As Kubernetes mounts a ConfigMap: `demo -> ..data/demo`, `..data -> ..2026_11_28`."""
    put(tmp_path, "..2026_11_28/demo/1", "..2026_11_28/demo/.2.tmp", ".trash/1")
    (tmp_path / "..data").symlink_to("..2026_11_28")
    (tmp_path / "demo").symlink_to("..data/demo")
    repository = Repository(tmp_path)
    repository.refresh()
    assert repository.names() == ["demo"]
    assert score(repository) == pytest.approx(expected, rel=1e-5)
    put(tmp_path, "..2026_11_29/demo/2")  # Kubernetes swaps the link
    (tmp_path / "..new").symlink_to("..2026_11_29")
    (tmp_path / "..new").rename(tmp_path / "..data")
    shutil.rmtree(tmp_path / "..2026_11_28")
    repository.refresh()
    assert repository.get("demo")[0] == 2
    (tmp_path / "one").symlink_to("..data/demo")
    single = Repository(tmp_path / "one")
    single.refresh()
    assert single.names() == ["one"]


@pytest.mark.slow
def test_the_least_recently_used_make_room_and_come_back(tmp_path, expected):
    names = [f"m{number:02d}" for number in range(12)]
    put(tmp_path, *(f"{name}/1" for name in names))
    repository = Repository(tmp_path, most_loaded=3)
    repository.refresh()

    def in_memory() -> list[str]:  # without using them
        return sorted(name for name, known in repository._inventory.models.items() if known[1].artifact)

    assert repository.names() == names
    assert in_memory() == names[:3]
    for name in ("m00", "m11"):
        assert score(repository, name) == pytest.approx(expected, rel=1e-5)
    repository.refresh()
    assert in_memory() in (["m00", "m01", "m11"], ["m00", "m02", "m11"])  # these two were loaded at the same time
    assert score(repository, "m07") == pytest.approx(expected, rel=1e-5)
    assert in_memory() == ["m00", "m07", "m11"]
    (tmp_path / "m00/1/saved_model.pb").write_bytes(b"")  # can't be loaded again, so it stays
    repository.refresh()
    repository.get("m02")
    assert in_memory() == ["m00", "m02", "m07"]
    with pytest.raises(NotHereError, match="nobody is not here; there are: m00, m01, "):
        repository.get("nobody")


def test_broken_models_keep_no_room_from_others(tmp_path):
    put(tmp_path, "z/1")
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1/saved_model.pb").write_bytes(b"")
    repository = Repository(tmp_path, most_loaded=1)
    for _ in range(3):
        repository.refresh()
    assert repository.names() == ["z"]


@pytest.mark.parametrize(
    ("policy", "listed", "newest"),
    [
        pytest.param("all", {4: "END", 3: "AVAILABLE", 2: "AVAILABLE", 1: "AVAILABLE"}, 3, marks=pytest.mark.slow),
        ("latest:2", {4: "END", 3: "AVAILABLE", 2: "AVAILABLE"}, 3),
        ("specific:1,2", {2: "AVAILABLE", 1: "AVAILABLE"}, 2),
    ],
)
def test_the_served_versions_are_a_choice(tmp_path, policy, listed, newest):
    put(tmp_path, "demo/1", "demo/2", "demo/3")
    (tmp_path / "demo/4").mkdir()
    (tmp_path / "demo/4/saved_model.pb").write_bytes(b"")
    repository = Repository(tmp_path, policy=Policy.parse(policy))
    repository.refresh()
    assert (repository.get("demo")[0], states(repository)) == (newest, listed)
    for number in {1, 2, 3, 4} - {number for number, state in listed.items() if state != "END"}:
        with pytest.raises(NotHereError, match=f"(has no|can't be used in) version {number}"):
            repository.get("demo", number)


def test_under_latest_the_old_one_is_served_until_the_new_one_can_be(tmp_path):
    put(tmp_path, "demo/1")
    repository = Repository(tmp_path, policy=Policy.parse("latest:1"))
    repository.refresh()
    put(tmp_path, "demo/2")
    assert states(repository) == {2: "AVAILABLE", 1: "AVAILABLE"}
    assert repository.loaded("demo")[0] == 1
    repository.refresh()
    assert (repository.loaded("demo")[0], states(repository)) == (2, {2: "AVAILABLE"})


@pytest.mark.parametrize("text", ["", "newest", "latest", "latest:0", "latest:-1", "specific:", "specific:1;2", "1,2"])
def test_a_policy_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected all, latest:N or specific:N,N"):
        Policy.parse(text)


def test_one_models_folder_can_have_another_name(tmp_path):
    put(tmp_path, "demo/1")
    repository = Repository(tmp_path / "demo", name="fan_7")
    repository.require_models()
    repository.refresh()
    assert (repository.names(), repository.get("fan_7")[0]) == (["fan_7"], 1)
    with pytest.raises(NotHereError, match="demo is not here; there are: fan_7"):
        repository.get("demo")
    with pytest.raises(DataError, match="--model-name fan_7 is for a folder of its versions"):
        Repository(tmp_path, name="fan_7").require_models()
    for folder in ("nowhere", "demo/1/variables"):
        with pytest.raises(DataError, match="^Expected exported models in"):
            Repository(tmp_path / folder).require_models()


def test_nothing_is_ready_before_the_first_model_is_loaded_and_following_loads_it(tmp_path):
    put(tmp_path, "demo/1", "other/1")
    repository = Repository(tmp_path)
    assert repository.names() == []
    repository.follow(0.1)
    end = time.monotonic() + 60
    while not repository.names():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert repository.names() == ["demo", "other"]
    repository.close()


def test_every_signature_is_warm(tmp_path):
    put(tmp_path, "demo/1")
    repository = Repository(tmp_path)
    repository.refresh()
    _, warm = repository.get("demo")
    cold = Artifact(DEMO)
    log_mel = {"log_mel": np.full([1, 9, 128], -50, np.float32)}
    file = {"wav_bytes": np.array([wav.encode(CLIP["waveform"][0], 16000)], dtype=object)}
    inputs = {"score_frames": log_mel, "score_wav": file, "audio_format": {"request": np.zeros(1, np.float32)}}
    assert warm.signatures.keys() >= {"serving_default", "score_waveform", "score_wav", "score_frames", "explain"}
    for name in warm.signatures:
        times = []
        for artifact in (warm, cold):
            begin = time.process_time()  # other programs take no part in it
            artifact(name, inputs.get(name, CLIP))
            times.append(time.process_time() - begin)
        assert times[0] < times[1] / 2, name


def test_an_artifact_tells_package_date_and_threshold():
    known = json.loads((DEMO / "1/assets.extra/ganad.json").read_text())
    about = Artifact(DEMO).about()
    assert about["package"].startswith("ganad_tf ")
    assert (about["exported"][:2], about["machine"]) == ("20", "fan")
    assert about["threshold"] == known["threshold"]["value"] > 0


def test_numbers_count_on_from_what_is_there(tmp_path):
    assert versions.next_version(tmp_path / "none") == 1
    put(tmp_path, "demo/1")
    (tmp_path / "demo/7").mkdir()  # not complete
    assert versions.next_version(tmp_path / "demo") == 8
    assert list(versions.versions(tmp_path / "demo")) == [1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        ("{", "its content is wrong: Expecting property name"),
        ("[]", "it lacks the entry 'config'"),
        ('{"config": {"audio": {"sample_rate": 16000}}}', "it lacks the entry 'input'"),
        ('{"config": {"audio": {"rate": 16000}}, "input": 1}', "its content is wrong: .*rate"),
    ],
)
def test_unreadable_metadata_is_described_in_one_sentence(tmp_path, content, reason):
    path = tmp_path / "ganad.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=rf"^Expected {path} as `ganad export` writes it.*{reason}") as caught:
        metadata.read(path, lambda entries: int(entries["input"]))
    assert "Error" not in str(caught.value)
