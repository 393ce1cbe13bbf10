import keras
import numpy as np
import pytest
import tensorflow as tf
from test_ganomaly import forward, softplus

from ganad_tf.models import EGBAD
from ganad_tf.training import learning


def make(**changes):
    keras.utils.set_random_seed(0)
    detector = EGBAD(**{"input_dim": 12, "hidden": [8, 6], "latent": 3, "average": 0.9, **changes})
    detector.compile(optimizer=keras.optimizers.Adam(1e-3), run_eagerly=True)
    return detector


def windows(count=16, seed=1):
    return np.random.default_rng(seed).normal(size=[count, 12]).astype(np.float32)


def discriminate(networks, x, z):
    """f(x, z) and the logit in NumPy: dense layers with LeakyReLU(0.1), no BatchNorm."""
    values = np.concatenate([x, z], axis=1)
    weights = [weight.numpy().astype(np.float64) for weight in networks["discriminator_features"].weights]
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        values = values @ kernel + bias
        values = np.where(values > 0, values, 0.1 * values)
    return values, forward(networks["discriminator_logit"], values)


def test_losses_are_those_of_the_paper():
    detector, x = make(), windows()
    z = np.random.default_rng(2).normal(size=[16, 3]).astype(np.float32)
    networks = detector.networks
    _, real = discriminate(networks, x, forward(networks["encoder"], x))
    _, fake = discriminate(networks, forward(networks["generator"], z), z)
    expected = {
        "generator_loss": np.mean(softplus(-fake)),
        "encoder_loss": np.mean(softplus(real)),
        "discriminator_loss": np.mean(softplus(-real)) + np.mean(softplus(fake)),
    }
    expected["loss"] = expected["generator_loss"] + expected["encoder_loss"]
    losses = detector.compute_losses(tf.constant(x), training=False, z=tf.constant(z))
    assert {name: float(loss) for name, loss in losses.items()} == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("score", ["feature_matching", "cross_entropy"])
def test_scores_are_those_of_the_paper_by_the_averaged_weights(score):
    detector, x = make(score=score), windows()
    for _ in range(8):
        detector.train_on_batch((windows(), windows(seed=3)))
    expected = {}
    for name, networks in (("trained", detector.networks), ("averaged", detector.averaged)):
        z = forward(networks["encoder"], x)
        x2 = forward(networks["generator"], z)
        f, logit = discriminate(networks, x, z)
        f2, _ = discriminate(networks, x2, z)
        doubt = np.sum(np.abs(f - f2), axis=1) if score == "feature_matching" else softplus(-logit[:, 0])
        expected[name] = 0.9 * np.sum(np.abs(x - x2), axis=1) + 0.1 * doubt
    np.testing.assert_allclose(detector.anomaly_score(x), expected["averaged"], rtol=1e-3)
    assert np.max(np.abs(expected["averaged"] - expected["trained"]) / expected["trained"]) > 0.01


def test_the_average_follows_the_weights_step_by_step():
    detector = make()
    mean = [weight.numpy() for weight in detector._weights(detector.averaged)]
    for _ in range(3):
        detector.train_on_batch(windows())
        current = [weight.numpy() for weight in detector._weights(detector.networks)]
        mean = [0.9 * old + 0.1 * new for old, new in zip(mean, current, strict=True)]
    for expected, weight in zip(mean, detector._weights(detector.averaged), strict=True):
        np.testing.assert_allclose(weight.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_second_step_is_on_the_other_batch():
    """Were it on the first one, NaNs in the other would harm nobody."""
    detector = make()
    detector.train_on_batch((windows(), np.full([16, 12], np.nan, np.float32)))
    assert np.isnan(detector.networks["encoder"].weights[0].numpy()).any()
    assert not np.isnan(detector.networks["discriminator_features"].weights[0].numpy()).any()


def test_generator_and_encoder_step_by_their_own_losses():
    """With plain gradient descent each moves by the gradient of its own loss, after the discriminator's step."""
    detector, x = make(discriminator_dropout=0.0), tf.constant(windows())
    detector.compile(optimizer=keras.optimizers.SGD(0.5), jit_compile=False)
    z = tf.constant(np.random.default_rng(2).normal(size=[16, 3]).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        losses = detector.compute_losses(x, training=True, z=z)
    encoder, generator = (detector.networks[name].trainable_variables for name in ("encoder", "generator"))
    assert not any(np.any(gradient) for gradient in tape.gradient(losses["generator_loss"], encoder))
    assert not any(np.any(gradient) for gradient in tape.gradient(losses["encoder_loss"], generator))
    assert all(np.any(gradient) for gradient in tape.gradient(losses["generator_loss"], generator)[-2:])


def test_unknown_score_is_refused():
    with pytest.raises(ValueError, match="Expected score"):
        EGBAD(score="mean")


def test_an_average_of_mostly_initial_weights_counts_as_too_few_steps():
    assert make(average=0.999).too_few_steps(2002) is None
    assert make(average=0.9999).too_few_steps(20_024) is None
    for average, n_steps, percent in ((0.999, 2000, 14), (0.9999, 20_000, 14), (0.9999, 5000, 61)):
        reason = learning.learned_little(make(average=average), n_steps, 0.5)
        assert reason.startswith(f"its averaged weights are still {percent} % the initial ones; train longer")


def test_an_average_that_never_moves_is_refused():
    with pytest.raises(ValueError, match=r"Expected average from 0 to below 1\. Received: 1\.0\."):
        make(average=1.0)
