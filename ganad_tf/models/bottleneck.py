"""Parts of the detectors with one network, one loss and a bottleneck that no paper's equation says."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of
from ganad_tf.models.networks import dense_blocks


class BottleneckDetector(Detector):
    """A detector whose network predicts a target through a bottleneck, with the loss that `compile` is given.

    A subclass makes its network by `make_network`, says what it predicts, and writes out its `train_step`.

    Args:
      input_dim: Length of a window.
      hidden: Units of the blocks before the bottleneck; mirrored after it.
      latent: Units of the bottleneck.
      kernel_initializer: As Keras names it.
    """

    def __init__(
        self, *, input_dim: int, hidden: Sequence[int], latent: int, kernel_initializer: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.hidden = list(hidden)
        self.latent = latent
        self.kernel_initializer = kernel_initializer
        self.loss_mean = LossMean(name="loss")

    def make_network(self, input_dim: int, output_dim: int, name: str) -> keras.Sequential:
        """Blocks of `hidden`, the bottleneck, `hidden` mirrored, and a linear layer."""
        widths = [*self.hidden, self.latent, *reversed(self.hidden)]
        return dense_blocks(input_dim, widths, output_dim, kernel_initializer=self.kernel_initializer, name=name)

    def target_and_prediction(self, windows: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """The two tensors that the loss compares, of windows `[batch, dims]`."""
        raise NotImplementedError

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch, in inference mode."""
        windows = batch_of(data)
        self.loss_mean.update_state(self._inference_loss(windows), sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss on one batch, in inference mode, with all weights."""
        return {"loss": (self._inference_loss(as_float32(windows)), self.trainable_variables)}

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments that all of these detectors have."""
        names = ("input_dim", "hidden", "latent", "kernel_initializer")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _inference_loss(self, windows: tf.Tensor) -> tf.Tensor:
        target, prediction = self.target_and_prediction(windows, training=False)
        return self.compute_loss(x=windows, y=target, y_pred=prediction, training=False)
