"""Training by blocks: the same steps on the same windows, only faster."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import DETECTORS
from ganad_tf.models.detector import LossMean
from ganad_tf.training import blocks, optimizers

SMALL = {"input_dim": 20, "hidden": [8], "latent": 3}
BATCH = 16
N_WINDOWS = 2 * blocks.STEPS * BATCH + 5 * BATCH + 7  # three full blocks of 68 steps, one of one, and a bit
LONG = blocks.WORTH_COMPILING  # epochs


def trained(name, rate, *, epochs=None):
    """The weights after one epoch, step by step as Keras has it, or by blocks."""
    keras.utils.set_random_seed(1)
    detector = DETECTORS[name](**SMALL)
    loss = {"loss": "mse"} if name == "DenseAE" else {}
    detector.compile(optimizer=optimizers.Adam(rate), jit_compile=False, **loss)
    windows = tf.random.stateless_normal([N_WINDOWS, 20], [1, 2])
    pair = (windows, windows[::-1])
    whole = windows if not detector.takes_pairs else pair if epochs else (pair,)  # Keras takes a pair for x and y
    data = tf.data.Dataset.from_tensor_slices(whole)
    size = BATCH
    if epochs:
        size = blocks.prepare(detector, BATCH, N_WINDOWS, epochs, pairs=detector.takes_pairs)
    logs = detector.fit(data.batch(size), verbose=0, shuffle=False).history
    counts = [int(mean.batches) for mean in detector.metrics if isinstance(mean, LossMean)]
    idle = idle_biases(detector)
    weights = [variable.numpy() for variable in detector.weights if id(variable) not in idle]
    return weights, {key: value[0] for key, value in logs.items()}, counts


def idle_biases(detector):
    """Biases before a batch normalisation: their gradient is nothing but rounding, which Adam makes steps of."""
    networks = [network for network in detector.layers if isinstance(network, keras.Model)]
    pairs = itertools.chain.from_iterable(itertools.pairwise(network.layers) for network in networks)
    return {id(layer.bias) for layer, after in pairs if isinstance(after, keras.layers.BatchNormalization)}


@pytest.mark.parametrize("name", ["DenseAE", "EGBAD", "GANomaly", "SkipGANomaly"])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_blocks_do_the_steps_that_keras_does(name, is_compiled):
    expected, expected_logs, _ = trained(name, 1e-4)
    weights, logs, counts = trained(name, 1e-4, epochs=LONG if is_compiled else 1)
    assert set(counts) == {-(-N_WINDOWS // BATCH)}
    assert logs.keys() == expected_logs.keys()
    is_other_noise = name == "EGBAD" and is_compiled  # XLA draws other random numbers
    for key, value in logs.items():
        assert value == pytest.approx(expected_logs[key], rel=5e-2 if is_other_noise else 2e-3)
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-2, atol=0.1 if is_other_noise else 2e-3)


def test_compiled_blocks_give_the_same_weights_every_time():
    first, second = (trained("EGBAD", 1e-3, epochs=LONG)[0] for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("name", DETECTORS)
def test_nothing_that_a_step_counts_is_int32(name):
    """TensorFlow keeps int32 variables out of a GPU's memory, and a compiled step there may not reach for them."""
    detector = DETECTORS[name](input_dim=20)
    detector.compile(optimizer=optimizers.Adam(), **({"loss": "mse"} if name in ("DenseAE", "IDNN") else {}))
    counted = [variable for metric in detector.metrics for variable in metric.variables]
    kinds = {variable.dtype for variable in [*counted, *optimizers.state(detector)]}
    assert kinds == {"float32", "int64"}


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.01, "clipnorm": 0.1, "beta_1": 0.5}, {"amsgrad": True}])
def test_adam_moves_as_keras_adam_does(settings):
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=[50, 6]).astype(np.float32) * 10.0 ** rng.integers(-6, 3, size=[50, 1])
    places = []
    for kind in (keras.optimizers.Adam, optimizers.Adam):
        variable = keras.Variable(np.linspace(-1, 1, 6, dtype=np.float32))
        optimizer = kind(0.01, **settings)
        optimizer.build([variable])
        places.append([])
        for gradient in gradients:
            optimizer.apply([tf.constant(gradient, tf.float32)], [variable])
            places[-1].append(variable.numpy().copy())
    np.testing.assert_allclose(*places, rtol=1e-5, atol=1e-6)
    assert all(not np.array_equal(one, other) for one, other in itertools.pairwise(places[1]))
