"""The state of an interrupted training: brought back to the bit, refused where it is another's, and never half."""

import logging
import os
from functools import partial

import keras
import numpy as np
import pytest

from ganad_tf.errors import ConfigError, WriteError
from ganad_tf.files.throttle import Throttle
from ganad_tf.training import checkpoint
from ganad_tf.training.checkpoint import Checkpoint

MADE_WITH = {"seed": 0, "model.hidden": [16, 16]}
WINDOWS = np.random.default_rng(0).normal(size=[24, 6]).astype(np.float32)


@pytest.fixture(autouse=True)
def after_every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))


def small_model():
    """A model whose next step depends on weights, on Adam's moments and on a generator of random numbers."""
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(5), keras.layers.BatchNormalization(), keras.layers.Dropout(0.2, seed=3)]
    model = keras.Sequential([keras.Input([6]), *layers, keras.layers.Dense(6)])
    model.compile(keras.optimizers.Adam(0.01), "mse", run_eagerly=True)
    return model


def trained(path, begin, end, callbacks=(), model=None):
    """A new model, trained from an epoch to another with the file in `path` to go on from."""
    model = model or small_model()
    keeper = Checkpoint(path, MADE_WITH)
    keeper.read()
    assert keeper.epoch == begin
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(WINDOWS, WINDOWS, initial_epoch=begin, epochs=end, callbacks=[*callbacks, keeper], **options)
    return model, keeper


def test_a_training_that_goes_on_ends_with_the_same_weights_and_curves(tmp_path):
    undisturbed, expected = trained(tmp_path / "a.npz", 0, 4)
    trained(tmp_path / "b.npz", 0, 2)
    resumed, found = trained(tmp_path / "b.npz", 2, 4)
    assert found.history == expected.history
    assert len(found.history["loss"]) == 4
    for mine, theirs in zip(resumed.get_weights(), undisturbed.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(resumed.optimizer.iterations) == 4 * 3
    assert found.seconds > 0


def test_early_stopping_remembers_the_best_epoch_and_its_weights(tmp_path):
    model = small_model()
    stopping = keras.callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True)
    keeper = Checkpoint(tmp_path / "a.npz", MADE_WITH, stopping)
    model.fit(WINDOWS, WINDOWS, epochs=2, verbose=0, callbacks=[stopping, keeper])
    best = [weight.copy() for weight in stopping.best_weights]

    other = keras.callbacks.EarlyStopping("loss", patience=5, restore_best_weights=True)
    again = Checkpoint(tmp_path / "a.npz", MADE_WITH, other)
    again.read()
    again.set_model(small_model())
    other.on_train_begin()
    again.on_train_begin()
    assert (other.wait, other.best, other.best_epoch) == (stopping.wait, stopping.best, stopping.best_epoch)
    for mine, theirs in zip(other.best_weights, best, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_another_trainings_file_is_refused_by_the_setting_that_differs(tmp_path):
    trained(tmp_path / "fan.unfinished.npz", 0, 1)
    other = Checkpoint(tmp_path / "fan.unfinished.npz", MADE_WITH | {"seed": 7})
    with pytest.raises(ConfigError, match=r"unfinished training in .* `seed: 0`, .* `seed: 7`; .*add --fresh"):
        other.read()
    assert other.epoch == 0
    Checkpoint(tmp_path / "fan.unfinished.npz", MADE_WITH | {"model.hidden": (16, 16)}).read()  # a list in JSON


def test_a_damaged_file_means_that_training_begins_again(tmp_path, caplog):
    path = tmp_path / "fan.unfinished.npz"
    trained(path, 0, 1)
    good = path.read_bytes()
    assert checkpoint.epochs_kept(path) == 1
    middle = len(good) // 2
    for spoilt in (b"", good[:100], good[:-50], good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :]):
        path.write_bytes(spoilt)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            reader = Checkpoint(path, MADE_WITH)
            reader.read()
        assert (reader.epoch, reader.history) == (0, {})
        assert f"{path} can't be read" in caplog.text
        assert "training begins again" in caplog.text
    path.write_bytes(b"")
    assert checkpoint.epochs_kept(path) == checkpoint.epochs_kept(tmp_path / "none") == 0


def test_what_cannot_be_written_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "fan.unfinished.npz"
    _, keeper = trained(path, 0, 1)
    before = path.read_bytes()
    (tmp_path / f".{path.name}.{os.getpid()}.tmp").symlink_to("/dev/full")
    with pytest.raises(WriteError, match=r"Can't write .*fan\.unfinished\.npz: .*Nothing that was there before"):
        keeper.write()
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
