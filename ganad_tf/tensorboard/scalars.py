"""Curves for TensorBoard: losses, learning rates, and signs of how a training fares."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models import Detector
from ganad_tf.models.adversarial import TwoOptimizers
from ganad_tf.tensorboard.writer import TRAINING, VALIDATION, Board, SparseBoard

ACTIVE = 0.01  # of the liveliest unit's deviation


class LossCurves(Board):
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
                    tf.summary.scalar(f"learning rate/{name}", float(value.learning_rate))


class TrainingHealth(Board):
    """How a detector's training fares, each epoch, on windows that stay the same.

    - `gradient norm/...`: of each of `Detector.objectives`, over all of its weights.
    - `discriminator accuracy/real`, `.../fake`: the share of windows that an adversarial detector's discriminator
      takes for what they are.
    - `active latent units`: those whose standard deviation over the windows is more than a hundredth of that of
      the liveliest one.

    Networks are looked at as in use (averages of batch normalisation, no dropout), and nothing of the training is
    touched: no average, no generator of random numbers.

    Args:
      log_dir: As for `Board`.
      windows: `[batch, dims]` float32; some hundreds will do.

    Raises:
      TypeError: If what is trained is not one of this package's detectors.
    """

    def __init__(self, log_dir: str | Path, windows: tf.Tensor) -> None:
        super().__init__(log_dir)
        self.windows = tf.convert_to_tensor(windows, tf.float32)
        self._measured: Any = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Makes one graph of all that is measured."""
        if not isinstance(self.model, Detector):
            raise TypeError(f"Expected a Detector to look at. Received: {type(self.model).__name__}.")
        self._measured = tf.function(measure, autograph=False)

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:  # noqa: ARG002
        """Measures and writes."""
        with self.writer().as_default(step):
            for name, value in self._measured(self.model, self.windows).items():
                tf.summary.scalar(name, value)


def measure(detector: Detector, windows: tf.Tensor) -> dict[str, tf.Tensor]:
    """What `TrainingHealth` shows of these windows, by tag."""
    facts = {}
    with tf.GradientTape(persistent=True) as tape:
        objectives = detector.objectives(windows)
    for name, (loss, variables) in objectives.items():
        gradients = tape.gradient(loss, variables)
        facts[f"gradient norm/{name}"] = tf.linalg.global_norm([each for each in gradients if each is not None])
    if isinstance(detector, TwoOptimizers):
        real_logit, fake_logit = detector.discriminate(windows)
        facts["discriminator accuracy/real"] = tf.reduce_mean(tf.cast(real_logit > 0, tf.float32))
        facts["discriminator accuracy/fake"] = tf.reduce_mean(tf.cast(fake_logit <= 0, tf.float32))
    latent = detector.latent_of(windows)
    if latent is not None:
        facts["active latent units"] = active_units(latent)
    return facts


def active_units(latent: tf.Tensor) -> tf.Tensor:
    """How many units of `[batch, latent]` take part.

    >>> float(active_units(tf.constant([[0.0, 1.0, 5.0], [9.0, 1.0, 5.01]])))
    1.0
    """
    deviation = tf.math.reduce_std(latent, axis=0)
    return tf.reduce_sum(tf.cast(deviation > ACTIVE * tf.reduce_max(deviation), tf.float32))


class WeightHistograms(SparseBoard):
    """Histograms of every kernel, now and then."""

    def write(self, step: int) -> None:
        """Writes them."""
        with self.writer().as_default(step):
            for variable in self.model.trainable_variables:
                if len(variable.shape) > 1:  # biases and scales say little
                    tf.summary.histogram(f"weights/{variable.path}", variable)
