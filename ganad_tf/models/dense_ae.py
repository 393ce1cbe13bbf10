"""The dense autoencoder of the DCASE 2020 Task 2 baseline: the shortest whole detector, start here."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of
from ganad_tf.models.networks import dense_blocks, output_of_block


@keras.saving.register_keras_serializable(package="ganad_tf")
class DenseAE(Detector):
    """Learns to reproduce normal windows through a narrow middle; what it can't reproduce is abnormal.

    Koizumi et al. 2020 (arXiv 2006.05822), section 4 and the baseline's `keras_model.py`:
    640 → 4 blocks of 128 → block of 8 → 4 blocks of 128 → 640 linear.

        loss  = mean over windows and dims of (x - x')^2      (as `compile(loss="mean_squared_error")` says)
        score = mean over dims of (x - x')^2

    Args:
      input_dim: Length of a window.
      hidden: Units of the blocks before the middle; mirrored after it.
      latent: Units of the block in the middle.
      kernel_initializer: As Keras names it.

    >>> DenseAE().count_params()
    269992
    """

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.hidden = list(hidden)
        self.latent = latent
        self.kernel_initializer = kernel_initializer
        widths = [*self.hidden, latent, *reversed(self.hidden)]
        self.autoencoder = dense_blocks(
            input_dim, widths, input_dim, kernel_initializer=kernel_initializer, name="autoencoder"
        )
        self.loss_mean = LossMean(name="loss")
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.autoencoder(as_float32(windows), training=training)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            reconstruction = self(windows, training=True)
            loss = self.compute_loss(x=windows, y=windows, y_pred=reconstruction, training=True)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.loss_mean.update_state(loss, sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch, networks as in use."""
        windows = batch_of(data)
        loss = self.compute_loss(x=windows, y=windows, y_pred=self(windows, training=False), training=False)
        self.loss_mean.update_state(loss, sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean squared error of each window, `[batch]`."""
        return tf.reduce_mean(tf.square(self.residual(windows)), axis=-1)

    def latent_of(self, windows: tf.Tensor) -> tf.Tensor:
        """What the block in the middle puts out, `[batch, latent]`."""
        return output_of_block(self.autoencoder, len(self.hidden) + 1, as_float32(windows))

    def objectives(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss and all weights."""
        windows = as_float32(windows)
        loss = self.compute_loss(x=windows, y=windows, y_pred=self(windows, training=False), training=False)
        return {"loss": (loss, self.trainable_variables)}

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("input_dim", "hidden", "latent", "kernel_initializer")
        return super().get_config() | {name: getattr(self, name) for name in names}
