"""A Ray cluster whose nodes have no common folder: network namespaces, a store that all reach, and a power failure."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
import requests
from conftest import ROOT, write_machine
from object_store import BUCKET, object_store
from processes import Command
from test_ray import node

from ganad_tf.config.sections import Storage
from ganad_tf.storage import fetching
from ganad_tf.storage.folder import Folder
from ganad_tf.storage.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs the extra ray")]

CONFIG = """
dev_directory: {root}/dev
cache_directory: {root}/cache
model_directory: {root}/model
result_directory: {root}/result
feature: {{n_mels: 16, frames: 3}}
model: {{name: DenseAE, hidden: [8], latent: 4}}
fit: {{epochs: 1, batch_size: 64, verbose: 0, min_steps: 0}}
storage: {{pause_seconds: 0.05, timeout_seconds: 10}}
"""
URL = f"s3://{BUCKET}/lab"
NETWORK = f"10.231.{os.getpid() % 250}"
HIDDEN = 'mount -t tmpfs none "$0" && mkdir -p "$HOME" && exec "$@"'


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def hosts():
    """Addresses by name of two network namespaces, and of the bridge between them, which this process is at."""
    names = {f"gn{os.getpid()}{letter}": f"{NETWORK}.{number}" for number, letter in enumerate("ab", start=2)}
    bridge, begun = f"gn{os.getpid()}", []
    try:
        try:
            ip("link", "add", bridge, "type", "bridge")
            begun.append(("link", "del", bridge))
            for name in names:
                ip("netns", "add", name)
                begun.append(("netns", "del", name))
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespaces here: {getattr(error, 'stderr', error)}")
        ip("addr", "add", f"{NETWORK}.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for name, address in names.items():
            ip("link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"{name}0", "master", bridge, "up")
            ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                ip("-n", name, "link", "set", device, "up")
        yield names, f"{NETWORK}.1"
    finally:
        for words in reversed(begun):
            ip(*words)


def cut_power(name):
    """Kills all processes of a namespace at once."""
    for number in ip("netns", "pids", name).split():
        with suppress(ProcessLookupError):
            os.kill(int(number), signal.SIGKILL)


@pytest.fixture
def place():
    """A folder with a path that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="gn") as folder:
        yield Path(folder)


@contextmanager
def store(host):
    with object_store(host) as (server, environment), pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        requests.put(f"{environment['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=10)
        yield server


def test_nodes_without_a_common_folder_write_the_same_scores_also_when_one_fails(hosts, place):
    """The power of the second node fails while it publishes a detector; it can't see the folders of the first.

    A machine type fails too, which leaves the tables to another command.
    """
    (first, second), addresses = hosts[0], hosts[0]
    here = place / "here"
    for machine in ("fan", "pump"):
        write_machine(here / "dev", machine, ids=("00",), n_train=4, n_test=2)
    write_machine(here / "dev", "valve", ids=("00",), n_train=4, n_test=2)
    (here / "dev" / "valve" / "train" / "normal_id_00_00000001.wav").write_bytes(b"RIFF")
    (here / "plain.yaml").write_text(CONFIG.format(root="."))
    (here / "wide.yaml").write_text(CONFIG.format(root=URL))
    with (here / "log").open("w") as log:
        plain = Command("run", "plain.yaml", "-q", "--machine", "fan", "pump", cwd=here, stderr=log.fileno())
    with ExitStack() as stack:
        server = stack.enter_context(store(hosts[1]))
        settings = Storage(str(place / "reader"))
        for path in (here / "dev").rglob("*.wav"):
            Store(URL, settings).write(f"{URL}/{path.relative_to(here).as_posix()}", path, None)
        address = f"{addresses[first]}:6379"
        inside = ["ip", "netns", "exec", first]
        options = ("--head", "--include-dashboard=false", "--port=6379", f"--temp-dir={place}/ray")
        homes = {name: str(place / name) for name in (first, second)}
        begin = [*options, f"--node-ip-address={addresses[first]}"]
        stack.enter_context(node(place, *begin, inside=inside, HOME=homes[first]))
        apart = ["ip", "netns", "exec", second, "sh", "-c", HIDDEN, str(place)]
        begin = [f"--address={address}", f"--node-ip-address={addresses[second]}"]
        stack.enter_context(node("/", *begin, inside=apart, HOME=homes[second]))
        failed = []

        def fail(environ):
            name, is_write = environ["PATH_INFO"], environ["REQUEST_METHOD"] == "PUT"
            is_detector = "/lab/model/" in name and name.endswith(".keras")
            if environ["REMOTE_ADDR"] == addresses[second] and is_write and is_detector and not failed:
                failed.append(name)
                cut_power(second)
            return ""

        server.fault = fail
        done = subprocess.run(
            [*inside, sys.executable, "-m", "ganad_tf", "run", "wide.yaml", "--ray", address],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": homes[first]},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert "1 of 3 machine types failed: valve." in done.stderr
        assert len(failed) == 1
        assert "its worker was lost, it is run again" in done.stderr
        assert plain.wait(100) == 0, (here / "log").read_text()
        assert not Store(URL, settings).info(f"{URL}/result/result.csv")
        with (here / "log").open("a") as log:
            words = ("evaluate", "wide.yaml", "--machine", "fan", "pump", "--set", f"storage.scratch={place}/evaluate")
            assert Command(*words, cwd=here, stderr=log.fileno()).wait(100) == 0, (here / "log").read_text()
        found = Folder("files", place / "reader" / "s3" / BUCKET / "lab", settings)
        fetching.fetch(found)
        assert not [name for name in found.store.find(URL) if ".blocks" in name]
    made = 0
    for path in here.rglob("*"):
        name = path.relative_to(here).as_posix()
        if path.suffix in (".csv", ".tfrecord", ".npz") and not name.startswith("dev/"):
            assert (found.path / name).read_bytes() == path.read_bytes(), name
            made += 1
    assert made >= 12
