"""Fused steps: the same steps on the same windows as Keras takes them, in fewer calls."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import gate_takes
from small_detectors import LEARNERS, LOSS, UNLABELLED, arguments

from ganad_tf.models import DETECTORS
from ganad_tf.models.detector import LossMean
from ganad_tf.training import optimizers
from ganad_tf.training.fused_steps import FusedSteps

BATCH, PER_BLOCK = 16, 8
N_WINDOWS = 3 * PER_BLOCK * BATCH + 2 * BATCH + 7  # three full blocks, one of two batches, and a smaller batch
WHOLE = 3 * PER_BLOCK * BATCH  # of them, in full blocks
RATE = 1e-3


def make(name):
    keras.utils.set_random_seed(1)
    same_rate = {"energy_rate": 1.0} if name == "MPDR" else {}
    detector = DETECTORS[name](input_dim=20, **arguments(name, [8], latent=3), **same_rate)
    detector.compile(optimizer=keras.optimizers.Adam(RATE), **LOSS[name])
    if name == "MPDR":
        detector.begin_energy_stage()
    return detector


def data(detector, n_windows=N_WINDOWS):
    windows = tf.random.stateless_normal([N_WINDOWS, 20], [1, 2])[:n_windows]
    return tf.data.Dataset.from_tensor_slices(((windows, windows[::-1]),) if detector.takes_pairs else windows)


@functools.cache
def by_keras(name, n_windows=N_WINDOWS):
    """A detector after an epoch of Keras' own steps, which nobody changes, and its losses."""
    detector = make(name)
    return detector, detector.fit(data(detector, n_windows).batch(BATCH), verbose=0, shuffle=False).history


def by_compiled_steps(name, n_windows):
    """A detector after an epoch of steps that XLA compiles one by one, and its losses.

    Not by `compile(jit_compile=True)`, which Keras refuses once operations are deterministic in a process.
    """
    detector = make(name)
    if not detector.optimizer.built:
        detector.optimizer.build(detector.trainable_variables)
    step = tf.function(detector.train_step, jit_compile=True)
    for batch in data(detector, n_windows).batch(BATCH):
        losses = step(batch)
    return detector, {name: [float(value)] for name, value in losses.items()}


def fused(name, n_windows=N_WINDOWS, **how):
    """A detector after an epoch of fused steps, and its losses."""
    detector = make(name)
    steps = FusedSteps(BATCH, PER_BLOCK, pairs=detector.takes_pairs, **how)
    with detector.training_by(steps.train_function):
        return detector, detector.fit(
            data(detector, n_windows).batch(steps.block_size), verbose=0, shuffle=False
        ).history


def difference(one, other):
    """Root mean square of the difference of all trained weights whose gradient is more than rounding."""
    idle = idle_biases(one) | idle_biases(other)
    pairs = zip(one.trainable_variables, other.trainable_variables, strict=True)
    squares = [np.square(a.numpy() - b.numpy()).ravel() for a, b in pairs if id(a) not in idle]
    return np.sqrt(np.mean(np.concatenate(squares)))


def idle_biases(detector):
    """Biases before a batch normalisation: Adam makes whole steps of their gradient, which is rounding."""
    networks = [network for network in detector.layers if isinstance(network, keras.Model)]
    known = [layer for network in networks for layer in network.layers]
    made_by = {id(layer.output): layer for layer in known}
    idle = [made_by[id(layer.input)] for layer in known if isinstance(layer, keras.layers.BatchNormalization)]
    idle += [layer for layer in known if isinstance(layer, keras.layers.DepthwiseConv2D)]  # and one of 1 x 1 between
    return {id(layer.bias) for layer in idle}


# IDNN steps as DenseAE does, SkipGANomaly and SAGAN as GANomaly; convolutions are compiled on GPUs alone.
DIFFERENT = [name for name in LEARNERS if name not in ("IDNN", "SAGAN", "SkipGANomaly")]


@pytest.mark.parametrize("name", gate_takes(DIFFERENT, "DenseAE", "GANomaly"))
def test_uncompiled_steps_are_those_of_keras_to_the_last_bit(name):
    expected, expected_losses = by_keras(name)
    detector, losses = fused(name, jit_compile=False)
    assert losses == expected_losses
    for one, other in zip(detector.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", gate_takes([name for name in DIFFERENT if name != "TIAE"], "DenseAE"))
def test_compiled_steps_are_those_that_are_compiled_one_by_one(name):
    """Steps compiled too, for XLA draws other random numbers; Adam moves by about RATE in each of 24 steps."""
    expected, expected_losses = by_compiled_steps(name, WHOLE)
    detector, losses = fused(name, WHOLE)
    assert difference(detector, expected) < RATE / 20  # at least ten times that if a step is missing or taken twice
    assert losses.keys() == expected_losses.keys()
    for key, (value,) in losses.items():
        assert value == pytest.approx(expected_losses[key][0], rel=1e-4), key
    assert {int(mean.batches) for mean in detector.metrics if isinstance(mean, LossMean)} == {WHOLE // BATCH}


@pytest.mark.parametrize("compiles_rest", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_left_of_an_epoch_is_trained_on_too(compiles_rest):
    expected, _ = by_keras("DenseAE")
    detector, _ = fused("DenseAE", compiles_rest=compiles_rest)
    without_the_last, _ = by_keras("DenseAE", N_WINDOWS - N_WINDOWS % BATCH)
    assert difference(detector, expected) < RATE / 20 < difference(without_the_last, expected) / 4


@pytest.mark.slow
def test_compiled_blocks_and_an_uncompiled_rest_give_the_same_weights_every_time():
    first, second = (fused("EGBAD")[0].get_weights() for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_rows_of_a_block_may_be_numbers_of_windows():
    detector, (expected, _) = make("DenseAE"), by_keras("DenseAE")
    windows = tf.stack(list(data(detector)))
    numbers = tf.data.Dataset.range(len(windows))
    steps = FusedSteps(BATCH, PER_BLOCK, batch_at=lambda rows: tf.gather(windows, rows), jit_compile=False)
    with detector.training_by(steps.train_function):
        detector.fit(numbers.batch(steps.block_size), verbose=0, shuffle=False)
    for one, other in zip(detector.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", UNLABELLED)
def test_nothing_that_a_step_counts_is_int32(name):
    """TensorFlow keeps int32 variables out of a GPU's memory, and a compiled step there may not reach for them."""
    detector = DETECTORS[name](input_dim=20)
    detector.compile(optimizer=keras.optimizers.Adam(), **LOSS[name])
    counted = [variable for metric in detector.metrics for variable in metric.variables]
    kinds = {variable.dtype for variable in [*counted, *optimizers.state(detector)]}
    assert kinds == {"float32", "int64"}
