"""AEGAN: an autoencoder that is trained against a critic, whose last feature map describes what it has heard."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import SMALLEST_SQUARE, TwoOptimizers, gradient_penalty, total, update_means
from ganad_tf.models.convolutions import LAST, batch_norm, patch_shape
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.refusals import refuse_unknown

Normalization = Literal["layer", "batch"]
LOSSES = ("loss", "reconstruction_loss", "feature_loss", "discriminator_loss", "gradient_penalty")
SIDE = 4  # of the kernels, and the length that axes are halved down to
EPSILON = 1e-5  # of layer normalisation, as in the authors' framework


@keras.saving.register_keras_serializable(package="ganad_tf")
class AEGAN(TwoOptimizers):
    """AEGAN-AD: an autoencoder as generator, and a critic that helps it in training and describes windows afterwards.

    Jiang et al. 2023, "Unsupervised anomaly detection and localization of machine audio: a GAN-based approach" (ICASSP,
    arXiv 2303.17949), and the authors' code. Generator x → x' = d(e(x)), an autoencoder of strided convolutions;
    discriminator D, a critic whose output is no logit, f(x) the embedding before its last layers. E is the mean over
    windows and S their standard deviation; x^ is between x and x' at a random place.

        penalty = E (||gradient of D at x^|| - 1)^2
        L_D     = E D(x') - E D(x) + w_gp penalty, no gradient into x'
        L_f     = mean over units of (E f(x) - E f(x'))^2 + (S f(x) - S f(x'))^2
        L_G     = mean (x - x')^2 + eta L_f, by the gradient for e and d alone
        score   = mean (x - x')^2 per window

    L_G has no adversarial term: the critic teaches by L_f alone. A step is one of the discriminator, then one of the
    generator on the same batch. Losses: `loss` is L_G, `reconstruction_loss` its first term, `feature_loss` L_f.

    The losses and their weights, the networks, and Adam with a learning rate of 2e-4 and a beta_1 of 0.5 are the
    authors', and so are a patch of 128 x 128, `base` 32 and `latent` 256. They choose by machine type: `eta` 1 or 0.05,
    L_f with or without S (`match_std`), `normalization: layer` or `batch`. They score a clip in 19 ways, of which
    `anomaly_score`, averaged over windows, is one; they choose way and epoch by the labels of the test clips. The
    density of mean embeddings, `scorer: {of: embedding, density: cosine_knn, neighbors: 2}`, is another one, and is the
    default of `yaml/aegan.yaml`. `latents` is what nine of the others are made of; tools/aegan_scores.py has them all.

    Where we differ from the authors' code: windows are standardised per mel band in place of scaled to [-1, 1] by the
    extremes of all training clips, so the output is linear in place of tanh; initial weights come from
    `kernel_initializer`, where theirs are N(0, 0.02); an epoch's last, smaller batch is trained on too. A convolution
    halves the axes that are even and longer than 4, so that five frames of 128 mels stay five frames.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window; best a power of two, as the number of mel bands.
      base: Channels of the first convolution; each has twice as many as the one before.
      latent: Length of e(x).
      normalization: Of e and d: `layer`, over all values of a window, or `batch`. D's is always `layer`.
      eta: Weight of L_f.
      match_std: Whether L_f compares deviations too.
      w_gp: Weight of the gradient penalty.
      kernel_initializer: As Keras names it.
      seed: Of the places of x^.

    Raises:
      ValueError: If an argument is out of range, or `frames` does not divide `input_dim`.

    >>> AEGAN(input_dim=64 * 64, frames=64).encode(tf.zeros([1, 64 * 64])).shape
    TensorShape([1, 128])
    """

    convolves = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        base: int = 16,
        latent: int = 64,
        normalization: Normalization = "layer",
        eta: float = 1.0,
        match_std: bool = True,
        w_gp: float = 10.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            LOSSES, input_dim=input_dim, latent=latent, kernel_initializer=kernel_initializer, seed=seed, **kwargs
        )
        if min(base, latent) < 1:
            raise ValueError(f"Expected base and latent of 1 or more. Received: base={base}, latent={latent}.")
        refuse_unknown("normalization", normalization, Normalization)
        self.frames, self.base, self.normalization = frames, base, normalization
        self.eta, self.match_std, self.w_gp = eta, match_std, w_gp

        shape, kernel = patch_shape(input_dim, frames), {"kernel_initializer": kernel_initializer}
        normalize = layer_norm if normalization == "layer" else batch_norm
        self.encoder = encoder(shape, base, latent, normalize, **kernel)
        self.decoder = decoder(shape, base, latent, normalize, **kernel)
        self.discriminator_features = embedding_network(shape, base, **kernel)
        self.discriminator_value = keras.Sequential(
            [
                layers.Input(self.discriminator_features.output_shape[1:]),
                layers.LayerNormalization(epsilon=EPSILON),
                layers.LeakyReLU(0.2),
                layers.Dense(1, **kernel),
            ],
            name="discriminator_value",
        )
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the generator's step."""
        return self.encoder.trainable_variables + self.decoder.trainable_variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of the discriminator's step."""
        return self.discriminator_features.trainable_variables + self.discriminator_value.trainable_variables

    @property
    def values_per_window(self) -> int:
        """Values of a window after the first convolution."""
        first, *_ = strides((self.frames, self.input_dim // self.frames))
        return self.input_dim * self.base // math.prod(first)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.decoder(self.encoder(as_float32(windows), training=training), training=training)

    def compute_losses(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss on one batch, by the names in the class's docstring; places of x^ are the same every time."""
        windows = as_float32(windows)
        reconstruction = self(windows, training=training)
        of_discriminator = self._discriminator_losses(windows, reconstruction, step=-1)
        return self._generator_losses(windows, reconstruction) | of_discriminator

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Steps the discriminator, then the generator by what the discriminator says after its step."""
        windows = batch_of(data)
        self.follow_learning_rate()
        with tf.GradientTape() as tape:
            reconstruction = self(windows, training=True)
            with tape.stop_recording():
                of_discriminator = self._discriminator_step(windows, reconstruction)
            of_generator = self._generator_losses(windows, reconstruction)
        variables = self.generator_variables
        self.optimizer.apply(tape.gradient(of_generator["loss"], variables), variables)
        return update_means(self.loss_means, of_generator | of_discriminator, windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean squared error of each window, `[batch]`."""
        return tf.reduce_mean(tf.square(self.residual(windows)), axis=-1)

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """f(x), the discriminator's embedding of each window, `[batch, units]`."""
        return self.discriminator_features(as_float32(windows))

    def latents(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """e(x) and e(x') of each window, `[batch, latent]` each, whose difference is the error in the latent space."""
        windows = as_float32(windows)
        latent = self.encoder(windows, training=False)
        return latent, self.encoder(self.decoder(latent, training=False), training=False)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("frames", "base", "normalization", "eta", "match_std", "w_gp")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _discriminator_step(self, windows: tf.Tensor, reconstruction: tf.Tensor) -> dict[str, tf.Tensor]:
        variables = self.discriminator_variables
        with tf.GradientTape() as tape:
            losses = self._discriminator_losses(windows, reconstruction, self.discriminator_optimizer.iterations)
        self.discriminator_optimizer.apply(tape.gradient(losses["discriminator_loss"], variables), variables)
        return losses

    def _discriminator_losses(
        self, windows: tf.Tensor, reconstruction: tf.Tensor, step: int | tf.Tensor
    ) -> dict[str, tf.Tensor]:
        generated = tf.stop_gradient(reconstruction)
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(step, tf.int64)])
        places = tf.random.stateless_uniform([tf.shape(windows)[0], 1], seed)
        penalty = gradient_penalty(self._criticize, windows, generated, places)
        # One by one, for then the gradient of the last bias is 0, and not its rounding.
        real, fake = (tf.reduce_mean(self._criticize(one)) for one in (windows, generated))
        return {"discriminator_loss": total(fake, -real, self.w_gp * penalty), "gradient_penalty": penalty}

    def _generator_losses(self, windows: tf.Tensor, reconstruction: tf.Tensor) -> dict[str, tf.Tensor]:
        by_input = tf.reduce_mean(tf.square(windows - reconstruction))
        features = (self.discriminator_features(one) for one in (windows, reconstruction))
        by_features = feature_matching(*features, match_std=self.match_std)
        return {
            "loss": by_input + self.eta * by_features,
            "reconstruction_loss": by_input,
            "feature_loss": by_features,
        }

    def _criticize(self, windows: tf.Tensor) -> tf.Tensor:
        """D of each window, `[batch, 1]`; greater for what looks normal."""
        return self.discriminator_value(self.discriminator_features(windows))


def feature_matching(real: tf.Tensor, fake: tf.Tensor, *, match_std: bool) -> tf.Tensor:
    """Mean over units of the squared differences of batch means and, if asked for, of batch standard deviations.

    Args:
      real: `[batch, units]`.
      fake: `[batch, units]`.
      match_std: Whether standard deviations, those of a whole population, count too.

    Returns:
      A scalar, 0 where the rows of one are those of the other in any order.

    >>> float(feature_matching(tf.constant([[1.0], [3.0]]), tf.constant([[-1.0], [3.0]]), match_std=True))
    2.0
    """

    def moments(features: tf.Tensor) -> list[tf.Tensor]:
        mean, variance = tf.math.reduce_mean(features, axis=0), tf.math.reduce_variance(features, axis=0)
        return [mean, *([tf.sqrt(tf.maximum(variance, SMALLEST_SQUARE))] if match_std else [])]

    pairs = zip(moments(real), moments(fake), strict=True)
    return total(*(tf.reduce_mean(tf.square(one - other)) for one, other in pairs))


def encoder(
    shape: Sequence[int], base: int, latent: int, normalize: Callable[[], layers.Layer], kernel_initializer: str
) -> keras.Sequential:
    """The encoder e: convolutions that halve the axes down to 4, and one over the whole map that is left.

    Args:
      shape: Of a patch, `(frames, mels, 1)`.
      base: Channels of the first convolution.
      latent: Length of e(x).
      normalize: Makes a normalisation layer.
      kernel_initializer: As Keras names it.

    Returns:
      A built network, `[batch, frames * mels]` → `[batch, latent]`.
    """
    stack, size = _convolutions(shape, base, normalize, kernel_initializer)
    whole = layers.Conv2D(latent, size, use_bias=False, data_format=LAST, kernel_initializer=kernel_initializer)
    return keras.Sequential([*stack, whole, layers.Reshape([latent])], name="encoder")


def decoder(
    shape: Sequence[int], base: int, latent: int, normalize: Callable[[], layers.Layer], kernel_initializer: str
) -> keras.Sequential:
    """The decoder d, the encoder's mirror image with ReLU, and with a linear output.

    Arguments are the encoder's.

    Returns:
      A built network, `[batch, latent]` → `[batch, frames * mels]`.
    """
    convolution = partial(
        layers.Conv2DTranspose, use_bias=False, data_format=LAST, kernel_initializer=kernel_initializer
    )
    of_levels = strides(shape[:2])
    stack = [layers.Input([latent]), layers.Reshape([1, 1, latent])]
    stack += [convolution(base * 2 ** (len(of_levels) - 1), map_size(shape, of_levels))]
    for level in reversed(range(1, len(of_levels))):
        stack += [normalize(), layers.ReLU()]
        stack += [convolution(base * 2 ** (level - 1), SIDE, of_levels[level], padding="same")]
    stack += [normalize(), layers.ReLU()]
    stack += [convolution(1, SIDE, of_levels[0], padding="same"), layers.Reshape([math.prod(shape)])]
    return keras.Sequential(stack, name="decoder")


def embedding_network(shape: Sequence[int], base: int, kernel_initializer: str) -> keras.Sequential:
    """The discriminator up to f: the encoder's convolutions, and a depthwise one over the whole map that is left.

    Arguments are the encoder's.

    Returns:
      A built network, `[batch, frames * mels]` → `[batch, units]`, with the channels of the last convolution as units.
    """
    stack, size = _convolutions(shape, base, layer_norm, kernel_initializer)
    whole = layers.DepthwiseConv2D(size, use_bias=False, data_format=LAST, depthwise_initializer=kernel_initializer)
    return keras.Sequential([*stack, whole, layers.Flatten(data_format=LAST)], name="discriminator_features")


def layer_norm() -> layers.LayerNormalization:
    """Layer normalisation over all values of a map, `[batch, frames, mels, channels]`; each has its gain and shift."""
    return layers.LayerNormalization(axis=(1, 2, 3), epsilon=EPSILON)


def strides(size: Sequence[int]) -> list[tuple[int, ...]]:
    """Strides of convolutions, one or more, that halve the axes of a patch as long as they are even and longer than 4.

    >>> strides((64, 64))
    [(2, 2), (2, 2), (2, 2), (2, 2)]
    >>> strides((5, 16)), strides((3, 4))
    ([(1, 2), (1, 2)], [(1, 1)])
    """

    def halvings(length: int) -> int:
        return 1 + halvings(length // 2) if length > SIDE and length % 2 == 0 else 0

    counts = [halvings(length) for length in size]
    return [tuple(2 if level < count else 1 for count in counts) for level in range(max(1, *counts))]


def map_size(shape: Sequence[int], of_levels: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Frames and mels of the map that convolutions with these strides leave of a patch `(frames, mels, channels)`.

    >>> map_size((64, 128, 1), strides((64, 128)))
    (4, 4)
    """
    return tuple(length // math.prod(steps) for length, *steps in zip(shape[:2], *of_levels, strict=True))


def _convolutions(
    shape: Sequence[int], base: int, normalize: Callable[[], layers.Layer], kernel_initializer: str
) -> tuple[list[layers.Layer], tuple[int, ...]]:
    """Convolutions of windows as patches, each with normalisation and leaky ReLU, and the axes that they leave."""
    stack: list[layers.Layer] = [layers.Input([math.prod(shape)]), layers.Reshape(shape)]
    of_levels = strides(shape[:2])
    for level, stride in enumerate(of_levels):
        convolution = layers.Conv2D(
            base * 2**level,
            SIDE,
            stride,
            padding="same",
            use_bias=False,
            data_format=LAST,
            kernel_initializer=kernel_initializer,
        )
        stack += [convolution, normalize(), layers.LeakyReLU(0.2)]
    return stack, map_size(shape, of_levels)
