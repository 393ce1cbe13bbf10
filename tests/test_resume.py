"""Killed at any moment and started again: nothing is lost, and nothing comes out otherwise."""

import dataclasses
import os
import random
import re
import shutil
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from conftest import write_machine
from processes import Command
from small_detectors import UNLABELLED, arguments

from ganad_tf import config as configuration
from ganad_tf import datasets, runtime
from ganad_tf.cache import windows as pipeline
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.cache.validation import split_by_file
from ganad_tf.errors import ConfigError
from ganad_tf.files.throttle import Throttle
from ganad_tf.run import MachineRun
from ganad_tf.scoring import score
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.partial_scores import PartialScores
from ganad_tf.scoring.score import score_clips
from ganad_tf.training import checkpoint, fused_steps
from ganad_tf.training.train import train_detector

KILLS = int(os.environ.get("GANAD_KILLS", "6"))  # shared by all detectors
SMALL = {name: arguments(name) for name in UNLABELLED}
SMALL["AEGAN"] |= {"base": 2}
SMALL["GANomaly"] |= {"dropout": 0.1}
SMALL["MPDR"] |= {"pretraining_share": 0.25}  # killed in its second stage
SMALL["TIAE"] |= {"self_paced": True}  # with what it remembers of the epoch before
AUGMENTED = {"DenseAE": {"gain_db": 3.0, "mixup": 0.2, "band_mask": 16, "time_mask": 2, "time_shift": 2}}


@pytest.fixture(autouse=True, scope="module")
def deterministic():
    """Operations as the command line has them."""
    runtime.deterministic()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_machine(folder / "data", "fan", ids=("00",), n_train=12)
    return folder


def project(tmp_path, recordings, name, *, epochs=12, **changes):
    """A configuration file with directories of its own."""
    tmp_path.mkdir(exist_ok=True)
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(recordings / "cache"),
        "model_directory": str(tmp_path / "model"),
        "result_directory": str(tmp_path / "result"),
        "feature": {"standardize": True},
        "model": {"name": name, **SMALL[name]},
        "fit": {"epochs": epochs, "batch_size": 32, **changes},
        "augmentation": AUGMENTED.get(name, {}),
    }
    path = tmp_path / "experiment.yaml"
    path.write_text(yaml.safe_dump(mapping))
    return path


def result_of(path):
    """Weights, curves and every file of results of an experiment."""
    config = configuration.load(path)
    model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
    files = {each.name: each.read_bytes() for each in (path.parent / "result").glob("*.csv")}
    return model.detector.get_weights(), model.record["history"], files


def assert_same(one, other):
    """To the last digit."""
    for mine, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one[1:] == other[1:]
    assert one[2]


class KilledError(Exception):
    """Stands for a kill between two steps."""


class Kill(keras.callbacks.Callback):
    """Ends training after a batch of an epoch, when nothing of that epoch can be kept."""

    def __init__(self, epoch):
        super().__init__()
        self.at, self.epoch = epoch, 0

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):  # noqa: ARG002
        if self.epoch == self.at:
            raise KilledError


@pytest.mark.parametrize(
    ("name", "budget_mb", "is_compiled"),
    [
        ("DenseAE", 64, False),
        *(
            pytest.param(name, budget_mb, is_compiled, marks=pytest.mark.slow)
            for name, budget_mb, is_compiled in (
                ("GANomaly", 64, False),
                ("DenseAE", 0, False),
                ("DenseAE", 64, True),
                ("DRINK", 64, False),
                ("AEGAN", 64, False),
                ("FAnoGAN", 64, True),
                ("SpectrumDensity", 64, False),
                ("MPDR", 0, False),
                ("EGBAD", 64, True),
                ("TIAE", 64, False),
            )
        ),
    ],
)
def test_an_interrupted_training_ends_as_one_that_was_not(
    tmp_path, recordings, monkeypatch, name, budget_mb, is_compiled
):
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))  # after every epoch
    monkeypatch.setattr(fused_steps, "WORTH_COMPILING", 0 if is_compiled else 10**9)
    stopping = {"restore_best": True, "patience": 2} if name in ("GANomaly", "DenseAE") else {}
    results = []
    for folder in ("undisturbed", "interrupted"):
        path = project(tmp_path / folder, recordings, name, epochs=4, memory_budget_mb=budget_mb, **stopping)
        config = configuration.load(path)
        (listing,) = datasets.list_clips(config, "dev")
        prepare_cache(MachineRun(config, listing, "dev"), "train")
        for epoch in (2,) if folder == "interrupted" else ():
            with suppress(KilledError):  # early stopping may come first
                train_detector(MachineRun(config, listing, "dev"), callbacks=(Kill(epoch),))
        train_detector(MachineRun(config, listing, "dev"))
        model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
        assert not list(Path(config.model_directory, "dev", "fan").parent.glob("*unfinished*"))
        results.append((model.detector.get_weights(), model.record["history"]))
    assert results[0][1] == results[1][1]
    for mine, theirs in zip(results[0][0], results[1][0], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["DenseAE", "EGBAD", "FAnoGAN"])
def test_killed_again_and_again_a_run_ends_with_the_same_results(tmp_path, recordings, ganad, name):
    """A real kill of the real command, at moments that chance chooses: while it trains, saves or scores."""
    epochs = 1 if name == "SpectrumDensity" else 60
    paths = [project(tmp_path / folder, recordings, name, epochs=epochs) for folder in ("undisturbed", "killed")]
    ganad("run", paths[0], cwd=tmp_path)
    moments = random.Random(name)
    said = ""
    for _ in range(-(-KILLS // len(SMALL))):
        if (tmp_path / "killed" / "model" / "dev" / "fan").exists():  # that far already: begin again
            shutil.rmtree(tmp_path / "killed" / "model")
        process = Command("run", paths[1])
        while process.poll() is None and not list((tmp_path / "killed" / "model").rglob("fan*")):
            time.sleep(0.02)
        with suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0, 2))
        process.kill()
        said += process.rest_of_log()
    said += ganad("run", paths[1], cwd=tmp_path).stderr
    assert "going on after epoch" in said or epochs == 1
    assert_same(result_of(paths[1]), result_of(paths[0]))
    assert not [each for each in tmp_path.rglob(".*") if each.suffix in (".tmp", ".lock", ".holder")]


@pytest.mark.slow
def test_an_unfinished_training_of_other_settings_is_refused_unless_fresh(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))
    config = configuration.load(project(tmp_path, recordings, "DenseAE", epochs=4))
    (listing,) = datasets.list_clips(config, "dev")
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    with pytest.raises(KilledError):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(Kill(2),))
    other = dataclasses.replace(config, seed=7)
    with pytest.raises(ConfigError, match=r"unfinished training .* made with `seed: 0`.*add --fresh"):
        train_detector(MachineRun(other, listing, "dev"))
    assert train_detector(MachineRun(other, listing, "dev"), fresh=True)
    before = ModelDirectory(Path(config.model_directory, "dev", "fan")).load().detector.get_weights()
    with pytest.raises(ConfigError, match="seed"):
        train_detector(MachineRun(config, listing, "dev"))
    assert train_detector(MachineRun(config, listing, "dev"), fresh=True)
    after = ModelDirectory(Path(config.model_directory, "dev", "fan")).load().detector.get_weights()
    assert not np.array_equal(before[0], after[0])


@pytest.mark.slow
def test_a_killed_fresh_training_goes_on_though_an_older_detector_is_there(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))
    config = configuration.load(project(tmp_path, recordings, "DenseAE", epochs=4))
    (listing,) = datasets.list_clips(config, "dev")
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    train_detector(MachineRun(config, listing, "dev"))
    before = ModelDirectory(Path(config.model_directory, "dev", "fan")).identity()
    with pytest.raises(KilledError):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(Kill(2),), fresh=True)
    assert ModelDirectory(Path(config.model_directory, "dev", "fan")).identity() == before
    begun = []
    train_detector(
        MachineRun(config, listing, "dev"),
        callbacks=(keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: begun.append(epoch)),),  # noqa: ARG005
    )
    assert begun == [2, 3]
    assert ModelDirectory(Path(config.model_directory, "dev", "fan")).identity() != before
    assert not train_detector(MachineRun(config, listing, "dev"))


def test_an_unfinished_training_that_cannot_be_read_begins_again(tmp_path, recordings, monkeypatch, caplog):
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))
    config = configuration.load(project(tmp_path, recordings, "DenseAE", epochs=3))
    (listing,) = datasets.list_clips(config, "dev")
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    with pytest.raises(KilledError):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(Kill(1),))
    (kept,) = Path(config.model_directory, "dev", "fan").parent.glob("*unfinished*")
    content = kept.read_bytes()
    for spoilt in (content[:-3000], content[:9000] + bytes(99) + content[9099:], b""):
        kept.write_bytes(spoilt)
        reader = checkpoint.Checkpoint(kept, {})
        reader.read()
        assert reader.epoch == 0
    assert "can't be read" in caplog.text
    assert train_detector(MachineRun(config, listing, "dev"))


def test_the_weights_with_the_lowest_validation_loss_are_kept(tmp_path, recordings):
    path = project(tmp_path, recordings, "DenseAE", epochs=30, restore_best=True, patience=3)
    config = configuration.load(path)
    config = dataclasses.replace(
        config,
        fit=dataclasses.replace(config.fit, compile=dataclasses.replace(config.fit.compile, learning_rate=0.3)),
    )
    (listing,) = datasets.list_clips(config, "dev")
    prepare_cache(MachineRun(config, listing, "dev"), "train")
    train_detector(MachineRun(config, listing, "dev"))
    model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
    losses = model.record["history"]["val_loss"]
    assert len(losses) == min(len(losses) - 1, int(np.argmin(losses))) + 4 < 30
    entries = Cache(MachineRun(config, listing, "dev"), "train").current().entries
    _, held_out = split_by_file(entries, config.fit.validation_split, config.seed)
    source = pipeline.Source(
        KeptSpectra(Path(config.cache_directory, "dev", "fan", "train")), held_out, 128, 5, model.normalizer
    )
    windows = np.concatenate(
        list(pipeline.window_batches(source, batch_size=32, seed=None, memory_budget_mb=64).as_numpy_iterator())
    )
    assert np.mean((model.detector(windows) - windows) ** 2) == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.slow
def test_a_second_process_is_told_who_is_at_it_and_a_dead_one_locks_nobody_out(tmp_path, recordings, ganad):
    path = project(tmp_path, recordings, "DenseAE", epochs=100_000)
    ganad("prepare", path, cwd=tmp_path)
    first = Command("train", path)
    lock = tmp_path / "model" / "dev" / ".fan.lock"
    holder = lock.with_suffix(".holder")
    while not (holder.exists() and holder.read_text()):
        assert first.poll() is None
        time.sleep(0.05)
    said = ganad("train", path, cwd=tmp_path, check=2).stderr
    assert re.search(rf"fan is being written by process {first.pid} on \S+; wait for it", said)
    first.kill()
    first.rest_of_log()
    assert lock.exists()
    ganad("train", path, "--set", "fit.epochs=2", "--fresh", cwd=tmp_path)
    assert not lock.exists() and not holder.exists()


def test_an_interrupted_scoring_goes_on_clip_by_clip(tmp_path, recordings, monkeypatch):
    config = configuration.load(project(tmp_path, recordings, "DenseAE", epochs=1))
    (listing,) = datasets.list_clips(config, "dev")
    for split in ("train", "test"):
        prepare_cache(MachineRun(config, listing, "dev"), split)
    train_detector(MachineRun(config, listing, "dev"))
    score_clips(MachineRun(config, listing, "dev"))
    written = {each.name: each.read_bytes() for each in (tmp_path / "result").glob("*.csv")}
    monkeypatch.setattr(score, "PartialScores", partial(PartialScores, max_share_of_time=1e9))

    def up_to(n, seen):
        def progress(items, total):
            for number, item in enumerate(items):
                if number == n:
                    raise KilledError
                seen.append((item[0].clip.file, total))
                yield item

        return progress

    first, second, third = [], [], []
    with pytest.raises(KilledError):
        score_clips(MachineRun(config, listing, "dev"), progress=up_to(4, first))
    leftover = tmp_path / "result" / ".anomaly_score_fan_id_00.csv.123.tmp"  # of a process that was killed
    leftover.write_text("half a")
    score_clips(MachineRun(config, listing, "dev"), progress=up_to(99, second))
    n_clips = len(listing.clips_of("test"))
    assert [len(first), len(second), second[0][1]] == [4, n_clips - 4, n_clips - 4]
    assert {each.name: each.read_bytes() for each in (tmp_path / "result").glob("*.csv")} == written
    assert not leftover.exists()
    assert not list((tmp_path / "result").glob(".unfinished*"))
    score_clips(MachineRun(config, listing, "dev"), progress=up_to(99, third))
    assert len(third) == n_clips
