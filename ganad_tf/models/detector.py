"""The contract that every detector keeps. It sees tensors and plain numbers: no files, no settings, no clips."""

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
