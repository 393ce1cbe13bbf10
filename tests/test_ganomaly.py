import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import GANomaly
from ganad_tf.models.adversarial import RESET_DISCRIMINATOR_BELOW


def make(**changes):
    keras.utils.set_random_seed(0)
    detector = GANomaly(
        **{"input_dim": 12, "hidden": [8, 6], "latent": 3, "w_adv": 2.0, "w_con": 5.0, "w_enc": 3.0, **changes}
    )
    detector.compile(optimizer=keras.optimizers.Adam(1e-3), run_eagerly=True)
    return detector


def windows(count=16):
    return np.random.default_rng(1).normal(size=[count, 12]).astype(np.float32)


def forward(network, values):
    """A stack of Dense, BatchNorm (as in use), ReLU blocks and a linear layer, in NumPy."""
    weights = [weight.numpy().astype(np.float64) for weight in network.weights]
    while len(weights) >= 6:
        kernel, bias, gamma, beta, mean, variance = weights[:6]
        values = np.maximum(gamma * (values @ kernel + bias - mean) / np.sqrt(variance + 1e-3) + beta, 0)
        weights = weights[6:]
    if weights:
        values = values @ weights[0] + weights[1]
    return values


def by_hand(detector, x):
    """Every tensor of the paper, in NumPy."""
    z = forward(detector.encoder, x)
    x2 = forward(detector.decoder, z)
    z2 = forward(detector.second_encoder, x2)
    f, f2 = forward(detector.discriminator_features, x), forward(detector.discriminator_features, x2)
    d, d2 = forward(detector.discriminator_logit, f), forward(detector.discriminator_logit, f2)
    return z, x2, z2, f, f2, d, d2


def softplus(values):
    return np.logaddexp(0, values)


@pytest.mark.parametrize("adv_loss", ["feature_matching", "bce"])
def test_losses_are_those_of_the_paper(adv_loss):
    detector = make(adv_loss=adv_loss)
    x = windows()
    z, x2, z2, f, f2, d, d2 = by_hand(detector, x)
    adversarial = (
        np.mean((f - f2) ** 2) if adv_loss == "feature_matching" else np.mean(softplus(-d2))
    )  # -log sigmoid(d2)
    contextual, encoder = np.mean(np.abs(x - x2)), np.mean((z - z2) ** 2)
    expected = {
        "loss": 2 * adversarial + 5 * contextual + 3 * encoder,
        "adversarial_loss": adversarial,
        "contextual_loss": contextual,
        "encoder_loss": encoder,
        "discriminator_loss": (np.mean(softplus(-d)) + np.mean(softplus(d2))) / 2,
    }
    measured = detector.evaluate(x, return_dict=True, verbose=0)
    assert measured == pytest.approx(expected, rel=1e-4)


def test_scores_are_those_of_the_paper():
    x = windows()
    for score in ("latent", "reconstruction", "combined"):
        detector = make(score=score)
        z, x2, z2, *_ = by_hand(detector, x)
        latent, reconstruction = np.mean((z - z2) ** 2, axis=1), np.mean((x - x2) ** 2, axis=1)
        expected = {"latent": latent, "reconstruction": reconstruction, "combined": latent + reconstruction}[score]
        np.testing.assert_allclose(detector.anomaly_score(x), expected, rtol=1e-4)


def snapshot(variables):
    return [variable.numpy() for variable in variables]


def moved(before, variables):
    return [not np.array_equal(old, new.numpy()) for old, new in zip(before, variables, strict=True)]


def test_both_sides_together_are_all_trainable_variables():
    detector = make()
    both = [id(v) for v in detector.generator_variables + detector.discriminator_variables]
    assert sorted(both) == sorted(id(v) for v in detector.trainable_variables)


def test_the_discriminator_s_gradient_does_not_reach_the_generator():
    detector = make()
    with tf.GradientTape() as tape:
        losses = detector.compute_losses(tf.constant(windows()), training=True)
    gradients = tape.gradient(losses["encoder_loss"], detector.discriminator_variables, unconnected_gradients="none")
    assert all(gradient is None for gradient in gradients)


def test_the_discriminator_steps_on_what_it_said_before_the_generator_s_step():
    """With plain gradient descent its step is the gradient at the old generator."""
    detector = make()
    rate = 0.5
    detector.compile(optimizer=keras.optimizers.SGD(rate), run_eagerly=True)
    x = tf.constant(windows())
    kernel = detector.discriminator_logit.weights[0]
    with tf.GradientTape() as tape:
        losses = detector.compute_losses(x, training=True)
    gradient = tape.gradient(losses["discriminator_loss"], kernel.value)
    before = kernel.numpy()
    detector.train_on_batch(x)
    np.testing.assert_allclose(kernel.numpy(), before - rate * gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_a_discriminator_that_has_won_starts_afresh():
    detector = make()
    detector.run_eagerly = False  # a condition of the graph
    x = windows()
    detector.train_on_batch(x)
    logit_kernel, logit_bias = detector.discriminator_logit.weights
    feature_kernels = [w for w in detector.discriminator_features.weights if w.name == "kernel"]

    assert int(detector.discriminator_resets) == 0
    drawn = []
    for round_number in (1, 2):
        _let_the_discriminator_win(detector)
        before = snapshot(feature_kernels)
        logs = detector.train_on_batch(x, return_dict=True)
        assert int(detector.discriminator_resets) == round_number
        assert logs["discriminator_resets"] == round_number
        assert all(moved(before, feature_kernels))
        assert np.abs(logit_kernel.numpy()).max() < 2  # Glorot again
        assert float(logit_bias.numpy()[0]) == 0
        drawn.append(feature_kernels[0].numpy())
    assert not np.array_equal(*drawn)  # every reset draws anew
    limit = np.sqrt(6 / (12 + 8))
    assert np.abs(drawn[0]).max() <= limit


def _let_the_discriminator_win(detector):
    """x' becomes a constant, which BatchNorm turns into zeros; D's last features are |something| for x, 0 for x'."""
    kernel, bias = detector.decoder.weights[-2:]
    kernel.assign(tf.zeros_like(kernel))
    bias.assign(tf.zeros_like(bias))
    *_, dense, batch_norm, _ = detector.discriminator_features.layers
    half = dense.kernel.numpy()[:, :3]
    dense.kernel.assign(np.concatenate([half, -half], axis=1))
    batch_norm.gamma.assign(1e4 * tf.ones_like(batch_norm.gamma))
    batch_norm.beta.assign(tf.zeros_like(batch_norm.beta))
    for layer in detector.discriminator_features.layers[:-3]:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.beta.assign(tf.zeros_like(layer.beta))
    logit_kernel, logit_bias = detector.discriminator_logit.weights
    logit_kernel.assign(tf.ones_like(logit_kernel))
    logit_bias.assign([-20.0])


def test_no_reset_above_the_limit():
    detector = make()
    logs = detector.train_on_batch(windows(), return_dict=True)
    assert logs["discriminator_loss"] > RESET_DISCRIMINATOR_BELOW
    assert logs["discriminator_resets"] == 0


def test_the_second_optimizer_has_the_first_one_s_settings_by_default():
    detector = make()
    detector.compile(optimizer=keras.optimizers.Adam(3e-4, beta_1=0.3))
    assert detector.discriminator_optimizer is not detector.optimizer
    assert detector.discriminator_optimizer.get_config() == detector.optimizer.get_config()


@pytest.mark.parametrize("wrong", [{"adv_loss": "wasserstein"}, {"score": "mean"}, {"dropout": 1}])
def test_unknown_choices_are_refused(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))}"):
        GANomaly(**wrong)
