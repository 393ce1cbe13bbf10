"""Programs: trainings with the same settings share what was traced, and end as if each had been the first."""

import dataclasses

import keras
import numpy as np
import pytest
from conftest import write_machine
from small_detectors import arguments

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import windows
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.training import fused_steps, programs
from ganad_tf.training.build import build
from ganad_tf.training.programs import Program
from ganad_tf.training.train import train_detector

N_TRAIN = {"fan": 6, "pump": 7}  # clips per machine ID


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    for machine, n_train in N_TRAIN.items():
        write_machine(folder / "data", machine, n_train=n_train)
    return folder


def runs(folder, recordings, name, **fit):
    """Runs of both machine types, with log-mels in the cache."""
    settings = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(recordings / "cache"),
        "model_directory": str(folder / "model"),
        "deterministic": False,
        "feature": {"standardize": True},
        "model": {"name": name, **arguments(name)},
        "fit": {"epochs": 2, "batch_size": 32, "min_steps": 0, **fit},
    }
    config = configuration.from_mapping(settings, source="test")
    found = {listing.machine: MachineRun(config, listing, "dev") for listing in datasets.list_clips(config, "dev")}
    for run in found.values():
        prepare_cache(run, "train")
    return found


def trained(run, **how):
    """Weights and losses of a training."""
    train_detector(run, fresh=True, **how)
    model = ModelDirectory.of(run).load()
    return model.detector.get_weights(), model.record["history"]


def assert_same(one, other):
    """To the last digit."""
    for mine, theirs in zip(one[0], other[0], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert one[1] == other[1]


def forget():
    """Drops the program that was kept."""
    assert programs.take("none has this key") is None


# With random numbers, stages, what is remembered from step to step, and labels; other detectors step like these.
NAMES = ("GANomaly", "EGBAD", "FAnoGAN", "MPDR", "TIAE", "IDClassifier")


@pytest.mark.parametrize(
    ("name", "budget_mb"),
    [
        ("DenseAE", 64),
        *(pytest.param(name, 64, marks=pytest.mark.slow) for name in NAMES),
        pytest.param("GANomaly", 0, marks=pytest.mark.slow),  # streamed
    ],
)
def test_a_machine_trained_after_another_has_the_weights_of_one_trained_alone(tmp_path, recordings, name, budget_mb):
    machines = runs(tmp_path, recordings, name, memory_budget_mb=budget_mb)
    forget()
    first = trained(machines["fan"])
    after = trained(machines["pump"])
    forget()
    assert_same(trained(machines["pump"]), after)
    assert first[1] != after[1]


@pytest.mark.slow
def test_compiled_steps_of_blocks_of_other_sizes(tmp_path, recordings, monkeypatch):
    monkeypatch.setattr(fused_steps, "WORTH_COMPILING", 0)
    machines = runs(tmp_path, recordings, "DenseAE")
    forget()
    trained(machines["fan"])
    after = trained(machines["pump"])
    forget()
    assert_same(trained(machines["pump"]), after)


def test_steps_are_traced_once_for_all_machines_with_the_same_settings(tmp_path, recordings, monkeypatch):
    machines = runs(tmp_path, recordings, "DenseAE")
    forget()
    traced = []
    train_step = DETECTORS["DenseAE"].train_step
    monkeypatch.setattr(DETECTORS["DenseAE"], "train_step", lambda *data: traced.append(1) or train_step(*data))
    trained(machines["fan"])
    trained(machines["pump"])
    assert len(traced) == 1
    other = dataclasses.replace(machines["pump"].config, seed=1)
    trained(machines["pump"].with_config(other))
    assert len(traced) == 2


class Louder(keras.callbacks.Callback):
    """Changes a weight of the loss, as a script may."""

    def __init__(self, *, force):
        super().__init__()
        self.force = force

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.model.w_con = 100.0
        if self.force:
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)


@pytest.mark.slow
@pytest.mark.parametrize("force", [False, True])
def test_what_a_callback_changes_is_not_changed_for_the_next_training(tmp_path, recordings, force):
    machines = runs(tmp_path, recordings, "GANomaly")
    forget()
    expected = trained(machines["fan"])
    changed = trained(machines["fan"], callbacks=(Louder(force=force),))
    for curve in ("loss", "val_loss"):
        assert (changed[1][curve] != expected[1][curve]) == force  # otherwise it is a constant of the graph
    assert_same(trained(machines["fan"]), expected)
    assert ModelDirectory.of(machines["fan"]).load().detector.w_con == 50.0


@pytest.mark.slow
def test_a_program_in_use_is_nobody_elses(tmp_path, recordings):
    """As where two threads train at the same time."""
    machines = runs(tmp_path, recordings, "DenseAE")
    expected = trained(machines["fan"])

    class Other(keras.callbacks.Callback):
        """Trains another machine meanwhile."""

        def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
            if epoch == 1:
                trained(machines["pump"])

    assert_same(trained(machines["fan"], callbacks=(Other(),)), expected)


def test_the_recordings_leave_memory_when_a_training_ends(tmp_path, recordings):
    run = runs(tmp_path, recordings, "DenseAE")["fan"]
    cache = Cache(run, "train")
    program = Program(build(run.config), key="this")
    program.held = windows.hold(windows.Source(KeptSpectra(cache.path), cache.current().entries, 128, 5, None))
    assert len(program.held.spectra.numpy())
    programs.keep(program)
    assert not len(program.held.spectra.numpy())
    assert programs.take("this") is program
    assert programs.take("this") is None
