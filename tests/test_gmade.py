"""GMADE: what a frame depends on, and that its likelihood is a density, by hand, by SciPy and by integration."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from ganad_tf.models import GMADE
from ganad_tf.models.gmade import positions

ORDERINGS = ("past_to_future", "future_to_past", "middle_last")
WINDOWS = np.random.default_rng(0).normal(size=[6, 20]).astype(np.float32)  # five frames of four mel bands


def make(**changes):
    keras.utils.set_random_seed(1)
    return GMADE(**{"input_dim": 20, "frames": 5, "hidden": [32, 32], "components": 2, **changes})


@pytest.mark.parametrize("ordering", ORDERINGS)
def test_a_frame_s_distribution_depends_on_the_frames_before_it_alone(ordering):
    detector, order = make(ordering=ordering), positions(ordering, 5)
    (network,) = detector.conditionals
    windows = tf.constant(WINDOWS)
    with tf.GradientTape() as tape:
        tape.watch(windows)
        outputs = tf.reshape(network(windows), [6, 5, -1])
    jacobian = np.abs(tape.batch_jacobian(outputs, windows).numpy()).reshape(6, 5, -1, 5, 4)
    reached = jacobian.sum(axis=(0, 2, 4)) > 0  # [of frame, from frame]
    expected = [[order[source] < order[frame] for source in range(5)] for frame in range(5)]
    assert reached.tolist() == expected


def test_orderings():
    assert positions("past_to_future", 5) == [0, 1, 2, 3, 4]
    assert positions("future_to_past", 5) == [4, 3, 2, 1, 0]
    assert positions("middle_last", 5) == [0, 1, 4, 2, 3]


@pytest.mark.parametrize("mixture", ["frame", "bin"])
@pytest.mark.parametrize("components", [1, 3])
def test_log_likelihoods_are_those_of_scipy(mixture, components):
    detector = make(mixture=mixture, components=components)
    (network,) = detector.conditionals
    outputs = network(WINDOWS).numpy().astype(np.float64).reshape(6, 5, -1)
    n_values = components * 4
    means, log_scales = outputs[..., :n_values], outputs[..., n_values : 2 * n_values]
    means, log_scales = (values.reshape(6, 5, components, 4) for values in (means, log_scales))
    logits = outputs[..., 2 * n_values :].reshape(6, 5, components, -1) if components > 1 else np.zeros([6, 5, 1, 1])
    log_weights = logits - scipy.special.logsumexp(logits, axis=2, keepdims=True)
    of_bins = scipy.stats.norm.logpdf(WINDOWS.reshape(6, 5, 1, 4), means, np.exp(log_scales))
    if mixture == "frame":
        expected = scipy.special.logsumexp(log_weights[..., 0] + of_bins.sum(axis=3), axis=2)
    else:
        expected = scipy.special.logsumexp(log_weights + of_bins, axis=2).sum(axis=2)
    (computed,) = detector.log_likelihoods(WINDOWS)
    np.testing.assert_allclose(computed, expected, rtol=1e-4)
    joint = make(mixture=mixture, components=components, score="joint")
    np.testing.assert_allclose(joint.anomaly_score(WINDOWS), -expected.sum(axis=1), rtol=1e-4)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), -expected[:, 4], rtol=1e-4)
    assert float(detector.test_step(WINDOWS)["loss"]) == pytest.approx(-expected.sum(axis=1).mean() / 20, rel=1e-4)


@pytest.mark.parametrize("mixture", ["frame", "bin"])
def test_the_density_of_two_numbers_integrates_to_one(mixture):
    detector = make(input_dim=2, frames=2, hidden=[8], mixture=mixture, score="joint")
    for weight in detector.weights:
        weight.assign(0.5 * keras.random.normal(weight.shape, seed=2))
    axis = np.linspace(-15, 15, 1201, dtype=np.float32)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(-detector.anomaly_score(grid).numpy().astype(np.float64))
    assert density.sum() * (axis[1] - axis[0]) ** 2 == pytest.approx(1, abs=1e-3)


def test_with_scale_one_the_middle_s_likelihood_is_idnn_s_squared_error():
    detector = make(components=1, ordering="middle_last")
    output = detector.conditionals[0].layers[-1]
    is_scale = np.arange(40) % 8 >= 4  # of each frame: four means, four log-scales
    output.kernel.assign(output.kernel * ~is_scale)
    output.bias.assign(output.bias * ~is_scale)
    middle = slice(8, 12)
    error = np.square(detector(WINDOWS).numpy() - WINDOWS)
    assert (error[:, :8] == 0).all()
    assert (error[:, 12:] == 0).all()
    expected = error[:, middle].sum(axis=1) / 2 + 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), expected, rtol=1e-5)


def test_scales_are_clipped_so_that_no_density_is_beyond_float32():
    detector = make(components=1)
    output = detector.conditionals[0].layers[-1]
    bias = np.zeros([5, 2, 4], np.float32)
    bias[4, 1] = [1e3, -1e3, 5.0, -4.0]
    output.kernel.assign(tf.zeros_like(output.kernel))
    output.bias.assign(bias.ravel())
    expected = -scipy.stats.norm.logpdf(WINDOWS[:, 16:], 0, np.exp([5.0, -5.0, 5.0, -4.0])).sum(axis=1)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), expected, rtol=1e-4)


def test_the_mean_of_three_orderings():
    detector = make(ordering="mean")
    is_predicted = detector(WINDOWS).numpy() != WINDOWS
    assert is_predicted.any(axis=0).reshape(5, 4).all(axis=1).tolist() == [True, False, True, False, True]
    scores, losses = [], []
    for ordering, network in zip(ORDERINGS, detector.conditionals, strict=True):
        single = make(ordering=ordering)
        single.conditionals[0].set_weights(network.get_weights())
        scores.append(single.anomaly_score(WINDOWS))
        losses.append(single.test_step(WINDOWS)["loss"])
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), np.mean(scores, axis=0), rtol=1e-5)
    assert float(detector.test_step(WINDOWS)["loss"]) == pytest.approx(np.mean(losses), rel=1e-5)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({"components": 1}, 1_247_488),
        ({"components": 3}, 2_568_463),
        ({"components": 3, "mixture": "bin"}, 3_545_728),
    ],
)
def test_parameters(changes, count):
    assert sum(int(np.prod(weight.shape)) for weight in GMADE(**changes).trainable_variables) == count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 1}, "two frames or more"),
        ({"frames": 3}, "multiple of frames. Received: frames=3, input_dim=20"),
        ({"components": 0}, "a component"),
        ({"hidden": []}, "a hidden layer"),
        ({"ordering": "backwards"}, "ordering to be one of past_to_future, future_to_past, middle_last, mean"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
