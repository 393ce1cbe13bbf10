"""Clip → the few numbers by which its recording conditions are judged: computed in the graph, in one pass.

The same functions run at `prepare`, at `train` and in exported models. A clip of any length is processed in blocks.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ganad_tf.features import pieces

SAMPLES_AT_ONCE = 2**20
FEWEST_FLAT = 4  # samples; a sound that was normalised to full scale may have one top that is flat
LOWEST_TOP = 0.1  # of full scale; quieter sounds are a few steps high, and flat at the top without being cut off
SILENCE_DB = -200.0  # level of a constant signal

SOUND_STATISTICS = ("peak_share", "flat_share", "offset", "level_db")
"""Names of the statistics of a waveform, in the order of `of_waveform`.

`peak_share` is the share of samples that equal the clip's highest or lowest value; `flat_share` the share of those
whose next two samples do so, too. Both are 0 where that says nothing about clipping: in quiet clips, and for few
samples.
`offset` is the mean; `level_db` the level without the offset, in dB of full scale.
"""


def of_waveform(waveform: tf.Tensor, *, at_once: int | None = None) -> tf.Tensor:
    """Statistics `[4]` float32, named by `SOUND_STATISTICS`, of a waveform `[samples]` with full scale 1.

    Args:
      waveform: The waveform.
      at_once: Samples per block, such as `SAMPLES_AT_ONCE`; None for a single block, without a loop, which takes longer
        than all else.
    """
    count, first = tf.shape(waveform)[0], waveform[0]

    def moments(begin: tf.Tensor, end: tf.Tensor) -> Sequence[tf.Tensor]:
        # Relative to the first sample, so that a constant has a level of exactly 0 and noise on a large offset its own.
        values = waveform[begin:end] - first
        sums = tf.reduce_sum(values), tf.reduce_sum(tf.square(values))
        return [tf.stack([*sums, tf.reduce_max(values), tf.reduce_min(values)])[tf.newaxis]]

    (rows,) = pieces.concat_ranges(moments, count, at_once, [[4]])
    totals, squares, highest, lowest = tf.unstack(rows, axis=1)
    number = tf.cast(count, tf.float64)
    mean = tf.reduce_sum(tf.cast(totals, tf.float64)) / number
    power = tf.reduce_sum(tf.cast(squares, tf.float64)) / number - tf.square(mean)
    top, bottom = tf.reduce_max(highest) + first, tf.reduce_min(lowest) + first

    def at_the_ends(begin: tf.Tensor, end: tf.Tensor) -> Sequence[tf.Tensor]:
        values = waveform[begin : end + 2]  # two samples of the next block, for flat tops across its beginning
        counts = [_samples_at(tf.equal(values, extreme)) for extreme in (top, bottom)]
        return [tf.add_n(counts)[tf.newaxis]]

    (rows,) = pieces.concat_ranges(at_the_ends, count, at_once, [[2]])
    n_samples = tf.reduce_sum(rows, axis=0)
    is_loud = tf.maximum(top, -bottom) >= LOWEST_TOP
    shares = tf.where(is_loud & (n_samples >= FEWEST_FLAT), n_samples, 0.0) / tf.cast(number, tf.float32)
    level = 10 / np.log(10) * tf.math.log(tf.maximum(power, 10 ** (SILENCE_DB / 10)))
    offset = tf.cast(mean + tf.cast(first, tf.float64), tf.float32)
    return tf.stack([*tf.unstack(shares), offset, tf.cast(level, tf.float32)])


def of_long_waveform(waveform: tf.Tensor) -> tf.Tensor:
    """As `of_waveform`, with a limited number of samples in memory."""
    return of_waveform(waveform, at_once=SAMPLES_AT_ONCE)


def of_log_mel(log_mel: tf.Tensor) -> tf.Tensor:
    """Mean power of each mel band over a clip, `[mels]` in dB, of its log-mel `[frames, mels]` in dB."""
    n_mels = log_mel.shape[1]
    loudest, count = tf.reduce_max(log_mel, axis=0), tf.shape(log_mel)[0]

    def power(begin: tf.Tensor, end: tf.Tensor) -> Sequence[tf.Tensor]:
        return [tf.reduce_sum(tf.pow(10.0, (log_mel[begin:end] - loudest) / 10), axis=0)[tf.newaxis]]

    (rows,) = pieces.concat_ranges(power, count, max(1, pieces.ELEMENTS // n_mels), [[n_mels]])
    mean = tf.reduce_sum(rows, axis=0) / tf.cast(count, tf.float32)
    return loudest + 10 / np.log(10) * tf.math.log(mean)


def _samples_at(is_extreme: tf.Tensor) -> tf.Tensor:
    """Numbers `[2]` float32 of samples that are true, and of those that are so together with the next two."""
    indices = tf.where(is_extreme)[:, 0]  # few, as a rule
    is_flat = tf.equal(indices[2:] - indices[:-2], 2)
    return tf.stack([tf.cast(tf.size(indices), tf.float32), tf.math.count_nonzero(is_flat, dtype=tf.float32)])
