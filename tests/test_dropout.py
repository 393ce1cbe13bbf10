"""Dropout by hashing: as random as dropout needs, and the same however it is computed."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ganad_tf.models.dropout import Dropout

SHAPE = [512, 128]


def masks(rate, count, *, seed=7, jit_compile=False):
    """Which elements stay, `[count, 512, 128]`."""
    layer = Dropout(rate, seed=seed)
    call = tf.function(lambda: layer(tf.ones(SHAPE), training=True), jit_compile=jit_compile)
    return np.stack([call().numpy() for _ in range(count)]) > 0


@pytest.mark.parametrize("rate", [0.05, 0.2, 0.5, 0.9])
def test_as_many_are_dropped_as_asked_for(rate):
    dropped = ~masks(rate, 20)
    assert stats.binomtest(int(dropped.sum()), dropped.size, rate).pvalue > 1e-3
    # Each element, row and column by itself, not only all together: the counts are spread as a binomial's are.
    for axes, trials in (((0,), 20), ((0, 1), 20 * 512), ((0, 2), 20 * 128)):
        counts = dropped.sum(axis=axes).ravel()
        expected = trials * rate * (1 - rate)
        assert counts.var() == pytest.approx(expected, rel=6 * np.sqrt(2 / counts.size))


def test_one_mask_tells_nothing_of_another():
    first, second = masks(0.5, 2)
    other_layer = masks(0.5, 1, seed=8)[0]
    below = np.roll(first, 1, axis=0)
    beside = np.roll(first, 1, axis=1)
    for other in (second, other_layer, below, beside):
        assert abs(np.mean(first == other) - 0.5) < 4 * 0.5 / np.sqrt(first.size)


def test_compiled_and_uncompiled_drop_the_same():
    np.testing.assert_array_equal(masks(0.2, 3), masks(0.2, 3, jit_compile=True))


def test_what_stays_makes_up_for_what_is_dropped():
    outputs = Dropout(0.2, seed=1)(tf.fill(SHAPE, 4.0), training=True).numpy()
    assert set(np.unique(outputs)) == {0.0, 5.0}


def test_nothing_is_dropped_but_in_training():
    inputs = tf.random.stateless_normal(SHAPE, [1, 2])
    assert np.array_equal(Dropout(0.2)(inputs, training=False), inputs)
    assert np.array_equal(Dropout(0.2)(inputs), inputs)
    assert np.array_equal(Dropout(0.0)(inputs, training=True), inputs)


def test_gradients_pass_where_values_did():
    inputs = tf.random.stateless_normal(SHAPE, [1, 2])
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = Dropout(0.2, seed=3)(inputs, training=True)
    gradient = tape.gradient(outputs, inputs).numpy()
    np.testing.assert_allclose(gradient, np.where(outputs.numpy() == 0, 0, 1.25))


def test_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.layers.Input([8]), Dropout(0.3, seed=5)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    values = tf.ones([4, 8])
    assert np.array_equal(loaded(values, training=True), model(values, training=True))
