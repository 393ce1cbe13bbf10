"""SAGAN: Skip-GANomaly on patches, with a U-Net of depthwise separable convolutions and attention on its skips."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from ganad_tf.models.adversarial import RESET_DISCRIMINATOR_BELOW, update_means
from ganad_tf.models.convolutions import LAST, batch_norm, patch_shape, pool, poolings
from ganad_tf.models.detector import batch_of
from ganad_tf.models.refusals import refuse_unknown
from ganad_tf.models.skip_gan import SkipGAN

Pooling = Literal["average", "soft"]
REDUCTION = 16  # of the channels, within the attention to them
SIDE = 4  # of the map that f is made of


@keras.saving.register_keras_serializable(package="ganad_tf")
class SAGAN(SkipGAN):
    """Skip-attention GAN: normal patches come back as they are, to the eye of a discriminator as well; others don't.

    Liu et al. 2021, "Skip-attention GAN for anomaly detection" (ICIP), and its authors' code. Generator x → x', a U-Net
    (`attention_u_net`) that hands each level's map, weighted by attention (`cbam`), to the decoder. Discriminator: f(x)
    of `latent` values (`discriminator_features`) and a logit D(x). Means are over windows and dims.

        L_adv = BCE(D(x'), 1)
        L_con = mean |x - x'|
        L_lat = mean (f(x) - f(x'))^2
        L_G   = w_adv L_adv + w_con L_con + w_lat L_lat
        L_D   = BCE(D(x), 1) + BCE(D(x'), 0), no gradient into x'
        score = 0.9 mean (x - x')^2 + 0.1 mean (f(x) - f(x'))^2 per window

    These are Skip-GANomaly's (Akcay et al. 2019, Eq. 1 to 5), and so is the order of a step: both networks look at the
    batch once, then the generator steps, then the discriminator, on what it said before the generator's step. A
    discriminator whose loss falls below 1e-5 is re-initialised; `discriminator_resets` counts these. As the code is
    published, the attention U-Net stands in a line that is commented out, and a plain one is trained.

    The networks, `latent`, `levels`, the weights of the losses and Adam with a learning rate of 2e-4 and a beta_1 of
    0.5 are the authors'. Our choice, for sound: patches of standardised log-mels, and the widths, where theirs are
    `base` 64 and `discriminator_base` 64. A pooling halves the axes that are even, so that five frames of 128 mels are
    pooled along the mels alone; the discriminator's convolutions stride along the axes that are longer than 4.

    Where we differ from the authors' code: average pooling by default; L_D without w_lat L_lat
    (`discriminator_latent_loss`); initial weights from `kernel_initializer`, where theirs are N(0, 0.02); clip scores
    are not min-max scaled over the test set, and no epoch is chosen by it.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window.
      base: Channels of the generator's first level; each level has twice as many as the one before, the last as many.
      levels: Levels of the generator, at least 2.
      pooling: `average`, or `soft`: the mean weighted by the values' exponentials (SoftPool, Stergiou et al. 2021).
      first_skip: Whether the first level, which is not pooled, is handed on: patches may come back through it unseen.
      discriminator_base: Channels of the discriminator's first convolution; each has twice as many as the one before.
      latent: Length of f.
      w_adv, w_con, w_lat: Loss weights.
      discriminator_latent_loss: Whether L_D has the latent loss too.
      kernel_initializer: As Keras names it.
      seed: Of the re-initialised discriminators.

    Raises:
      ValueError: If an argument is out of range, or `frames` does not divide `input_dim`.
    """

    convolves = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        base: int = 16,
        levels: int = 5,
        pooling: Pooling = "average",
        first_skip: bool = True,
        discriminator_base: int = 16,
        latent: int = 100,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_lat: float = 1.0,
        discriminator_latent_loss: bool = False,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim=input_dim,
            latent=latent,
            w_adv=w_adv,
            w_con=w_con,
            w_lat=w_lat,
            discriminator_latent_loss=discriminator_latent_loss,
            kernel_initializer=kernel_initializer,
            seed=seed,
            **kwargs,
        )
        if levels < 2 or min(base, discriminator_base) < 1:
            raise ValueError(
                "Expected two levels or more, and a channel or more. "
                f"Received: levels={levels}, base={base}, discriminator_base={discriminator_base}."
            )
        refuse_unknown("pooling", pooling, Pooling)
        self.frames, self.base, self.levels = frames, base, levels
        self.pooling, self.first_skip = pooling, first_skip
        self.discriminator_base = discriminator_base

        shape = patch_shape(input_dim, frames)
        self.generator = attention_u_net(
            shape,
            [base * 2 ** min(level, levels - 2) for level in range(levels)],
            pooling=pooling,
            first_skip=first_skip,
            kernel_initializer=kernel_initializer,
            name="generator",
        )
        self.discriminator_features = discriminator_features(
            shape, discriminator_base, latent, kernel_initializer=kernel_initializer, name="discriminator_features"
        )
        self.discriminator_logit = keras.Sequential(
            [
                layers.Input([latent]),
                layers.Reshape([1, 1, latent]),
                layers.Conv2D(
                    1, 3, padding="same", use_bias=False, data_format=LAST, kernel_initializer=kernel_initializer
                ),
                layers.Reshape([1]),
            ],
            name="discriminator_logit",
        )
        self.built = True

    @property
    def values_per_window(self) -> int:
        """Values of a window where the decoder's last level begins."""
        return self.input_dim * 2 * self.base

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Runs both networks, steps the generator, then the discriminator, and re-initialises one that has won."""
        windows = batch_of(data)
        self.follow_learning_rate()
        generator, discriminator = self.generator_variables, self.discriminator_variables
        with tf.GradientTape(persistent=True) as tape:
            losses = self.compute_losses(windows, training=True)
        # Each gradient is taken for one side's variables alone, so x' is a constant to the discriminator.
        generator_gradients = tape.gradient(losses["loss"], generator)
        discriminator_gradients = tape.gradient(losses["discriminator_loss"], discriminator)
        self.optimizer.apply(generator_gradients, generator)
        self.discriminator_optimizer.apply(discriminator_gradients, discriminator)
        tf.cond(losses["discriminator_loss"] < RESET_DISCRIMINATOR_BELOW, self._reset_discriminator, lambda: None)
        resets = tf.cast(self.discriminator_resets, tf.float32)
        return update_means(self.loss_means, losses, windows) | {"discriminator_resets": resets}

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("frames", "base", "levels", "pooling", "first_skip", "discriminator_base")
        return super().get_config() | {name: getattr(self, name) for name in names}


def attention_u_net(
    shape: Sequence[int],
    widths: Sequence[int],
    *,
    pooling: Pooling = "average",
    first_skip: bool = True,
    kernel_initializer: str = "glorot_uniform",
    name: str,
) -> keras.Model:
    """The generator: double blocks down, and, upsampled bilinearly and joined with what attention lets through, up.

    The map that goes down is not weighted by attention; the deepest that goes up is.

    Args:
      shape: Of a patch, `(frames, mels, channels)`.
      widths: Channels of each level.
      pooling: `average` or `soft`.
      first_skip: Whether the first level's map is handed to the decoder.
      kernel_initializer: As Keras names it.
      name: Of the network.

    Returns:
      A built network, `[batch, frames * mels * channels]` → the same.
    """
    block = partial(double_block, kernel_initializer=kernel_initializer)
    pooled_by = poolings(shape[:2], len(widths) - 1)
    windows = layers.Input([math.prod(shape)])
    values = layers.Reshape(shape)(windows)
    attended = []
    for level, width in enumerate(widths):
        if level:
            values = pool(values, pooled_by[level - 1], pooling)
        values = block(values, width, width)
        attended.append(cbam(values, kernel_initializer))
    values = attended.pop()
    for level in reversed(range(len(attended))):
        values = upsample(values, pooled_by[level])
        if level or first_skip:
            values = layers.Concatenate()([attended[level], values])
        values = block(values, values.shape[-1] // 2, widths[max(level - 1, 0)])
    values = layers.Conv2D(shape[-1], 1, data_format=LAST, kernel_initializer=kernel_initializer)(values)
    return keras.Model(windows, layers.Reshape([math.prod(shape)])(values), name=name)


def discriminator_features(
    shape: Sequence[int], base: int, latent: int, *, kernel_initializer: str = "glorot_uniform", name: str
) -> keras.Sequential:
    """The discriminator up to f: convolutions of 4 x 4 that halve the axes until none is longer than 4, and one more.

    Args:
      shape: Of a patch, `(frames, mels, channels)`.
      base: Channels of the first convolution.
      latent: Length of f.
      kernel_initializer: As Keras names it.
      name: Of the network.

    Returns:
      A built network, `[batch, frames * mels * channels]` → `[batch, latent]`.
    """
    convolution = partial(layers.Conv2D, use_bias=False, data_format=LAST, kernel_initializer=kernel_initializer)
    network: list[layers.Layer] = [layers.Input([math.prod(shape)]), layers.Reshape(shape)]
    size, width = tuple(shape[:2]), base
    while width == base or max(size) > SIDE:
        strides = tuple(2 if length > SIDE else 1 for length in size)
        normalised = [] if width == base else [batch_norm()]
        network += [convolution(width, SIDE, strides, padding="same"), *normalised, layers.LeakyReLU(0.2)]
        size, width = tuple(-(-length // stride) for length, stride in zip(size, strides, strict=True)), 2 * width
    return keras.Sequential([*network, convolution(latent, size), layers.Flatten(data_format=LAST)], name=name)


def double_block(
    values: keras.KerasTensor, middle: int, width: int, *, kernel_initializer: str = "glorot_uniform"
) -> keras.KerasTensor:
    """Twice a depthwise convolution of 3 x 3, one of 1 x 1, BatchNorm and ReLU; `middle`, then `width` channels."""
    for channels in (middle, width):
        values = layers.DepthwiseConv2D(3, padding="same", data_format=LAST, depthwise_initializer=kernel_initializer)(
            values
        )
        values = layers.Conv2D(channels, 1, data_format=LAST, kernel_initializer=kernel_initializer)(values)
        values = layers.ReLU()(batch_norm()(values))
    return values


def cbam(values: keras.KerasTensor, kernel_initializer: str = "glorot_uniform") -> keras.KerasTensor:
    """Convolutional block attention (Woo et al. 2018, arXiv 1807.06521, Eq. 1 to 3), to channels and then to places.

        x' = x * sigmoid(MLP(mean over places of x) + MLP(maximum over places of x))
        x" = x' * sigmoid(BatchNorm(7 x 7 convolution of [mean over channels of x', maximum over channels of x']))

    Args:
      values: `[batch, frames, mels, channels]`.
      kernel_initializer: As Keras names it.

    Returns:
      The weighted values, in the same shape.
    """
    channels = values.shape[-1]
    hidden = layers.Dense(max(1, channels // REDUCTION), activation="relu", kernel_initializer=kernel_initializer)
    output = layers.Dense(channels, kernel_initializer=kernel_initializer)
    kinds = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
    by_mean, by_maximum = (output(hidden(kind(data_format=LAST, keepdims=True)(values))) for kind in kinds)
    values = values * ops.sigmoid(by_mean + by_maximum)
    maps = layers.Concatenate()([ops.mean(values, axis=-1, keepdims=True), ops.max(values, axis=-1, keepdims=True)])
    logits = layers.Conv2D(
        1, 7, padding="same", use_bias=False, data_format=LAST, kernel_initializer=kernel_initializer
    )(maps)
    return values * ops.sigmoid(batch_norm()(logits))


def upsample(values: keras.KerasTensor, factors: Sequence[int]) -> keras.KerasTensor:
    """Interpolates `[batch, frames, mels, channels]` linearly along both axes, from the first value to the last.

    By products of matrices, because XLA has no gradient of such a resizing, and GPUs none that is the same every time.

    >>> upsample(tf.reshape([0.0, 3.0], [1, 1, 2, 1]), (1, 2)).numpy().ravel().tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    frames, mels = (_interpolation(length, factor) for length, factor in zip(values.shape[1:3], factors, strict=True))
    if factors[0] > 1:
        values = ops.einsum("btmc,st->bsmc", values, frames)
    return ops.einsum("btmc,nm->btnc", values, mels) if factors[1] > 1 else values


def _interpolation(length: int, factor: int) -> np.ndarray:
    """Matrix of a linear interpolation, `[factor * length, length]`."""
    places = np.linspace(0, length - 1, factor * length)
    distances = np.abs(places[:, np.newaxis] - np.arange(length))
    return np.maximum(0, 1 - distances).astype(np.float32)
