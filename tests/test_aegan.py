"""AEGAN: its losses, scores and embeddings by hand, its published sizes, and whose weights a step moves."""

import importlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from ganad_tf.models import AEGAN
from ganad_tf.models.adversarial import gradient_penalty
from ganad_tf.models.aegan import feature_matching, strides

FRAMES, N_MELS = 4, 8
WINDOWS = np.random.default_rng(1).normal(size=[6, FRAMES * N_MELS]).astype(np.float32)
NETWORKS = ("encoder", "decoder", "discriminator_features", "discriminator_value")


def make(**changes):
    """A compiled detector of one convolution, whose gains and shifts are not those of the beginning."""
    keras.utils.set_random_seed(0)
    detector = AEGAN(**{"input_dim": FRAMES * N_MELS, "frames": FRAMES, "base": 3, "latent": 2, "eta": 0.7, **changes})
    for weight in detector.trainable_variables:
        weight.assign_add(0.1 * keras.random.normal(weight.shape, seed=3))
    detector.compile(keras.optimizers.Adam(1e-2), run_eagerly=True)
    return detector


def numbers(network):
    return [weight.numpy().astype(np.float64) for weight in network.weights]


def halved(values, kernel):
    """A convolution of 4 x 4 over `[batch, 4, 8, channels]` that halves the mels, in NumPy."""
    padded = np.pad(values, [(0, 0), (1, 2), (1, 1), (0, 0)])
    patches = [[padded[:, i : i + 4, 2 * j : 2 * j + 4] for j in range(4)] for i in range(4)]
    return np.einsum("ijbklc,klcd->bijd", np.array(patches), kernel)


def normalized(values, gain, shift):
    axes = tuple(range(1, values.ndim))
    mean, variance = values.mean(axis=axes, keepdims=True), values.var(axis=axes, keepdims=True)
    return gain * (values - mean) / np.sqrt(variance + 1e-5) + shift


def leaky(values):
    return np.where(values > 0, values, 0.2 * values)


def feature_map(network, windows):
    kernel, gain, shift, *_ = numbers(network)
    patches = windows.astype(np.float64).reshape(-1, FRAMES, N_MELS, 1)
    return leaky(normalized(halved(patches, kernel), gain, shift))


def latent(detector, windows):
    return np.einsum("bijc,ijcd->bd", feature_map(detector.encoder, windows), numbers(detector.encoder)[3])


def embedding(detector, windows):
    """f: the weighted sum of each channel over the map."""
    network = detector.discriminator_features
    return np.sum(feature_map(network, windows) * numbers(network)[3][..., 0], axis=(1, 2))


def critic(detector, windows):
    gain, shift, kernel, bias = numbers(detector.discriminator_value)
    return leaky(normalized(embedding(detector, windows), gain, shift)) @ kernel + bias


def decoded(detector, codes):
    """The decoder, whose last layer is the transpose of a convolution that halves the mels."""
    kernel, gain, shift, last = numbers(detector.decoder)
    map_of = np.maximum(normalized(np.einsum("bd,ijcd->bijc", codes, kernel), gain, shift), 0)
    basis = np.eye(FRAMES * N_MELS).reshape(-1, FRAMES, N_MELS, 1)
    return np.einsum("bijc,pijc->bp", map_of, halved(basis, last))


def test_networks_losses_and_scores_are_those_of_the_equations():
    detector = make(w_gp=3.0)
    codes = latent(detector, WINDOWS)
    x2 = decoded(detector, codes)
    np.testing.assert_allclose(detector(WINDOWS), x2, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), np.mean((WINDOWS - x2) ** 2, axis=1), rtol=1e-4)
    np.testing.assert_allclose(detector.encode(WINDOWS), embedding(detector, WINDOWS), rtol=1e-3, atol=1e-5)
    assert not detector.takes_machine_ids  # f is the same whatever the ID
    for ours, expected in zip(detector.latents(WINDOWS), (codes, latent(detector, x2)), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)

    real, fake = embedding(detector, WINDOWS), embedding(detector, x2)
    by_input = np.mean((WINDOWS - x2) ** 2)
    by_features = np.mean((real.mean(0) - fake.mean(0)) ** 2) + np.mean((real.std(0) - fake.std(0)) ** 2)
    places = tf.random.stateless_uniform([6, 1], seed=[0, -1]).numpy()
    between, step = WINDOWS + places * (x2 - WINDOWS), 1e-5 * np.eye(FRAMES * N_MELS)
    slopes = [(critic(detector, between + one) - critic(detector, between - one)) / 2e-5 for one in step]
    penalty = np.mean((np.linalg.norm(np.concatenate(slopes, axis=1), axis=1) - 1) ** 2)
    expected = {
        "loss": by_input + 0.7 * by_features,
        "reconstruction_loss": by_input,
        "feature_loss": by_features,
        "gradient_penalty": penalty,
        "discriminator_loss": np.mean(critic(detector, x2)) - np.mean(critic(detector, WINDOWS)) + 3 * penalty,
    }
    assert detector.test_on_batch(WINDOWS, return_dict=True) == pytest.approx(expected, rel=1e-3)
    means_alone = by_input + 0.7 * np.mean((real.mean(0) - fake.mean(0)) ** 2)
    assert make(match_std=False).test_on_batch(WINDOWS, return_dict=True)["loss"] == pytest.approx(means_alone, 1e-3)


def test_feature_matching_does_not_see_which_window_is_which():
    features = tf.constant(np.random.default_rng(0).normal(size=[8, 5]), tf.float32)
    assert float(feature_matching(features, features[::-1], match_std=True)) == pytest.approx(0, abs=1e-12)
    assert float(feature_matching(features, features + 2, match_std=True)) == pytest.approx(4, rel=1e-5)
    wider = tf.reduce_mean(features, axis=0) + 3 * (features - tf.reduce_mean(features, axis=0))
    assert float(feature_matching(features, wider, match_std=False)) == pytest.approx(0, abs=1e-12)
    variance = np.mean(np.var(features, axis=0))
    assert float(feature_matching(features, wider, match_std=True)) == pytest.approx(4 * variance, rel=1e-5)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_a_step_is_one_of_the_discriminator_and_then_one_of_the_generator(normalization):
    """By hand: L_D moves the discriminator's weights, then L_G, with the new D, the generator's and no other."""
    detector, by_hand = make(normalization=normalization), make(normalization=normalization)
    detector.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    detector.train_on_batch(WINDOWS)
    x2 = by_hand(WINDOWS, training=True)
    places = tf.random.stateless_uniform([6, 1], seed=[0, 0])
    discriminator, generator = by_hand.discriminator_variables, by_hand.generator_variables

    def criticize(windows):
        return by_hand.discriminator_value(by_hand.discriminator_features(windows))

    with tf.GradientTape() as tape:
        real, fake = (tf.reduce_mean(criticize(one)) for one in (tf.constant(WINDOWS), x2))
        loss = fake - real + 10 * gradient_penalty(criticize, tf.constant(WINDOWS), x2, places)
    keras.optimizers.SGD(0.1).apply(tape.gradient(loss, discriminator), discriminator)
    with tf.GradientTape() as tape:
        x2 = by_hand(WINDOWS, training=True)
        features = (by_hand.discriminator_features(one) for one in (WINDOWS, x2))
        loss = tf.reduce_mean(tf.square(WINDOWS - x2)) + 0.7 * feature_matching(*features, match_std=True)
    keras.optimizers.SGD(0.1).apply(tape.gradient(loss, generator), generator)
    for mine, theirs in zip(detector.trainable_variables, by_hand.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_places_between_window_and_reconstruction_follow_from_seed_and_step():
    def penalties(**changes):
        detector = make(**changes)
        detector.optimizer.learning_rate = 0.0  # and so is the discriminator's, its twin
        return [detector.train_on_batch(WINDOWS, return_dict=True)["gradient_penalty"] for _ in range(2)]

    first = penalties()
    assert first == penalties()
    assert first[0] != pytest.approx(first[1])  # the mean of two steps, of which the second has other places
    assert first != penalties(seed=1)


@pytest.mark.parametrize(("normalization", "expected"), [("layer", 10_781_696), ("batch", 9_769_856)])
def test_parameters_at_the_published_sizes(normalization, expected):
    detector = AEGAN(128 * 128, frames=128, base=32, latent=256, normalization=normalization)
    assert count(detector.generator_variables) == expected
    assert count(detector.discriminator_variables) == 3_303_425
    assert detector.encoder.output_shape == (None, 256)
    assert detector.discriminator_features.output_shape == (None, 512)


def count(variables):
    return sum(int(np.prod(variable.shape)) for variable in variables)


def test_patches_of_any_size_come_back_in_their_own():
    assert strides((128, 128)) == 5 * [(2, 2)]
    assert strides((64, 128)) == [*4 * [(2, 2)], (1, 2)]
    assert AEGAN(64 * 64, frames=64).values_per_window == 32 * 32 * 16
    for frames, n_mels in ((5, 12), (8, 4), (1, 3), (6, 10)):
        detector = AEGAN(frames * n_mels, frames=frames, base=2, latent=2)
        assert detector(np.zeros([3, frames * n_mels])).shape == (3, frames * n_mels)


@pytest.fixture
def of_authors(monkeypatch):
    """The script with the scores of the authors' code."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module("aegan_scores")


def test_errors_of_a_clip_are_the_mean_the_least_and_the_largest_of_its_windows(of_authors):
    detector = make()
    x2 = detector(WINDOWS).numpy() - WINDOWS
    before, after = (values.numpy() for values in detector.latents(WINDOWS))
    lengths = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    of_windows = {
        "G_x_2": np.sum(x2**2, axis=1),
        "G_x_1": np.sum(np.abs(x2), axis=1),
        "G_z_2": np.sum((after - before) ** 2, axis=1),
        "G_z_1": np.sum(np.abs(after - before), axis=1),
        "G_z_cos": 1 - np.sum(before * after, axis=1) / lengths,
    }
    errors = [of_windows[name] for name in of_authors.ERRORS]
    expected = [reduction(values) for values in errors for reduction in (np.mean, np.min, np.max)]
    found = of_authors.clip_function(detector)(WINDOWS[np.newaxis]).numpy()[0]
    np.testing.assert_allclose(found[:15], expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found[15:], np.mean(detector.encode(WINDOWS), axis=0), rtol=1e-4, atol=1e-6)
    means, least, largest = found[:15].reshape(5, 3).T
    assert (least < means).all()
    assert (means < largest).all()


def test_distances_of_a_mean_embedding_are_those_of_their_definitions(of_authors):
    training, test = np.random.default_rng(1).normal(size=[9, 2]), np.array([3.0, 4.0])
    cosines = np.sort(1 - training @ test / np.linalg.norm(training, axis=1) / 5)
    mean = training.mean(axis=0)
    expected = {
        "D_maha": (test - mean) @ np.linalg.inv(np.cov(training.T, bias=True)) @ (test - mean),
        "D_knn": cosines[0] + cosines[1],
        "D_cos": 1 - mean @ test / np.linalg.norm(mean) / 5,
    }
    found = of_authors.discriminator_scores(training, np.stack([test, -10 * mean]))
    assert {name: found[name][0] for name in expected} == pytest.approx(expected)
    assert found["D_cos"][1] == pytest.approx(2)  # the opposite direction
    assert found["D_lof"].shape == (2,)


def test_the_best_score_by_the_labels_is_said_to_be_an_oracle_s(of_authors):
    lines = of_authors.table({"D_knn": (80.0, 61.0), "D_maha": (70.0, 72.0), "G_x_2_mean": (75.0, 60.0)}).splitlines()
    assert lines[3] == "| D_maha | 70.0 | 72.0 | oracle |"
    assert [line for line in lines if "oracle" in line] == [lines[3]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": 0}, "base and latent of 1 or more. Received: base=0, latent=2"),
        ({"normalization": "group"}, "normalization to be one of layer, batch. Received: 'group'"),
        ({"frames": 5}, "input_dim to be a multiple of frames. Received: 32 and 5"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
