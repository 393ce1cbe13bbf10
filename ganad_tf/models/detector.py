"""The contract that every detector keeps. It sees tensors and plain numbers: no files, no settings, no clips."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


class Detector(keras.Model):
    """An ordinary Keras model that also says how abnormal a window is.

    `compile`, `fit(dataset, validation_data=...)`, `save`, `load_model` and `summary` work from any
    script. Every detector writes out its own `train_step` and `test_step` in its paper's order; they
    return running means of every loss, `loss` being what validation watches. Networks are shared as
    functions (`networks.py`), never by inheritance.

    Attributes:
      takes_pairs: Whether training wants two independently shuffled batches per step, `(windows, others)`.
    """

    takes_pairs = False

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """The paper's score of each window.

        Args:
          windows: `[batch, dims]` float32.

        Returns:
          `[batch]` float32; higher is more anomalous. Does not depend on the other windows of the batch.
        """
        raise NotImplementedError

    def residual(self, windows: tf.Tensor) -> tf.Tensor:
        """What the detector could not reproduce, reconstruction minus window: `[batch, dims]`."""
        return self(windows, training=False) - windows

    def latent_of(self, windows: tf.Tensor) -> tf.Tensor | None:  # noqa: ARG002
        """What the narrow middle makes of each window, `[batch, dims]` → `[batch, latent]`; None if there is none."""
        return None

    def objectives(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:  # noqa: ARG002
        """What training lowers by which weights, by name: the losses on one batch, networks as in use.

        Changes nothing: no average, no state of random numbers. Random codes are the same every time.
        """
        return {}


@keras.saving.register_keras_serializable(package="ganad_tf")
class LossMean(keras.metrics.Mean):
    """The running mean of a loss, which remembers the first batch that was not a finite number.

    Args:
      name: Of the loss.

    `first_bad` counts batches from 1 since the last reset, which `fit` does before every epoch; 0 is none.
    """

    def __init__(self, name: str, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.batches = self.add_variable(shape=(), initializer="zeros", dtype="int64", name="batches")
        self.first_bad = self.add_variable(shape=(), initializer="zeros", dtype="int64", name="first_bad")

    def update_state(self, values: tf.Tensor, sample_weight: tf.Tensor | None = None) -> None:
        """Adds a batch's loss, weighted by the batch's size."""
        self.batches.assign_add(1)
        is_first = tf.logical_and(tf.equal(self.first_bad, 0), tf.logical_not(tf.math.is_finite(values)))
        self.first_bad.assign(tf.where(is_first, self.batches, self.first_bad))
        super().update_state(values, sample_weight=sample_weight)

    def reset_state(self) -> None:
        """Forgets everything."""
        super().reset_state()
        self.batches.assign(0)
        self.first_bad.assign(0)
