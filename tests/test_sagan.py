"""SAGAN: attention, separable convolutions and skips, by hand; losses and score are Skip-GANomaly's."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import SAGAN, sagan
from ganad_tf.models.sagan import attention_u_net, cbam, discriminator_features, double_block, upsample

RNG = np.random.default_rng(0)
WINDOWS = RNG.normal(size=[6, 64]).astype(np.float32)  # eight frames of eight mel bands
SMALL = {"input_dim": 64, "frames": 8, "base": 4, "levels": 3, "discriminator_base": 4, "latent": 3}
WEIGHTS = {"w_adv": 2.0, "w_con": 5.0, "w_lat": 3.0}


def make(**changes):
    keras.utils.set_random_seed(1)
    detector = SAGAN(**SMALL | WEIGHTS | changes)
    detector.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    return detector


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def softplus(values):
    return np.log1p(np.exp(values))


def network_of(layer, channels):
    """A layer function as a network of maps of five by six."""
    inputs = keras.layers.Input([5, 6, channels])
    return keras.Model(inputs, layer(inputs))


def n_trainable(network):
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_variables)


def test_attention_without_an_opinion_multiplies_by_a_quarter():
    network, values = network_of(cbam, 32), RNG.normal(size=[2, 5, 6, 32]).astype(np.float32)
    for weight in network.trainable_variables:
        weight.assign(tf.zeros_like(weight))
    np.testing.assert_array_equal(network(values, training=False), 0.25 * values)


def test_attention_is_that_of_the_paper_to_channels_and_then_to_places():
    keras.utils.set_random_seed(2)
    network, values = network_of(cbam, 32), RNG.normal(size=[2, 5, 6, 32])
    hidden, output, convolution, norm = (layer for layer in network.layers if layer.weights)
    assert hidden.units == 2
    hidden.bias.assign([0.3, -0.2])

    def perceptron(vectors):
        return np.maximum(vectors @ hidden.kernel.numpy() + hidden.bias.numpy(), 0) @ output.kernel.numpy()

    logits = perceptron(values.mean(axis=(1, 2))) + perceptron(values.max(axis=(1, 2)))
    expected = values * sigmoid(logits)[:, np.newaxis, np.newaxis]
    maps = np.pad(np.stack([expected.mean(axis=3), expected.max(axis=3)], axis=3), [(0, 0), (3, 3), (3, 3), (0, 0)])
    views = np.lib.stride_tricks.sliding_window_view(maps, (7, 7), axis=(1, 2))  # [batch, frames, mels, 2, 7, 7]
    of_places = np.einsum("btmcij,ijc->btm", views, convolution.kernel.numpy()[..., 0]) / math.sqrt(1 + norm.epsilon)
    expected *= sigmoid(of_places)[..., np.newaxis]
    np.testing.assert_allclose(network(values, training=False), expected, rtol=1e-4, atol=1e-6)


def test_a_depthwise_kernel_touches_one_channel_and_the_next_convolution_one_place():
    network = network_of(lambda inputs: double_block(inputs, 3, 2), 4)
    depthwise, pointwise = network.layers[1:3]
    values = tf.constant(RNG.normal(size=[1, 5, 6, 4]), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(values)
        separate, mixed = depthwise(values), pointwise(values)
    of_separate, of_mixed = (
        np.abs(tape.jacobian(each, values).numpy()[0, ..., 0, :, :, :]) for each in (separate, mixed)
    )
    channels = of_separate.sum(axis=(0, 1, 3, 4))
    assert (channels[~np.eye(4, dtype=bool)] == 0).all()
    assert (np.diag(channels) > 0).all()
    places = of_mixed.sum(axis=(2, 5)).reshape(30, 30)
    assert (places[~np.eye(30, dtype=bool)] == 0).all()
    assert (np.diag(places) > 0).all()


def decoder_entrances(generator, levels):
    """Kernels `[3, 3, channels, 1]` of the decoder's blocks, by level."""
    kernels = [layer.kernel for layer in generator.layers if isinstance(layer, keras.layers.DepthwiseConv2D)]
    return dict(enumerate(reversed(kernels[2 * levels :: 2])))


def cut(kernel, channels):
    """Lets nothing of some channels in."""
    values = kernel.numpy()
    values[:, :, channels] = 0
    kernel.assign(values)


@pytest.mark.parametrize("level", [0, 1])
def test_each_skip_alone_lets_the_windows_through(level):
    """Of a level's skip nothing is left but its own way up: from below nothing comes, and other skips are cut."""
    generator, widths = make().generator, [4, 8, 8]
    entrances = decoder_entrances(generator, levels=3)
    skips = {number: slice(None, widths[number]) for number in entrances}
    for number, kernel in entrances.items():
        if number != level:
            cut(kernel, skips[number])
    cut(entrances[level], slice(widths[level], None))
    assert np.std(generator(WINDOWS), axis=0).max() > 1e-6
    cut(entrances[level], skips[level])
    assert np.std(generator(WINDOWS), axis=0).max() == 0


def test_the_first_skip_can_be_left_off():
    generator = make(first_skip=False).generator
    assert n_trainable(generator) < n_trainable(make().generator)
    (first, _) = decoder_entrances(generator, levels=3).values()
    assert first.shape[2] == 4  # what comes from below, and nothing else
    cut(first, slice(None))
    assert np.std(generator(WINDOWS), axis=0).max() == 0


def test_upsampling_is_linear_between_the_first_and_the_last_value():
    values = RNG.normal(size=[2, 3, 4, 5]).astype(np.float32)

    def along(axis, factor, values):
        length = values.shape[axis]
        places = np.linspace(0, length - 1, factor * length)
        return np.apply_along_axis(lambda one: np.interp(places, np.arange(length), one), axis, values)

    for factors in ((2, 2), (1, 2), (2, 1), (1, 1)):
        expected = along(2, factors[1], along(1, factors[0], values))
        np.testing.assert_allclose(upsample(values, factors), expected, rtol=1e-5, atol=1e-6)


def test_the_discriminator_by_hand():
    """Eight by eight in one step of stride 2, and the rest in one convolution without padding."""
    keras.utils.set_random_seed(3)
    network = discriminator_features((8, 8, 1), base=2, latent=3, name="f")
    first, last = (weight.numpy() for weight in network.weights)
    patches = np.pad(WINDOWS.reshape(6, 8, 8), [(0, 0), (1, 1), (1, 1)])
    views = np.lib.stride_tricks.sliding_window_view(patches, (4, 4), axis=(1, 2))[:, ::2, ::2]
    maps = np.einsum("btmij,ijc->btmc", views, first[:, :, 0])
    expected = np.einsum("btmc,tmcf->bf", np.maximum(maps, 0.2 * maps), last)
    np.testing.assert_allclose(network(WINDOWS), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("with_latent", [False, True])
def test_losses_and_score_are_those_of_skip_ganomaly(with_latent):
    detector = make(discriminator_latent_loss=with_latent)
    reconstruction = detector.generator(WINDOWS).numpy()
    f, f2 = (detector.discriminator_features(each).numpy() for each in (WINDOWS, reconstruction))
    kernel = detector.discriminator_logit.weights[0].numpy()[1, 1]  # there is no other place than the middle
    d, d2 = f @ kernel, f2 @ kernel
    adversarial, contextual = np.mean(softplus(-d2)), np.mean(np.abs(WINDOWS - reconstruction))
    latent = np.mean((f - f2) ** 2)
    expected = {
        "loss": 2 * adversarial + 5 * contextual + 3 * latent,
        "adversarial_loss": adversarial,
        "contextual_loss": contextual,
        "latent_loss": latent,
        "discriminator_loss": np.mean(softplus(-d)) + np.mean(softplus(d2)) + 3 * latent * with_latent,
    }
    assert detector.evaluate(WINDOWS, return_dict=True, verbose=0) == pytest.approx(expected, rel=1e-4)
    score = 0.9 * np.mean((WINDOWS - reconstruction) ** 2, axis=1) + 0.1 * np.mean((f - f2) ** 2, axis=1)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), score, rtol=1e-4)


@pytest.mark.slow
def test_a_discriminator_that_has_won_starts_afresh(monkeypatch):
    detector = make(input_dim=256, frames=16)  # large enough for batch normalisation
    kernels = [weight.numpy() for weight in detector.discriminator_variables if weight.name == "kernel"]
    (gamma,) = (weight for weight in detector.discriminator_variables if weight.name == "gamma")
    windows = RNG.normal(size=[4, 256]).astype(np.float32)
    assert detector.train_on_batch(windows, return_dict=True)["discriminator_resets"] == 0
    assert (gamma.numpy() != 1).any()
    monkeypatch.setattr(sagan, "RESET_DISCRIMINATOR_BELOW", math.inf)
    assert detector.train_on_batch(windows, return_dict=True)["discriminator_resets"] == 1
    np.testing.assert_array_equal(gamma.numpy(), 1)
    drawn = [weight.numpy() for weight in detector.discriminator_variables if weight.name == "kernel"]
    assert not any(np.allclose(old, new, atol=1e-2) for old, new in zip(kernels, drawn, strict=True))


def test_parameters_are_those_of_the_published_networks():
    at_published_width = attention_u_net((32, 32, 1), [64, 128, 256, 512, 512], name="generator")
    assert n_trainable(at_published_width) == 2_061_787
    of_colours = discriminator_features((32, 32, 3), base=64, latent=100, name="features")
    detector = SAGAN()
    assert n_trainable(of_colours) + n_trainable(detector.discriminator_logit) == 1_069_700
    assert n_trainable(detector.generator) == 142_102


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 1}, "two levels or more, and a channel or more. Received: levels=1, base=4"),
        ({"base": 0}, "a channel or more. Received: levels=3, base=0, discriminator_base=4"),
        ({"discriminator_base": 0}, "discriminator_base=0"),
        ({"pooling": "maximum"}, "pooling to be one of average, soft. Received: 'maximum'"),
        ({"frames": 5}, "multiple of frames"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
