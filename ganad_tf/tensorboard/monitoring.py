"""Optional methods of a detector that TensorBoard looks for; one without them trains, and the rest is shown.

They are no part of the detectors' contract: no step of training and no score depends on them. All compute in inference
mode, with the weights that are being trained, and change nothing: no average, no state of random numbers. TensorBoard
also looks for `models.HasEmbedding`: active units are counted, and the projector shows a vector of each clip.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import keras
import tensorflow as tf


@runtime_checkable
class HasOptimizedLosses(Protocol):
    """A detector whose gradient norms can be shown."""

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """By name, each optimized loss on windows `[batch, dims]`, a scalar, and the variables its optimizer updates.

        Random codes are the same every time.
        """


@runtime_checkable
class HasDiscriminator(Protocol):
    """An adversarial detector, whose discriminator's accuracies can be shown."""

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Windows `[batch, dims]` → logits of real and of fake ones, `[batch, 1]` each; above 0 says real."""
