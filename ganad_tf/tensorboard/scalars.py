"""Curves for TensorBoard: losses, learning rates, and signs of how a training fares."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models import Detector, HasEmbedding
from ganad_tf.models.detector import largest_batch
from ganad_tf.tensorboard.monitoring import HasDiscriminator, HasOptimizedLosses
from ganad_tf.tensorboard.writer import TRAINING, VALIDATION, PeriodicSummaryCallback, SummaryCallback

ACTIVE = 0.01  # of the standard deviation of the most active unit


class LossCurves(SummaryCallback):
    """Every loss and its `val_` twin, one chart for both, and the learning rate of every optimizer, each epoch.

    Keras' own callback knows one optimizer, shows every validation loss twice, and loses the last minutes of a
    training that is killed.
    """

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:
        """Training's values and validation's, under one name in two runs."""
        for name, value in logs.items():
            plain = name.removeprefix("val_")
            with self.writer(TRAINING if plain == name else VALIDATION).as_default(step):
                tf.summary.scalar(f"losses/{plain}" if "loss" in plain else plain, value)
        with self.writer().as_default(step):
            for name, value in vars(self.model).items():
                if isinstance(value, keras.optimizers.Optimizer):
                    tf.summary.scalar(f"learning rate/{name}", float(keras.ops.convert_to_numpy(value.learning_rate)))


class TrainingHealth(SummaryCallback):
    """Gradient norms, discriminator accuracies and active latent units, each epoch, on windows that stay the same.

    - `gradient norm/...`: of each optimized loss, over all of its variables.
    - `discriminator accuracy/real`, `.../fake`: the share of real and of fake windows that an adversarial detector's
      discriminator classifies correctly.
    - `active latent units`: those whose standard deviation over the windows is more than a hundredth of the largest.

    A detector is asked for those of the methods of `monitoring` that it has. Networks are in inference mode (averages
    of batch normalisation, no dropout), and nothing of the training is changed: no average, no random state.

    Args:
      log_dir: As for `SummaryCallback`.
      windows: `[batch, dims]` float32; some hundreds will do, of which a large network is shown fewer.

    Raises:
      TypeError: If what is trained is not one of this package's detectors.
    """

    def __init__(self, log_dir: str | Path, windows: tf.Tensor) -> None:
        super().__init__(log_dir)
        self.windows = tf.convert_to_tensor(windows, tf.float32)
        self._measured: Any = None
        self._chosen = self.windows

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Makes one graph of all that is measured."""
        if not isinstance(self.model, Detector):
            raise TypeError(f"Expected a Detector to look at. Received: {type(self.model).__name__}.")
        self._measured = tf.function(measure, autograph=False)
        self._chosen = self.windows[:: -(-len(self.windows) // largest_batch(self.model))]

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:  # noqa: ARG002
        """Measures and writes."""
        with self.writer().as_default(step):
            for name, value in self._measured(self.model, self._chosen).items():
                tf.summary.scalar(name, value)


def measure(detector: Detector, windows: tf.Tensor) -> dict[str, tf.Tensor]:
    """Values that `TrainingHealth` shows of windows `[batch, dims]`, scalars by tag."""
    values = {}
    if isinstance(detector, HasOptimizedLosses):
        with tf.GradientTape(persistent=True) as tape:
            losses = detector.losses_and_variables(windows)
        for name, (loss, variables) in losses.items():
            gradients = [gradient for gradient in tape.gradient(loss, variables) if gradient is not None]
            values[f"gradient norm/{name}"] = tf.linalg.global_norm(gradients)
    if isinstance(detector, HasDiscriminator):
        real_logit, fake_logit = detector.discriminate(windows)
        values["discriminator accuracy/real"] = tf.reduce_mean(tf.cast(real_logit > 0, tf.float32))
        values["discriminator accuracy/fake"] = tf.reduce_mean(tf.cast(fake_logit <= 0, tf.float32))
    if isinstance(detector, HasEmbedding):
        values["active latent units"] = active_units(detector.encode(windows))
    return values


def active_units(latent: tf.Tensor) -> tf.Tensor:
    """Number of units of `[batch, latent]` that vary, compared with the most active one.

    >>> float(active_units(tf.constant([[0.0, 1.0, 5.0], [9.0, 1.0, 5.01]])))
    1.0
    """
    deviation = tf.math.reduce_std(latent, axis=0)
    return tf.reduce_sum(tf.cast(deviation > ACTIVE * tf.reduce_max(deviation), tf.float32))


class WeightHistograms(PeriodicSummaryCallback):
    """Histograms of every kernel, now and then."""

    def write(self, step: int) -> None:
        """Writes them."""
        with self.writer().as_default(step):
            for variable in self.model.trainable_variables:
                if len(variable.shape) > 1:  # biases and scales say little
                    tf.summary.histogram(f"weights/{variable.path}", variable)
