"""Full disks, folders that may not be written, files that vanish or change: one sentence, and nothing is lost."""

import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import keras
import pytest
import yaml
from conftest import command_lines, gate_takes, write_machine

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.errors import DataError
from ganad_tf.run import MachineRun
from ganad_tf.training.train import train_detector

DISK_MB = 8
POWERLESS = [] if os.getuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]  # root may write anywhere
CACHE, MODEL, RESULT = "cache", "model", "result"
VERBS = {"prepare": CACHE, "train": MODEL, "score": RESULT, "evaluate": RESULT, "export": "exported_models"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ganad):
    """A folder in which everything was done once, but for the export."""
    folder = tmp_path_factory.mktemp("finished")
    write_machine(folder / "dev_data", "fan", ids=("00",), n_train=70)
    mapping = {
        "dev_directory": str(folder / "dev_data"),
        **{f"{name}_directory": name for name in (CACHE, MODEL, RESULT)},
        "model": {"name": "DenseAE", "hidden": [16], "latent": 4},
        "fit": {"epochs": 2, "batch_size": 32},
    }
    (folder / "fan.yaml").write_text(yaml.safe_dump(mapping))
    ganad("run", "fan.yaml", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def powerless(tmp_path_factory):
    """Runs the command line as a user who may not write everywhere."""
    with command_lines(tmp_path_factory.mktemp("powerless"), *POWERLESS) as run:
        yield run


@pytest.fixture
def small_disk():
    """A disk of its own, of a few megabytes, that only this test sees."""
    script = f"mount -t tmpfs -o size={DISK_MB}m none /mnt && echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        if holder.stdout.readline() != "ready\n":
            pytest.skip("this machine does not let a test mount a disk of its own")
        yield Path(f"/proc/{holder.pid}/root/mnt")
        holder.stdin.close()


def brought_up_to(verb, finished, folder):
    """Copies what was done before `verb`, but for what it writes itself."""
    made = list(dict.fromkeys(VERBS.values()))
    shutil.copy(finished / "fan.yaml", folder)
    for name in made[: made.index(VERBS[verb])]:
        shutil.copytree(finished / name, folder / name, copy_function=shutil.copy2)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "filler"}


def assert_one_sentence(said, reason):
    assert said.count("ganad: ") == 1
    assert reason in said.strip().splitlines()[-1]
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("verb", "free_kb"),
    [
        *(("prepare", 200), ("score", 8)),
        *(
            pytest.param(verb, free_kb, marks=pytest.mark.slow)
            for verb, free_kb in (("prepare", 0), ("train", 60), ("train", 0), ("score", 0), ("export", 60))
        ),
    ],
)
def test_a_full_disk_is_one_sentence_and_loses_nothing(finished, small_disk, ganad, verb, free_kb):
    brought_up_to(verb, finished, small_disk)
    before = contents(small_disk)
    filler = small_disk / "filler"
    with filler.open("wb") as stream:
        stream.write(bytes(shutil.disk_usage(small_disk).free - free_kb * 1024))
    assert_one_sentence(ganad(verb, "fan.yaml", cwd=small_disk, check=2).stderr, "No space left on device")
    assert contents(small_disk).items() >= before.items()
    filler.unlink()
    ganad(verb, "fan.yaml", cwd=small_disk)
    assert not [path for path in small_disk.rglob(".*") if path.suffix in (".tmp", ".lock", ".holder")]


@pytest.mark.parametrize("verb", gate_takes(("prepare", "train", "score", "export"), "prepare", "train"))
def test_a_folder_that_may_not_be_written_is_one_sentence(finished, powerless, tmp_path, verb):
    brought_up_to(verb, finished, tmp_path)
    before = contents(tmp_path)
    (tmp_path / VERBS[verb]).mkdir()
    (tmp_path / VERBS[verb]).chmod(0o555)
    assert_one_sentence(powerless(verb, "fan.yaml", cwd=tmp_path, check=2).stderr, "Permission denied")
    assert contents(tmp_path) == before


def test_a_recording_that_vanishes_while_others_are_read_is_named(finished, tmp_path):
    shutil.copytree(finished / "dev_data", tmp_path / "dev_data")
    config = configuration.load(
        finished / "fan.yaml", [f"dev_directory={tmp_path / 'dev_data'}", f"cache_directory={tmp_path / 'cache'}"]
    )
    (listing,) = datasets.list_clips(config, "dev")
    last = listing.clips_of("train")[-1]

    def removing(items, _):
        for number, item in enumerate(items):
            if not number:
                (listing.directory / last.file).unlink()
            yield item

    with pytest.raises(DataError, match=rf"1 of 70 clips can't be used(.|\n)*{last.name}: .*does not exist"):
        prepare_cache(MachineRun(config, listing, "dev"), "train", progress=removing)
    (listing,) = datasets.list_clips(config, "dev")
    assert prepare_cache(MachineRun(config, listing, "dev"), "train").n_kept == 69


def streamed(finished, place):
    """A run that trains from the cache in `place` without holding it in memory."""
    places = [f"{name}_directory={place / name}" for name in (CACHE, MODEL, RESULT)]
    config = configuration.load(finished / "fan.yaml", [*places, "fit.memory_budget_mb=0", "fit.epochs=5"])
    (listing,) = datasets.list_clips(config, "dev")
    return config, listing


class AfterAnEpoch(keras.callbacks.Callback):
    """Does something once the first epoch is over."""

    def __init__(self, what):
        super().__init__()
        self.what = what

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        if epoch == 0:
            self.what()


def test_a_cache_that_is_made_anew_while_training_streams_from_it_is_named(finished, tmp_path):
    shutil.copytree(finished / CACHE, tmp_path / CACHE, copy_function=shutil.copy2)
    config, listing = streamed(finished, tmp_path)
    backwards = dataclasses.replace(listing, clips=listing.clips[::-1])

    def make_anew():
        prepare_cache(MachineRun(config, backwards, "dev"), "train", fresh=True)

    with pytest.raises(DataError, match="The log-mels of fan were prepared anew while they were read"):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(AfterAnEpoch(make_anew),))


@pytest.mark.parametrize(
    "harm",
    [
        lambda shard: shard.unlink(),
        lambda shard: os.truncate(shard, 100_000),
        lambda shard: shard.write_bytes(shard.read_bytes()[:50_000] + b"\xff" * 9 + shard.read_bytes()[50_009:]),
    ],
    ids=["removed", "cut off", "overwritten"],
)
@pytest.mark.slow
def test_a_cache_that_changes_while_training_streams_from_it_is_named(finished, tmp_path, harm):
    shutil.copytree(finished / CACHE, tmp_path / CACHE, copy_function=shutil.copy2)
    config, listing = streamed(finished, tmp_path)

    def spoil():
        harm(max((tmp_path / CACHE).rglob("train/*.tfrecord"), key=lambda path: path.stat().st_size))

    with pytest.raises(DataError, match=r"The cache in .* is corrupted: .*Run `ganad prepare`"):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(AfterAnEpoch(spoil),))
    assert not Path(config.model_directory, "dev", "fan").exists()
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    assert train_detector(MachineRun(config, listing, "dev"))
