"""The dense network, through a bottleneck, that detectors with one network share."""

from collections.abc import Sequence
from typing import Any

import keras

from ganad_tf.models.networks import dense_blocks
from ganad_tf.models.prediction import PredictionDetector


class BottleneckDetector(PredictionDetector):
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
        super().__init__(input_dim=input_dim, **kwargs)
        self.hidden = list(hidden)
        self.latent = latent
        self.kernel_initializer = kernel_initializer

    def make_network(self, input_dim: int, output_dim: int, name: str) -> keras.Sequential:
        """Blocks of `hidden`, the bottleneck, `hidden` mirrored, and a linear layer."""
        widths = [*self.hidden, self.latent, *reversed(self.hidden)]
        return dense_blocks(input_dim, widths, output_dim, kernel_initializer=self.kernel_initializer, name=name)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments that all of these detectors have."""
        names = ("input_dim", "hidden", "latent", "kernel_initializer")
        return super().get_config() | {name: getattr(self, name) for name in names}
