"""Units for workers without the command's disk, without a cluster: paths, scratch directories, finished blocks."""

import os
import pickle
import re
import shutil
import sys
from contextlib import ExitStack
from subprocess import PIPE, Popen

import pytest
import requests
from conftest import ROOT, write_machine
from object_store import object_store

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import blocks
from ganad_tf.cache.blocks import Block
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import Clip, Listing
from ganad_tf.config.sections import Storage
from ganad_tf.engine.units import Unit, run_unit
from ganad_tf.run import MachineRun, machine_runs
from ganad_tf.storage import placeholders
from ganad_tf.storage.store import Store
from ganad_tf.storage.workspace import Workspace


def config_of(root, scratch=None, **more):
    names = ("dev_directory", "cache_directory", "model_directory", "result_directory")
    urls = {name: f"{root}/{name.partition('_')[0]}" for name in names}
    given = {**urls, "storage": {"scratch": scratch and str(scratch), "pause_seconds": 0.01}, "feature": {"n_mels": 16}}
    return configuration.from_mapping(given | more, source="here")


BUCKET = "sending"
HOLD = "import pathlib; from ganad_tf.storage.scratch import own_scratch as own; print(own(pathlib.Path('.'))); input()"


def test_workers_of_a_node_have_a_scratch_directory_each_and_that_of_a_killed_one_is_free(tmp_path):
    with ExitStack() as stack:

        def begun():
            command = [sys.executable, "-uc", HOLD]
            options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}, "text": True}
            process = stack.enter_context(Popen(command, **options, stdin=PIPE, stdout=PIPE))
            stack.callback(process.kill)
            return process, process.stdout.readline().strip()

        first, second = begun(), begun()
        assert [first[1], second[1]] == ["workers/0", "workers/1"]
        first[0].kill()
        first[0].wait(10)
        assert begun()[1] == first[1]


def test_a_sent_run_is_one_of_the_worker_s_own_folders(tmp_path, monkeypatch):
    """Homes differ; local directories stay."""
    from ganad_tf.cli.sending import SentRun

    monkeypatch.setenv("HOME", str(tmp_path / "command"))
    config = config_of("s3://plant", cache_directory="./cache")
    clip = Clip("fan/train/a.wav", "a.wav", "fan", "00", "train", 0, 40, 5 * 10**9)
    message = pickle.dumps(SentRun.of(MachineRun(config, Listing("fan", config.data_directory("dev"), (clip,)), "dev")))
    monkeypatch.setenv("HOME", str(tmp_path / "worker"))
    run = pickle.loads(message).here()
    images = tmp_path / "worker" / ".cache" / "ganad" / "workers" / "0" / "s3" / "plant"
    assert (run.config.model_directory, run.config.cache_directory) == (str(images / "model"), "./cache")
    assert run.listing.directory == images / "dev"
    assert placeholders.is_placeholder(images / "dev" / clip.file)
    assert (run.listing.clips, run.mode, run.machine) == ((clip,), "dev", "fan")
    assert run.config.score_settings() == config.score_settings()
    assert Cache(run, "train").source == "s3://plant/dev"


def test_a_recording_that_was_replaced_is_placed_anew(tmp_path):
    config = config_of("s3://plant", tmp_path)
    directory = config.data_directory("dev")
    for size, mtime_ns in ((40, 5 * 10**9), (40, 6 * 10**9), (44, 6 * 10**9)):
        clip = Clip("fan/a.wav", "a.wav", "fan", "00", "train", 0, size, mtime_ns)
        Workspace(config).place([clip], directory)
        status = (directory / clip.file).stat()
        assert (status.st_size, status.st_mtime_ns) == (size, mtime_ns)
    Workspace(config).place([clip], tmp_path.parent / "elsewhere")  # no image of a URL
    assert not (tmp_path.parent / "elsewhere").exists()


@pytest.mark.slow
def test_a_finished_block_is_computed_by_no_other_worker(tmp_path, monkeypatch):
    from ganad_tf.cli import sending

    write_machine(tmp_path / "dev", ids=("00",), n_train=2, n_test=1)
    with object_store() as (server, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        requests.put(f"{environment['AWS_ENDPOINT_URL']}/{BUCKET}", timeout=10)
        config = config_of(f"s3://{BUCKET}", tmp_path / "command")
        store = Store("s3://", Storage())
        for path in (tmp_path / "dev").rglob("*.wav"):
            store.write(f"s3://{BUCKET}/{path.relative_to(tmp_path).as_posix()}", path, None)
        Workspace(config).fetch("dev", directories=["dev_directory"])
        [run] = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
        cache = Cache(run, "train")
        clips = run.listing.clips_of("train")
        block = Block(cache.path, cache.fingerprint, cache.source, config, run.listing.directory, clips)
        unit = sending.sent_block(Unit("prepare", "fan", "fan", blocks.process, (block, 1)), block)
        fetched = []
        for worker in ("first", "second"):
            monkeypatch.setattr(sending, "own_scratch", lambda _, worker=worker: tmp_path / worker)
            del server.requests[:]
            outcome = run_unit(unit)
            assert (outcome.value, outcome.error) == (2, None)
            fetched.append([line for line in server.requests if re.match(r"GET \S+\.wav", line)])
        assert (len(fetched[0]), fetched[1]) == (2, [])
        sending.fetch_blocks(block)
        assert [entry.clip.file for entry in block.read()[0].entries] == [clip.file for clip in clips]
        sending.remove_blocks(block)
        shutil.rmtree(block.cache)
        assert store.find(f"s3://{BUCKET}/cache") == {}
        sending.fetch_blocks(block)
        assert not block.path.exists()
