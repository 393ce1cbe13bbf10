"""Parts of the detectors with one loss, between a target and a prediction, that no paper's equation says."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of


class PredictionDetector(Detector):
    """A detector whose networks predict a target from a window, with the loss that `compile` is given.

    A subclass says what it predicts, and writes out its `train_step`.

    Args:
      input_dim: Length of a window.
    """

    def __init__(self, *, input_dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.loss_mean = LossMean(name="loss")

    def target_and_prediction(self, windows: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The two tensors that the loss compares, of windows `[batch, dims]`."""
        raise NotImplementedError

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch, in inference mode."""
        windows = batch_of(data)
        return self.running_mean(self._inference_loss(windows), windows)

    def running_mean(self, loss: tf.Tensor, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Adds what `compute_loss` gave for a batch of windows to the running mean, and returns that by name."""
        n_devices = tf.distribute.get_strategy().num_replicas_in_sync
        if n_devices > 1:  # Keras has divided by it, so that the gradients of all devices add up to a mean
            loss *= n_devices
        self.loss_mean.update_state(loss, sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss on one batch, in inference mode, with all weights."""
        return {"loss": (self._inference_loss(as_float32(windows)), self.trainable_variables)}

    def _inference_loss(self, windows: tf.Tensor) -> tf.Tensor:
        target, prediction = self.target_and_prediction(windows, training=False)
        return self.compute_loss(x=windows, y=target, y_pred=prediction, training=False)
