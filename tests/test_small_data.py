"""Few recordings: a floor of steps, settled batch-norm averages, what was learned, and the settings that begin it."""

import dataclasses
import json
import logging
from pathlib import Path

import keras
import numpy as np
import pytest
import sklearn.mixture
import sklearn.model_selection
import small_detectors
import tensorflow as tf
from conftest import gate_takes
from test_training import AUTOENCODER, config, prepared, recordings  # noqa: F401 - two fixtures

from ganad_tf import config as configuration
from ganad_tf.config import automatic
from ganad_tf.config.sections import Scorer
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring import densities, regularization
from ganad_tf.training import batch_norm, learning
from ganad_tf.training.train import train_detector

WINDOWS = np.random.default_rng(0).normal(2, 3, [50, 12]).astype(np.float32)


def small(name, **arguments):
    keras.utils.set_random_seed(1)
    detector = DETECTORS[name](input_dim=12, **small_detectors.arguments(name, [6, 5], 2, frames=3) | arguments)
    for weight in detector.trainable_variables:  # no bias is 0 any more
        weight.assign_add(0.3 * keras.random.normal(weight.shape, seed=3))
    return detector


def in_batches(size):
    return tf.data.Dataset.from_tensor_slices(WINDOWS).batch(size)


def test_settled_averages_are_those_of_the_training_windows_by_hand():
    detector = small("DenseAE")
    batch_norm.settle_on(detector, in_batches(50))
    values = WINDOWS.astype(np.float64)
    checked = 0
    for layer in detector.autoencoder.layers:
        if isinstance(layer, keras.layers.Dense):
            values = values @ layer.kernel.numpy() + layer.bias.numpy()
        elif isinstance(layer, keras.layers.BatchNormalization):
            mean, variance = values.mean(axis=0), values.var(axis=0)
            np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-4, atol=1e-6)
            values = (values - mean) / np.sqrt(variance + 1e-3) * layer.gamma.numpy() + layer.beta.numpy()
            checked += 1
        else:
            values = np.maximum(values, 0)
    assert checked == 5


def test_batches_of_any_size_are_put_together_by_the_law_of_total_variance():
    detector = small("DenseAE")
    batch_norm.settle_on(detector, in_batches(7))  # the last has one window
    dense, first = detector.autoencoder.layers[:2]
    seen = WINDOWS.astype(np.float64) @ dense.kernel.numpy() + dense.bias.numpy()
    np.testing.assert_allclose(first.moving_mean.numpy(), seen.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance.numpy(), seen.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize(
    "name", gate_takes([*small_detectors.TAKES_LOSS, *small_detectors.ADVERSARIAL], "DenseAE", "EGBAD", "GANomaly")
)
def test_a_settled_network_reconstructs_as_in_a_step_and_nothing_else_has_changed(name):
    with_dropout = {"dropout": 0.5} if name in small_detectors.WITH_DROPOUT else {}
    detector = small(name, **with_dropout)
    averages = {id(weight) for weight in detector.non_trainable_variables if "moving" in weight.path}
    before = {weight.path: weight.numpy() for weight in detector.variables if id(weight) not in averages}
    batch_norm.settle_on(detector, in_batches(50))
    for weight in detector.variables:
        if id(weight) not in averages:
            np.testing.assert_array_equal(weight.numpy(), before[weight.path], err_msg=weight.path)
    settled = detector(WINDOWS, training=False).numpy()
    networks = detector.averaged if name == "EGBAD" else None
    whole = small(name)  # without dropout, to be run as in a step
    for mine, theirs in zip(_plain(whole), _plain(detector), strict=True):
        mine.assign(theirs)
    if networks is None:
        np.testing.assert_allclose(whole(WINDOWS, training=True).numpy(), settled, rtol=1e-3, atol=1e-3)
    else:
        codes = whole.averaged["encoder"](WINDOWS, training=True)
        np.testing.assert_allclose(codes.numpy(), detector.encode(WINDOWS).numpy(), rtol=1e-3, atol=1e-3)


def _plain(detector):
    """Weights and averages, without the state of random numbers, which dropout alone has."""
    return [weight for weight in detector.variables if "seed" not in weight.path]


def test_the_dataset_decides_what_the_file_leaves_open():
    def decided(**mapping):
        return configuration.from_mapping(mapping, source="test")

    official, own = decided(), decided(dataset={"name": "folder"})
    assert (official.feature.standardize, official.fit.min_steps, official.fit.settle_batch_norm) == (False, 0, False)
    assert official.fit.validation_split == 0.1
    assert not {"fit.min_steps", "fit.settle_batch_norm"} & official.training_settings().keys()  # as detectors have it
    assert (own.feature.standardize, own.fit.min_steps, own.fit.settle_batch_norm) == (True, automatic.MIN_STEPS, True)
    assert own.fit.validation_split == 0
    assert configuration.from_mapping(configuration.to_dict(own), source="record") == own
    given = {"feature": {"standardize": False}, "fit": {"min_steps": 7, "validation_split": 0.2}}
    kept = decided(dataset={"name": "folder"}, **given)
    assert (kept.feature.standardize, kept.fit.min_steps, kept.fit.validation_split) == (False, 7, 0.2)


def test_clips_are_held_out_only_where_the_validation_loss_is_watched():
    def shares(**fit):
        machines = {"fan": {"fit": {"patience": 3}}, "pump": {"fit": {"epochs": 2}}}
        mapping = {"dataset": {"name": "folder"}, "machines": machines, "fit": fit}
        whole = configuration.from_mapping(mapping, source="test")
        return [one.fit.validation_split for one in (whole, whole.for_machine("fan"), whole.for_machine("pump"))]

    assert shares() == [0, 0.1, 0]
    assert shares(restore_best=True) == [0.1, 0.1, 0.1]
    assert shares(validation_split=0.3) == [0.3, 0.3, 0.3]


def test_few_windows_get_the_steps_that_were_asked_for(config, caplog):  # noqa: F811
    fit = dataclasses.replace(config.fit, min_steps=220, settle_batch_norm=True)
    config = dataclasses.replace(config, model=AUTOENCODER, fit=fit)
    caplog.set_level(logging.INFO, logger="ganad_tf")
    train_detector(MachineRun(config, prepared(config), "dev"))
    record = json.loads((Path(config.model_directory, "dev", "fan") / "training.json").read_text())
    assert (record["passes_per_epoch"], record["n_steps"]) == (10, 3 * 10 * 8)  # 252 windows are 8 batches of 32
    assert all(len(curve) == 3 for curve in record["history"].values())
    assert "steps" not in (record["learned_little"] or "")
    assert "each epoch goes over the training windows 10 times, for at least 220 steps" in caplog.text


def test_a_network_that_has_learned_little_says_so(config, caplog):  # noqa: F811
    config = dataclasses.replace(config, model=AUTOENCODER)
    train_detector(MachineRun(config, prepared(config), "dev"))
    record = json.loads((Path(config.model_directory, "dev", "fan") / "training.json").read_text())
    expected = "it was trained for 24 steps, fewer than 200; raise `fit.epochs` or `fit.min_steps`"
    assert record["learned_little"] == expected
    assert f"fan: the network has learned little: {expected}." in caplog.text


def test_a_network_no_better_than_the_mean_has_learned_little():
    detector, without = small("DenseAE"), DETECTORS["SpectrumDensity"](input_dim=12)
    assert learning.learned_little(detector, 10**6, 0.0).startswith(
        "it reproduces recordings no better than their mean"
    )
    assert learning.learned_little(detector, 10**6, 0.01) is None
    assert learning.learned_little(without, 0, -3.0) is None  # nothing to learn


def test_regularization_is_that_under_which_left_out_clips_are_likeliest():
    rng = np.random.default_rng(0)
    many, few = rng.normal(size=[150, 4]) @ rng.normal(size=[4, 4]), rng.normal(size=[15, 12])
    auto = Scorer(name="density", density="gmm", components=1)
    chosen = []
    for vectors in (many, few):
        density = densities.fit(vectors, auto, seed=0)
        chosen.append(float(density.arrays["regularization"]))
        scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
        fold_of = np.random.default_rng(0).permutation(len(scaled)) % 5
        likelihoods = [_left_out_by_scikit_learn(scaled, fold_of, value) for value in regularization.GRID]
        assert chosen[-1] == pytest.approx(regularization.GRID[int(np.argmax(likelihoods))])
        same = densities.fit(vectors, dataclasses.replace(auto, regularization=round(chosen[-1], 6)), seed=0)
        np.testing.assert_allclose(density.arrays["factors"], same.arrays["factors"], rtol=1e-5)
    assert chosen[0] <= 1e-2 < chosen[1]
    assert np.isfinite(densities.cross_validated_scores(few[:4], auto, seed=0)).all()


def _left_out_by_scikit_learn(scaled, fold_of, value):
    folds = sklearn.model_selection.PredefinedSplit(fold_of)
    mixture = sklearn.mixture.GaussianMixture(reg_covar=value, random_state=0)
    scores = sklearn.model_selection.cross_val_score(mixture, scaled, cv=folds)
    return np.average(scores, weights=np.bincount(fold_of))
