"""Attention along time, frequency and channels of a feature map, and mixed styles: our reading of MDAM."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops

TIME_KERNEL = 7  # frames
REDUCTION = 4
CONCENTRATION = 0.1  # of the Beta distribution of shares


@keras.saving.register_keras_serializable(package="ganad_tf")
class MultiDimensionalAttention(layers.Layer):
    """A feature map weighted along each of its axes by what the other two say of it.

    MDAM (Chen, Wang, Wang and Xu, ICONIP 2023, CCIS 1967) infers attention along time, frequency and channels of a
    shallow map. Its abstract says no more, so all of this is our reading. For each axis a, m and M are the mean and the
    maximum of the map x over the other two, and f is common to both:

        w_a = sigmoid(f_a(m_a) + f_a(M_a))
        y   = x * w_time * w_frequency * w_channel

    f is a convolution over `kernel` frames for time, and two dense layers with a ReLU between them for the others, the
    first a quarter as wide as the axis; none has a bias.

    Args:
      kernel: Frames of the convolution.

    >>> MultiDimensionalAttention()(tf.ones([2, 9, 8, 4])).shape
    TensorShape([2, 9, 8, 4])
    """

    def __init__(self, kernel: int = TIME_KERNEL, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kernel = kernel
        self.of_time = layers.Conv1D(1, kernel, padding="same", use_bias=False)

    def build(self, input_shape: Any) -> None:
        """Builds the functions of each axis for maps `[batch, time, frequency, channels]`."""
        _, _, n_bands, n_channels = input_shape
        self.of_frequency, self.of_channel = _squeezed(n_bands), _squeezed(n_channels)
        self.of_time.build([None, None, 1])

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """Weighted map, of the shape of `values`, `[batch, time, frequency, channels]`."""
        along_time, along_frequency, along_channels = self.weights_of(values)
        return values * along_time[:, :, None, None] * along_frequency[:, None, :, None] * along_channels[:, None, None]

    def weights_of(self, values: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Weights along each axis, in (0, 1): `[batch, time]`, `[batch, frequency]`, `[batch, channels]`."""
        logits = []
        for kept, function in ((1, self._time_logits), (2, self.of_frequency), (3, self.of_channel)):
            others = [axis for axis in (1, 2, 3) if axis != kept]
            logits.append(function(ops.mean(values, axis=others)) + function(ops.max(values, axis=others)))
        return tuple(ops.sigmoid(logit) for logit in logits)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return super().get_config() | {"kernel": self.kernel}

    def _time_logits(self, values: tf.Tensor) -> tf.Tensor:
        return self.of_time(values[..., None])[..., 0]


@keras.saving.register_keras_serializable(package="ganad_tf")
class MixedStyle(layers.Layer):
    """Feature maps with mean and deviation of each channel mixed with those of another map of the batch.

    MixStyle (Zhou et al., ICLR 2021), in place of MDAM's blending of domains, of which only the abstract is known. With
    mean mu and standard deviation sigma of each channel over time and frequency, r the share, and j the map at the same
    position of the reversed batch:

        y_i = (x_i - mu_i) / sigma_i * (r sigma_i + (1 - r) sigma_j) + r mu_i + (1 - r) mu_j

    A share of 1 leaves a map as it is.
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Maps `[batch, time, frequency, channels]` and shares `[batch, 1]` → mixed maps."""
        values, share = inputs[0], inputs[1][:, :, None, None]
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        deviation = ops.sqrt(ops.var(values, axis=(1, 2), keepdims=True) + 1e-6)
        # As in the paper, no gradient flows through the statistics.
        mean, deviation = ops.stop_gradient(mean), ops.stop_gradient(deviation)
        mixed_deviation = share * deviation + (1 - share) * ops.flip(deviation, axis=0)
        mixed_mean = share * mean + (1 - share) * ops.flip(mean, axis=0)
        return (values - mean) / deviation * mixed_deviation + mixed_mean


def drawn_shares(n_windows: tf.Tensor, probability: float, seed: tf.Tensor) -> tf.Tensor:
    """Shares for `MixedStyle`, `[n_windows, 1]`: Beta(0.1, 0.1) with a probability, and 1 otherwise.

    Args:
      n_windows: Number of windows, `[]` int32.
      probability: Probability that a window's style is mixed, in [0, 1].
      seed: `[2]` int64.
    """
    of_choice, of_gamma = tf.unstack(tf.random.split(seed, 2))
    gammas = tf.random.stateless_gamma([n_windows, 2], of_gamma, alpha=CONCENTRATION) + 1e-12
    share = gammas[:, :1] / tf.reduce_sum(gammas, axis=1, keepdims=True)
    is_mixed = tf.random.stateless_uniform([n_windows, 1], of_choice) < probability
    return tf.where(is_mixed, share, tf.ones_like(share))


def _squeezed(length: int) -> keras.Sequential:
    hidden = layers.Dense(max(1, length // REDUCTION), activation="relu", use_bias=False)
    return keras.Sequential([layers.Input([length]), hidden, layers.Dense(length, use_bias=False)])
