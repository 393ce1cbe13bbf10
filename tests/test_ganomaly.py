import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import GANomaly
from ganad_tf.models.ganomaly import RESET_BELOW


def make(**changes):
    keras.utils.set_random_seed(0)
    detector = GANomaly(
        **{"input_dim": 12, "hidden": [8, 6], "latent": 3, "w_adv": 2.0, "w_con": 5.0, "w_enc": 3.0, **changes}
    )
    detector.compile(optimizer=keras.optimizers.Adam(1e-3), jit_compile=False)
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


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_each_step_moves_its_own_side_alone(frozen):
    detector = make()
    rates = {"generator": detector.optimizer, "discriminator": detector.discriminator_optimizer}
    rates[frozen].learning_rate = 0.0
    before = {side: snapshot(getattr(detector, f"{side}_variables")) for side in rates}
    detector.train_on_batch(windows())
    other = "discriminator" if frozen == "generator" else "generator"
    assert not any(moved(before[frozen], getattr(detector, f"{frozen}_variables")))
    changed = moved(before[other], getattr(detector, f"{other}_variables"))
    assert sum(changed) > 0.6 * len(changed)  # biases before a BatchNorm have no gradient


def test_both_sides_together_are_all_trainable_variables():
    detector = make()
    both = [id(v) for v in detector.generator_variables + detector.discriminator_variables]
    assert sorted(both) == sorted(id(v) for v in detector.trainable_variables)


def test_the_discriminator_s_gradient_does_not_reach_the_generator():
    detector = make()
    with tf.GradientTape() as tape:
        losses = detector.losses_of(tf.constant(windows()), training=True)
    gradients = tape.gradient(losses["encoder_loss"], detector.discriminator_variables, unconnected_gradients="none")
    assert all(gradient is None for gradient in gradients)


def test_the_discriminator_steps_on_what_it_said_before_the_generator_s_step():
    """With plain gradient descent its step is the gradient at the old generator."""
    detector = make()
    rate = 0.5
    detector.compile(optimizer=keras.optimizers.SGD(rate), jit_compile=False)
    x = tf.constant(windows())
    kernel = detector.discriminator_logit.weights[0]
    with tf.GradientTape() as tape:
        losses = detector.losses_of(x, training=True)
    gradient = tape.gradient(losses["discriminator_loss"], kernel.value)
    before = kernel.numpy()
    detector.train_on_batch(x)
    np.testing.assert_allclose(kernel.numpy(), before - rate * gradient.numpy(), rtol=1e-4, atol=1e-6)


def test_a_discriminator_that_has_won_starts_afresh():
    detector = make()
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
    assert logs["discriminator_loss"] > RESET_BELOW
    assert logs["discriminator_resets"] == 0


def test_both_optimizers_survive_saving(tmp_path):
    detector = make()
    detector.compile(
        optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
        discriminator_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
        jit_compile=False,
    )
    for _ in range(3):
        detector.train_on_batch(windows())
    detector.save(tmp_path / "ganomaly.keras")
    again = keras.models.load_model(tmp_path / "ganomaly.keras")
    for mine, theirs in (
        (detector.optimizer, again.optimizer),
        (detector.discriminator_optimizer, again.discriminator_optimizer),
    ):
        assert type(mine) is type(theirs)
        assert mine.get_config() == theirs.get_config()
        assert int(theirs.iterations) == 3
        assert len(mine.variables) == len(theirs.variables) > 10
        for old, new in zip(mine.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(old.numpy(), new.numpy())


def test_an_uncompiled_detector_can_be_saved(tmp_path):
    detector = GANomaly(input_dim=12, hidden=[8], latent=3)
    detector.save(tmp_path / "ganomaly.keras")
    again = keras.models.load_model(tmp_path / "ganomaly.keras")
    np.testing.assert_array_equal(again.anomaly_score(windows()), detector.anomaly_score(windows()))


def test_the_second_optimizer_has_the_first_one_s_settings_by_default():
    detector = make()
    detector.compile(optimizer=keras.optimizers.Adam(3e-4, beta_1=0.3))
    assert detector.discriminator_optimizer is not detector.optimizer
    assert detector.discriminator_optimizer.get_config() == detector.optimizer.get_config()


@pytest.mark.parametrize("wrong", [{"adv_loss": "wasserstein"}, {"score": "mean"}, {"dropout": 1}])
def test_unknown_choices_are_refused(wrong):
    with pytest.raises(ValueError, match=f"Expected {next(iter(wrong))}"):
        GANomaly(**wrong)
