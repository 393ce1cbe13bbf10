"""Random changes of training windows, in the graph of the training step; off by default (`augmentation`).

The random numbers follow from the seed and the number of the step alone, so that a training that was interrupted goes
on as if it had not been.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from scipy import stats

from ganad_tf.config.sections import Augmentation
from ganad_tf.features import Normalizer

SALT = 2**32  # beyond the seeds of `seed`, so that no detector draws the same numbers
QUANTILES = 4096  # of the Beta distribution, of which there are no stateless random numbers that XLA compiles


class WindowAugmentation:
    """Gain, mixup and masks of windows, in this order.

    Args:
      settings: The section `augmentation`.
      frames: Spectra of a window.
      normalizer: Has standardised the windows; None for windows in dB.
      seed: Seed of the random numbers.
      first_step: Number of the first step, where a training is resumed.
    """

    def __init__(
        self, settings: Augmentation, frames: int, normalizer: Normalizer | None, *, seed: int, first_step: int = 0
    ) -> None:
        self.settings, self.frames, self.seed = settings, frames, seed
        self._unit = np.float32(1.0) if normalizer is None else 1 / normalizer.deviation  # of a value, per dB
        levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
        alpha = settings.mixup or 1.0
        self._shares = np.asarray(stats.beta.ppf(levels, alpha, alpha), np.float32)
        # A detector's optimizers count steps too, but not all of them in a place known to all.
        self._step = tf.Variable(first_step, dtype=tf.int64, trainable=False)

    def __call__(self, batch: Any) -> Any:
        """Changes the windows of the next step's batch; labels stay.

        Args:
          batch: `[batch, dims]`, `((windows, other windows),)`, each changed by itself, or `(windows, labels)`.
        """
        step = self._step.assign_add(1) - 1
        parts = tf.nest.flatten(batch)
        changed = [
            self.changed(part, tf.stack([tf.constant(SALT + self.seed, tf.int64), len(parts) * step + number]))
            if part.dtype.is_floating
            else part
            for number, part in enumerate(parts)
        ]
        return tf.nest.pack_sequence_as(batch, changed)

    def changed(self, windows: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Changes windows `[batch, dims]` by random numbers that follow from `key`, `[2]` int64."""
        settings = self.settings
        n_windows, n_bands = tf.shape(windows)[0], windows.shape[1] // self.frames
        drawn = tf.random.stateless_uniform([6, n_windows], key, alg="philox")  # on a processor as by XLA
        image = tf.reshape(windows, [n_windows, self.frames, n_bands])
        if settings.gain_db:
            image += settings.gain_db * (2 * drawn[0, :, tf.newaxis, tf.newaxis] - 1) * self._unit
        if settings.mixup:
            share = tf.gather(self._shares, tf.cast(QUANTILES * drawn[1], tf.int32))[:, tf.newaxis, tf.newaxis]
            image = share * image + (1 - share) * image[::-1]
        mean = tf.reduce_mean(image, axis=[0, 1])
        if settings.band_mask:
            is_masked = stretch(n_bands, settings.band_mask, drawn[2], drawn[3])
            image = tf.where(is_masked[:, tf.newaxis], mean, image)
        if settings.time_mask:
            is_masked = stretch(self.frames, settings.time_mask, drawn[4], drawn[5])
            image = tf.where(is_masked[:, :, tf.newaxis], mean, image)
        return tf.reshape(image, tf.shape(windows))


def stretch(length: int, longest: int, of_size: tf.Tensor, of_place: tf.Tensor) -> tf.Tensor:
    """Random stretches of 0 to `longest` of `length` positions, as SpecAugment draws them: a mask `[batch, length]`.

    Args:
      length: Number of positions.
      longest: Most positions of a stretch.
      of_size: Uniform random numbers in [0, 1), `[batch]`.
      of_place: The same.

    >>> stretch(5, 3, tf.constant([0.6, 0.0]), tf.constant([0.99, 0.5])).numpy().astype(int).tolist()
    [[0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]
    """
    size = tf.floor(of_size * (longest + 1))
    begin = tf.floor(of_place * (length - size + 1))
    position = tf.range(length, dtype=size.dtype)
    return (position >= begin[:, tf.newaxis]) & (position < (begin + size)[:, tf.newaxis])
