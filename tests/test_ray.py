"""`--ray`: the same files as without it, whoever is killed in between. Real clusters, real kills."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from conftest import ROOT, write_machine
from processes import Command
from test_tools import run

from ganad_tf.errors import ConfigError

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs the extra ray")]

MACHINES = ("fan", "pump")
CONFIG = """
dev_directory: ./dev
cache_directory: ./cache
model_directory: ./model
result_directory: ./result
feature: {n_mels: 16, frames: 3, standardize: true}
model: {name: DenseAE, hidden: [16], latent: 4}
fit: {epochs: 12, batch_size: 64, verbose: 0}
scorer: {name: density, pooling: lulls, whiten: true, density: knn, neighbors: 2}
"""
SEARCH = """
search:
  space: {feature.n_mels: [16, 8]}
  objective: val_loss
"""


@pytest.fixture(autouse=True, scope="module")
def without_tokens():
    """Clusters without Ray's tokens, which lie in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        yield


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for machine in MACHINES:
        write_machine(folder / "dev", machine, ids=("00",), n_train=12, n_test=4)
    return folder / "dev"


def project(folder, recordings, more=""):
    folder.mkdir()
    (folder / "dev").symlink_to(recordings)
    (folder / "all.yaml").write_text(CONFIG + more)
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory, recordings):
    """The project after a run in one process."""
    folder = project(tmp_path_factory.mktemp("plain") / "project", recordings)
    assert command(folder, "run", "all.yaml", "-q").wait(300) == 0
    return folder


def command(folder, *words):
    """A command in a project, with its log in a file beside it."""
    with log_of(folder).open("a") as log:
        return Command(*words, cwd=folder, stderr=log.fileno())


def log_of(folder):
    return folder.parent / "log"


def hashes(folder):
    """Checksums of the files of caches and scores; without those that have dates or the command line."""
    paths = [path for name in ("cache", "result") for path in (folder / name).rglob("*") if path.is_file()]
    kept = [path for path in paths if "origin" not in path.name]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def workers_in(folder):
    """Process IDs of workers that run a unit of a project."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if b"Worker.run" in (path / "cmdline").read_bytes() and (path / "cwd").samefile(folder):
                found.append(int(path.name))
    return found


def wait_for(condition, process, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, "it has ended"
        assert time.monotonic() < end
        time.sleep(0.02)


@contextmanager
def node(folder, *arguments, inside=(), **environment):
    """A node of a cluster, started as its users do, by the command `inside`; it has joined when the block begins."""
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]
    options = ["--num-cpus=1", "--disable-usage-stats", "--object-store-memory=80000000"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*inside, *command, *options, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_for(lambda: "block forever" in os.pread(log.fileno(), 10**6, 0).decode(), process)
            yield process
        finally:
            stop(process)


def stop(process, number=signal.SIGTERM):
    """Ends a node with everything that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@pytest.fixture(scope="module")
def cluster():
    """Address of a cluster of one node and one core, and a short folder for other nodes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; the address by which Ray knows this machine
        host = probe.getsockname()[0]
    with socket.socket() as free:
        free.bind((host, 0))
        port = free.getsockname()[1]
    options = ("--head", "--include-dashboard=false", f"--port={port}")
    with tempfile.TemporaryDirectory(prefix="gn") as folder, node(folder, *options, f"--temp-dir={folder}/head"):
        yield f"{host}:{port}", folder


def test_local_workers_and_kills_change_no_digit(tmp_path, recordings, plain):
    """A worker is killed, then the command; a machine type fails; the next command does what is left."""
    folder = project(tmp_path / "project", recordings)
    (folder / "dev").unlink()
    shutil.copytree(recordings, folder / "dev", copy_function=shutil.copy2)
    broken = folder / "dev" / "pump" / "train" / "normal_id_00_00000003.wav"
    broken.write_bytes(broken.read_bytes()[:30])
    first = command(folder, "run", "all.yaml", "--ray", "local")
    wait_for(lambda: (folder / "model" / "dev" / ".fan.holder").exists(), first)
    os.kill(workers_in(folder)[0], signal.SIGKILL)
    wait_for(lambda: "train fan: its worker was lost, it is run again" in log_of(folder).read_text(), first)
    first.kill()
    first.wait(60)
    assert command(folder, "run", "all.yaml", "--ray", "local").wait(300) == 2
    said = log_of(folder).read_text()
    assert "1 of 2 machine types failed: pump. --only-failed runs them again." in said
    assert "Traceback" not in said
    assert json.loads((folder / "result" / "failed_run_dev.json").read_text()).keys() == {"pump"}
    expected = {name: value for name, value in hashes(plain).items() if "fan" in name}
    assert len(expected) > 5
    assert {name: value for name, value in hashes(folder).items() if "fan" in name} == expected


def test_a_cluster_that_loses_a_node(tmp_path, recordings, plain, cluster):
    address, place = cluster
    folder = project(tmp_path / "project", recordings)
    with node(place, f"--address={address}") as second:
        process = command(folder, "run", "all.yaml", "--ray", address)
        wait_for(lambda: len(workers_in(folder)) == 2, process)
        stop(second, signal.SIGKILL)
        assert process.wait(300) == 0, log_of(folder).read_text()
    assert "run again" in log_of(folder).read_text()
    assert hashes(folder) == hashes(plain)


def test_a_search_by_trials_finds_what_one_process_finds(tmp_path, recordings, cluster):
    address, _ = cluster
    tables = []
    for name, more in (("plain", ()), ("wide", ("--ray", address))):
        folder = project(tmp_path / name, recordings, SEARCH)
        words = ("search", "all.yaml", "--machine", "fan", "--set", "model={name: SpectrumDensity}", *more)
        with log_of(folder).open("a") as log:
            process = Command(*words, cwd=folder, stderr=log.fileno(), has_stdout=True)
        with process.stdout:
            tables.append(process.stdout.read())
        assert process.wait(300) == 0
        trials = (folder / "result" / "search" / "trials.csv").read_text()
        tables = [re.sub(r"\d+\.\d\b", "", table) for table in (*tables, trials)]  # without seconds
        assert not list((folder / "result" / "search" / "machines" / "fan" / "models").glob("*"))
    assert tables[1] == tables[3]
    assert tables[0].replace("plain", "wide").split("settings:")[0] == tables[2].split("settings:")[0]


def test_an_interrupted_command_says_how_it_goes_on(tmp_path, recordings, cluster):
    address, _ = cluster
    folder = project(tmp_path / "project", recordings)
    process = command(folder, "prepare", "all.yaml", "--ray", address)
    wait_for(lambda: workers_in(folder), process)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    said = log_of(folder).read_text()
    assert re.search(r"interrupted while .* units are finished.* To go on: ganad prepare all\.yaml --ray", said), said


def test_a_node_with_another_version_is_refused(tmp_path, recordings, cluster):
    address, place = cluster
    other = tmp_path / "other"
    shutil.copytree(ROOT / "ganad_tf", other / "ganad_tf", ignore=shutil.ignore_patterns("__pycache__"))
    about = other / "ganad_tf" / "__init__.py"
    about.write_text(re.sub(r'__version__ = ".*"', '__version__ = "0.0.9"', about.read_text()))
    folder = project(tmp_path / "project", recordings)
    with node(place, f"--address={address}", PYTHONPATH=str(other)):
        assert command(folder, "prepare", "all.yaml", "--ray", address).wait(120) == 2
    assert "Received: ganad_tf 0.0.9 on" in log_of(folder).read_text()


def test_a_cluster_that_is_not_there_is_one_sentence(ganad, tmp_path, recordings):
    project(tmp_path / "project", recordings)
    for address, reason in (
        ("127.0.0.1:1", r"Expected a Ray cluster at 127\.0\.0\.1:1, but it can't be reached \(Connection refused\)\."),
        ("nowhere", r"Expected `local` or HOST:PORT with --ray.* Received: nowhere\."),
        ("node:²", r"Expected `local` or HOST:PORT with --ray.* Received: node:²\."),
    ):
        begin = time.monotonic()
        said = ganad("prepare", "all.yaml", "--ray", address, cwd=tmp_path / "project", check=2).stderr
        assert re.search(reason, said)
        assert time.monotonic() - begin < 30
    assert not (tmp_path / "project" / "cache").exists()


def test_a_node_without_the_folder_is_refused(tmp_path):
    from ganad_tf.engine.ray_workers import Worker, WorkerSettings

    settings = WorkerSettings(str(tmp_path / "project"), True, {}, 30, print)
    with pytest.raises(ConfigError, match=r"the folder .*project on every node .* No such file or directory on"):
        Worker().set_up(settings)


def test_costs_and_gains_are_measured(tmp_path):
    """tools/scaling.py on one tiny machine."""
    few = ["dataset.synthetic.n_train=8", "dataset.synthetic.seconds=1", "model={name: SpectrumDensity}"]
    printed = run("scaling.py", "out", "--units", 20, "--machines", 1, "--set", *few, cwd=tmp_path)
    values = dict(line.rsplit(maxsplit=1) for line in printed.splitlines())
    assert 0 < float(values["in this process, ms per unit"]) < float(values["on Ray, ms per unit"]) < 1000
    assert float(values["speed-up"]) > 0
