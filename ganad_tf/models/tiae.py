"""TIAE: an autoencoder that undoes reversals of a patch, which it has learned for normal patches alone."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import update_means
from ganad_tf.models.convolutions import LAST, batch_norm, patch_shape, pool, poolings
from ganad_tf.models.detector import LossMean, as_float32, batch_of
from ganad_tf.models.refusals import refuse_unknown
from ganad_tf.models.stages import EpochwiseDetector

Transform = Literal["identity", "time", "mel", "both"]
Output = Literal["linear", "tanh"]
REVERSED_AXES: dict[str, list[int]] = {"identity": [], "time": [1], "mel": [2], "both": [1, 2]}
EVERY_LOSS = float(np.finfo(np.float32).max)  # a limit that excludes none


@keras.saving.register_keras_serializable(package="ganad_tf")
class TIAE(EpochwiseDetector):
    """Transformation invariant autoencoder: it reconstructs a patch from each of its transforms.

    Cheng et al. 2021, "Unsupervised outlier detection via transformation invariant autoencoder" (IEEE Access 9), and
    the authors' code, in which the transforms are rotations of an image. To reconstruct the patch itself, the network
    f has to recognise the transform, as it does for patches like those of its training. T_k is the k-th of K
    transforms; means are over windows and dims.

        loss   = mean over k of mean (x - f(T_k(x)))^2
        score  = mean over k of mean |x - f(T_k(x))| per window
        x'     = f(x)

    f is a U-Net (`u_net`). With `self_paced`, for recordings of which some may be abnormal, the loss is the mean over
    the windows whose own loss, its mean over k, is below a limit. It rises, so that more and more are admitted:

        limit  = mean - (margin - epoch / epochs) * standard deviation, of the losses of the epoch before

    In the first epoch all windows count; `selected` is the share that does. `loss` is reported over all windows, so
    that it can be compared between epochs and with validation.

    The network, the losses, the score and the limit are the authors'. Our choice, because rotating a spectrogram has no
    meaning: reversal in time, along the mels, and both, which like the rotations are four; patches of standardised
    log-mels with a linear output, where theirs is `tanh`; `base`, which is 64 in theirs; Adam with a learning rate of
    1e-3, where they have SGD with 0.1, halved every 12 epochs, over 200 epochs with batches of 32; Glorot's initial
    weights, which are 50 times as small in theirs. A pooling halves the axes that are even, so that five frames of 128
    mels are pooled along the mels alone.

    Where we differ from the authors' code: it selects a window for a whole epoch, by its loss in the epoch before,
    for which windows need numbers; here a window is selected in each step, by its loss in that step. Theirs also adds
    up the losses of early windows more than once, and scales scores over all that are scored.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window.
      base: Channels of the first level; each has twice as many as the one before.
      levels: Levels of the U-Net, at least 2.
      transforms: Some of `identity`, `time`, `mel` and `both`; `identity` with them.
      output: `linear`, or `tanh` for windows in [-1, 1].
      self_paced: Whether windows are selected.
      margin: Standard deviations below the mean at which the limit would begin.
      kernel_initializer: As Keras names it.

    Attributes:
      limit: Loss below which a window is selected.
      loss_sums: Number, sum and sum of squares of the losses of an epoch's windows, `[3]`.

    Raises:
      ValueError: If an argument is out of range, or `frames` does not divide `input_dim`.
    """

    takes_loss = False
    convolves = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        base: int = 16,
        levels: int = 4,
        transforms: Sequence[Transform] = ("identity", "time", "mel", "both"),
        output: Output = "linear",
        self_paced: bool = False,
        margin: float = 1.0,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if levels < 2 or base < 1:
            raise ValueError(
                f"Expected two levels or more, and a channel or more. Received: levels={levels}, base={base}."
            )
        for transform in transforms:
            refuse_unknown("transforms", transform, Transform)
        if "identity" not in transforms or len(set(transforms)) < len(transforms):
            raise ValueError(f"Expected identity among the transforms, and each once. Received: {list(transforms)}.")
        refuse_unknown("output", output, Output)
        self.input_dim, self.frames = input_dim, frames
        self.base, self.levels = base, levels
        self.transforms, self.output_activation = list(transforms), output
        self.self_paced, self.margin = self_paced, margin
        self.kernel_initializer = kernel_initializer

        self.shape = patch_shape(input_dim, frames)
        widths = [base * 2**level for level in range(levels)]
        self.network = u_net(self.shape, widths, output=output, kernel_initializer=kernel_initializer, name="network")
        names = ("loss", "selected") if self_paced else ("loss",)
        self.loss_means = {name: LossMean(name=name) for name in names}
        self.limit = self.add_weight(
            shape=(), initializer=keras.initializers.Constant(EVERY_LOSS), trainable=False, name="limit"
        )
        self.loss_sums = self.add_weight(shape=(3,), initializer="zeros", trainable=False, name="loss_sums")
        self.built = True

    @property
    def values_per_window(self) -> int:
        """Values of a window's transforms where the decoder's last level begins."""
        return self.input_dim * 2 * self.base * len(self.transforms)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction of the windows as they are, `[batch, dims]`."""
        return self.network(as_float32(windows), training=training)

    def transformed(self, windows: tf.Tensor) -> tf.Tensor:
        """Windows `[batch, dims]` by each transform, `[transforms * batch, dims]`, transform by transform."""
        patches = tf.reshape(as_float32(windows), [-1, *self.shape])
        axes = [REVERSED_AXES[transform] for transform in self.transforms]
        each = [tf.reverse(patches, reversed_axes) if reversed_axes else patches for reversed_axes in axes]
        return tf.reshape(tf.concat(each, axis=0), [-1, self.input_dim])

    def errors(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """f(T_k(x)) - x, `[transforms, batch, dims]`."""
        windows = as_float32(windows)
        reconstructions = self.network(self.transformed(windows), training=training)
        return tf.reshape(reconstructions, [len(self.transforms), -1, self.input_dim]) - windows

    def window_losses(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Mean squared error of each window over its transforms, `[batch]`."""
        return tf.reduce_mean(tf.square(self.errors(windows, training)), axis=(0, 2))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on the windows of a batch that are selected."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            losses = self.window_losses(windows, training=True)
            is_selected = tf.cast(losses < self.limit, tf.float32)
            loss = tf.math.divide_no_nan(tf.reduce_sum(is_selected * losses), tf.reduce_sum(is_selected))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        count = tf.cast(tf.size(losses), tf.float32)
        self.loss_sums.assign_add(tf.stack([count, tf.reduce_sum(losses), tf.reduce_sum(tf.square(losses))]))
        reported = {"loss": tf.reduce_mean(losses), "selected": tf.reduce_mean(is_selected)}
        return update_means(self.loss_means, reported, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch, in inference mode."""
        windows = batch_of(data)
        loss = tf.reduce_mean(self.window_losses(windows))
        return update_means({"loss": self.loss_means["loss"]}, {"loss": loss}, windows)

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss on one batch, in inference mode, with all weights."""
        return {"loss": (tf.reduce_mean(self.window_losses(windows)), self.trainable_variables)}

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Sets the limit by the losses of the epoch before, and begins to add up those of this one."""
        if self.self_paced:
            self.limit.assign(self.next_limit(epoch, epochs) if epoch else EVERY_LOSS)
            self.loss_sums.assign([0.0, 0.0, 0.0])

    def next_limit(self, epoch: int, epochs: int) -> float:
        """Limit of an epoch, whose number is counted from 0, by the losses that were added up before it."""
        count, total, squares = np.asarray(self.loss_sums, np.float64)
        if not count:
            return EVERY_LOSS
        mean = total / count
        return float(mean) - (self.margin - epoch / epochs) * math.sqrt(max(0.0, squares / count - mean**2))

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Yields the network when it has run on all transforms in training mode."""
        self.network(self.transformed(windows), training=True)
        yield self.network

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean absolute error of each window over its transforms, `[batch]`."""
        return tf.reduce_mean(tf.abs(self.errors(windows)), axis=(0, 2))

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("input_dim", "frames", "base", "levels", "transforms", "self_paced", "margin", "kernel_initializer")
        return super().get_config() | {name: getattr(self, name) for name in names} | {"output": self.output_activation}


def u_net(
    shape: Sequence[int],
    widths: Sequence[int],
    *,
    output: str = "linear",
    kernel_initializer: str = "glorot_uniform",
    name: str,
) -> keras.Model:
    """A U-Net: double convolutions down by maximum pooling, and up by transposed convolutions.

    Args:
      shape: Of a patch, `(frames, mels, channels)`.
      widths: Channels of each level.
      output: Activation of the output.
      kernel_initializer: As Keras names it.
      name: Of the network.

    Returns:
      A built network, `[batch, frames * mels * channels]` → the same.
    """
    like: dict[str, Any] = {"data_format": LAST, "kernel_initializer": kernel_initializer}
    pooled_by = poolings(shape[:2], len(widths) - 1)
    windows = layers.Input([math.prod(shape)])
    values = layers.Reshape(shape)(windows)
    maps = []
    for level, width in enumerate(widths):
        if level:
            values = pool(values, pooled_by[level - 1], "maximum")
        values = double_convolution(values, width, 0.2 if level else 0.0, **like)
        maps.append(values)
    values = maps.pop()
    for level in reversed(range(len(maps))):
        values = layers.Conv2DTranspose(widths[level], 3, pooled_by[level], padding="same", **like)(values)
        values = double_convolution(layers.Concatenate()([maps[level], values]), widths[level], **like)
    values = layers.Conv2D(shape[-1], 1, activation=output, **like)(values)
    return keras.Model(windows, layers.Reshape([math.prod(shape)])(values), name=name)


def double_convolution(
    values: keras.KerasTensor, width: int, negative_slope: float = 0.0, **like: Any
) -> keras.KerasTensor:
    """Twice a convolution of 3 x 3 to `width` channels, BatchNorm and (leaky) ReLU; `like` is of both convolutions."""
    for _ in range(2):
        values = batch_norm()(layers.Conv2D(width, 3, padding="same", **like)(values))
        values = layers.ReLU(negative_slope=negative_slope)(values)
    return values
