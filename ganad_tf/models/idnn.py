"""IDNN: predicts the middle of a window from its two sides."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.bottleneck import BottleneckDetector
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.networks import output_of_block


@keras.saving.register_keras_serializable(package="ganad_tf")
class IDNN(BottleneckDetector):
    """An interpolation: what the sides of a window don't tell of its middle is abnormal.

    Suefusa et al. 2020 (arXiv 2005.09234), section 3. c is the window's middle frame, s the others,
    oldest first; the network sees s and never c.

        loss  = mean over windows and mels of (c - c'(s))^2            (Suefusa Eq. 4)
        score = mean over mels of (c - c'(s))^2 per window

    Where we differ from the paper: the network's widths are those of the DCASE baseline autoencoder
    (512 → 4 blocks of 128 → block of 8 → 4 blocks of 128 → 128 linear), so that the two can be compared.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window; odd, at least 3.
      hidden: Units of the blocks before the bottleneck; mirrored after it.
      latent: Units of the bottleneck.
      kernel_initializer: As Keras names it.

    Raises:
      ValueError: If `frames` has no centre or does not divide `input_dim`.
    """

    divides_batches = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim=input_dim, hidden=hidden, latent=latent, kernel_initializer=kernel_initializer, **kwargs
        )
        if frames < 3 or frames % 2 == 0:
            raise ValueError(f"IDNN needs an odd number of frames, 3 or more, for a centre. Received: frames={frames}.")
        if input_dim % frames:
            raise ValueError(f"Expected input_dim to be a multiple of frames. Received: {input_dim} and {frames}.")
        self.frames = frames
        self.n_mels = input_dim // frames
        self.interpolator = self.make_network(input_dim - self.n_mels, self.n_mels, name="interpolator")
        self.built = True

    def target_and_prediction(self, windows: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """`[batch, dims]` → middle frame and its prediction, `[batch, mels]` each."""
        middle, sides = self._split(windows)
        return middle, self.interpolator(sides, training=training)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → the windows with their middle predicted, `[batch, dims]`."""
        windows = as_float32(windows)
        _, predicted = self.target_and_prediction(windows, training=training)
        start = self.n_mels * (self.frames // 2)
        return tf.concat([windows[:, :start], predicted, windows[:, start + self.n_mels :]], axis=-1)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            middle, predicted = self.target_and_prediction(windows, training=True)
            loss = self.compute_loss(x=windows, y=middle, y_pred=predicted, training=True)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.running_mean(loss, windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean squared error of each window's middle frame, `[batch]`."""
        middle, predicted = self.target_and_prediction(windows, training=False)
        return tf.reduce_mean(tf.square(middle - predicted), axis=-1)

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Output of the bottleneck, `[batch, latent]`."""
        _, sides = self._split(windows)
        return output_of_block(self.interpolator, len(self.hidden) + 1, sides)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return super().get_config() | {"frames": self.frames}

    def _split(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """`[batch, dims]` → middle frame `[batch, mels]` and the frames around it `[batch, dims - mels]`."""
        windows = as_float32(windows)
        start = self.n_mels * (self.frames // 2)
        middle = windows[:, start : start + self.n_mels]
        return middle, tf.concat([windows[:, :start], windows[:, start + self.n_mels :]], axis=-1)
