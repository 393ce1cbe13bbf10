"""No network at all: the baseline that every network must beat."""

from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of


@keras.saving.register_keras_serializable(package="ganad_tf")
class SpectrumDensity(Detector):
    """Reproduces nothing, so that its residual is the sound itself.

    With `scorer: {name: density}` a clip is judged by its pooled log-mel spectrum alone. Nothing is
    learned here: `fit` only reports the energy of what it is shown.

        x'    = 0
        loss  = mean over windows and dims of x^2
        score = mean over dims of x^2

    Args:
      input_dim: Length of a window.
    """

    takes_loss = False

    def __init__(self, input_dim: int = 640, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.loss_mean = LossMean(name="loss")
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        """`[batch, dims]` → zeros, `[batch, dims]`."""
        return tf.zeros_like(as_float32(windows))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch; there is nothing to learn."""
        return self.test_step(data)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch."""
        windows = batch_of(data)
        self.loss_mean.update_state(tf.reduce_mean(tf.square(windows)), sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Mean square of each window, `[batch]`."""
        return tf.reduce_mean(tf.square(as_float32(windows)), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return super().get_config() | {"input_dim": self.input_dim}
