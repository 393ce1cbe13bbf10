"""The dense autoencoder of the DCASE 2020 Task 2 baseline: the shortest detector, start here."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.bottleneck import BottleneckDetector
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.networks import output_of_block


@keras.saving.register_keras_serializable(package="ganad_tf")
class DenseAE(BottleneckDetector):
    """Learns to reproduce normal windows through a bottleneck; what it can't reproduce is abnormal.

    Koizumi et al. 2020 (arXiv 2006.05822), section 4 and the baseline's `keras_model.py`:
    640 → 4 blocks of 128 → block of 8 → 4 blocks of 128 → 640 linear.

        loss  = mean over windows and dims of (x - x')^2      (as `compile(loss="mean_squared_error")` says)
        score = mean over dims of (x - x')^2

    Args:
      input_dim: Length of a window.
      hidden: Units of the blocks before the bottleneck; mirrored after it.
      latent: Units of the bottleneck.
      kernel_initializer: As Keras names it.

    >>> DenseAE().count_params()
    269992
    """

    divides_batches = True

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim=input_dim, hidden=hidden, latent=latent, kernel_initializer=kernel_initializer, **kwargs
        )
        self.autoencoder = self.make_network(input_dim, input_dim, name="autoencoder")
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.autoencoder(as_float32(windows), training=training)

    def target_and_prediction(self, windows: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The windows and their reconstructions, `[batch, dims]` each."""
        return windows, self(windows, training=training)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            reconstruction = self(windows, training=True)
            loss = self.compute_loss(x=windows, y=windows, y_pred=reconstruction, training=True)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.running_mean(loss, windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean squared error of each window, `[batch]`."""
        return tf.reduce_mean(tf.square(self.residual(windows)), axis=-1)

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Output of the bottleneck, `[batch, latent]`."""
        return output_of_block(self.autoencoder, len(self.hidden) + 1, as_float32(windows))
