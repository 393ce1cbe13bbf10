import keras
import numpy as np
import pytest
import tensorflow as tf
from test_ganomaly import forward, softplus

from ganad_tf.models import SkipGANomaly
from ganad_tf.models.adversarial import RESET_DISCRIMINATOR_BELOW


def make(**changes):
    keras.utils.set_random_seed(0)
    arguments = {"input_dim": 12, "hidden": [8, 6], "latent": 3, "w_adv": 2.0, "w_con": 5.0, "w_lat": 3.0}
    detector = SkipGANomaly(**{**arguments, **changes})
    detector.compile(optimizer=keras.optimizers.Adam(1e-3), run_eagerly=True)
    return detector


def windows(count=16):
    return np.random.default_rng(1).normal(size=[count, 12]).astype(np.float32)


def u_net(generator, values):
    """The generator in NumPy: two encoder blocks, the middle, two decoder blocks that see the encoder's."""
    weights = [weight.numpy().astype(np.float64) for weight in generator.weights]

    def block(inputs):
        kernel, bias, gamma, beta, mean, variance = (weights.pop(0) for _ in range(6))
        return np.maximum(gamma * (inputs @ kernel + bias - mean) / np.sqrt(variance + 1e-3) + beta, 0)

    first = block(values)
    second = block(first)
    middle = block(second)
    third = block(np.concatenate([middle, second], axis=1))
    fourth = block(np.concatenate([third, first], axis=1))
    return fourth @ weights[0] + weights[1]


@pytest.mark.parametrize("with_latent", [False, True])
def test_losses_and_score_are_those_of_the_paper(with_latent):
    detector, x = make(discriminator_latent_loss=with_latent), windows()
    x2 = u_net(detector.generator, x)
    f, f2 = forward(detector.discriminator_features, x), forward(detector.discriminator_features, x2)
    d, d2 = forward(detector.discriminator_logit, f), forward(detector.discriminator_logit, f2)
    adversarial, contextual, latent = np.mean(softplus(-d2)), np.mean(np.abs(x - x2)), np.mean((f - f2) ** 2)
    expected = {
        "loss": 2 * adversarial + 5 * contextual + 3 * latent,
        "adversarial_loss": adversarial,
        "contextual_loss": contextual,
        "latent_loss": latent,
        "discriminator_loss": np.mean(softplus(-d)) + np.mean(softplus(d2)) + 3 * latent * with_latent,
    }
    assert detector.evaluate(x, return_dict=True, verbose=0) == pytest.approx(expected, rel=1e-4)
    score = 0.9 * np.mean((x - x2) ** 2, axis=1) + 0.1 * np.mean((f - f2) ** 2, axis=1)
    np.testing.assert_allclose(detector.anomaly_score(x), score, rtol=1e-4)


def test_skips_connect_and_the_input_itself_does_not():
    """With the middle cut off the windows still come through; with the encoder blocks cut off nothing does."""
    detector, x = make(), windows()
    kernels = [weight for weight in detector.generator.weights if weight.name == "kernel"]
    kernels[2].assign(tf.zeros_like(kernels[2]))
    assert np.std(detector(x).numpy(), axis=0).max() > 0
    kernels[0].assign(tf.zeros_like(kernels[0]))
    assert np.std(detector(x).numpy(), axis=0).max() == 0


def test_a_discriminator_that_has_won_starts_afresh():
    detector, x = make(), windows()
    detector.generator.weights[-2].assign(tf.zeros_like(detector.generator.weights[-2]))  # x' is a constant
    layers = detector.discriminator_features.layers
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(tf.zeros_like(layer.beta))
    dense, batch_norm = layers[-3], layers[-2]
    half = dense.kernel.numpy()[:, :1]
    dense.kernel.assign(np.concatenate([half, -half, half], axis=1))  # of x and -x one is above 0
    batch_norm.gamma.assign(1e4 * tf.ones_like(batch_norm.gamma))
    kernel, bias = detector.discriminator_logit.weights
    kernel.assign(tf.ones_like(kernel))
    bias.assign([-20.0])
    logs = detector.train_on_batch(x, return_dict=True)
    assert logs["discriminator_loss"] < RESET_DISCRIMINATOR_BELOW
    assert logs["discriminator_resets"] == 1
    assert np.abs(kernel.numpy()).max() < 2
    np.testing.assert_array_equal(batch_norm.gamma.numpy(), 1)
