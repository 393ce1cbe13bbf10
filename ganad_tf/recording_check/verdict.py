"""Statistics of a clip, and limits → the reason why the clip is not judged, in the graph.

The rules are tried in the order of `rules`, and the first that holds gives the reason. A broken machine is to be
judged, so the rules ask for changes that machines don't make: in all mel bands alike, or off above one frequency.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from ganad_tf.recording_check import NOT_JUDGED
from ganad_tf.recording_check.bounds import LEVEL_MARGIN_DB, Bounds
from ganad_tf.recording_check.limits import RecordingLimits, smoothing
from ganad_tf.recording_check.statistics import SOUND_STATISTICS, of_log_mel, of_long_waveform

DEAD, OFFSET, CLIPPED, NOT_RUNNING = "dead microphone", "constant offset", "clipped", "machine not running"
OFFSET_SHARE = 0.3  # of the level: clipping shifts the mean of an unsymmetrical sound
# Each band above an edge is so much below the training clips' quietest, and so much more than a passed band is.
BELOW_DB, STEP_DB = 6.0, 12.0
MEDIAN_BELOW_DB, MEDIAN_STEP_DB = 12.0, 18.0  # the same of the median of these bands
BELOW_EDGE = 1.4  # factor between an edge and the bands that are certainly passed
FEWEST_PASSED = 4  # bands
FEWEST_BANDS = 8  # mel bands with which the shape of a spectrum says something
RAISED_SHARE = 0.7  # of the mel bands above the training clips' loudest, if it is the gain that is higher
NEARER = 1.3  # farther from every training clip than so many times from a smooth curve, a spectrum is not known


def refuse_not_judged(name: str, waveform: tf.Tensor, log_mel: tf.Tensor, bounds: Bounds) -> tf.Tensor:
    """Returns a clip's log-mel `[frames, mels]`; fails in the graph if the clip is not judged.

    The message is the name of the input, `not judged:` and the reason.
    """
    log_mel = tf.ensure_shape(log_mel, [None, len(bounds.band_hz)])
    reason = _first_reason(of_long_waveform(waveform), of_log_mel(log_mel), bounds)
    with tf.control_dependencies([tf.debugging.Assert(tf.equal(reason, ""), [f"{name}: {NOT_JUDGED}", reason])]):
        return tf.identity(log_mel)


def not_judged(sound: tf.Tensor, bands: tf.Tensor, limits: RecordingLimits) -> tf.Tensor:
    """Reason why a clip can't be judged, a string; empty if it can.

    Args:
      sound: `statistics.of_waveform` of the clip, `[4]`.
      bands: `statistics.of_log_mel` of the clip, `[mels]` in dB.
      limits: Limits of the training clips.
    """
    return _first_reason(sound, bands, Bounds.of(limits))


def _first_reason(sound: tf.Tensor, bands: tf.Tensor, bounds: Bounds) -> tf.Tensor:
    reason = tf.constant("")
    for applies, text in reversed(list(rules(sound, bands, bounds))):
        reason = tf.where(applies, text, reason)
    return reason


def rules(sound: tf.Tensor, bands: tf.Tensor, bounds: Bounds) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """Whether each rule applies to a clip, a boolean, with the reason, a string; the clip as of `not_judged`."""
    by_name = dict(zip(SOUND_STATISTICS, tf.unstack(sound), strict=True))
    level, lowest, highest = by_name["level_db"], bounds.level_db[0], bounds.level_db[1]
    levels = _absolute(bands, level) if bounds.is_relative else bands
    yield level < bounds.dead_db, tf.constant(DEAD)

    low, high = bounds.offset[0], bounds.offset[1]
    margin = tf.maximum(bounds.offset_margin, OFFSET_SHARE * 10 ** (level / 20))
    yield (by_name["offset"] < low - margin) | (by_name["offset"] > high + margin), tf.constant(OFFSET)
    has_peaks = by_name["peak_share"] > bounds.peak_share
    is_flat = by_name["flat_share"] > bounds.flat_share
    yield has_peaks | is_flat, tf.constant(CLIPPED)
    if len(bounds.band_hz) >= FEWEST_BANDS:
        edge_hz = _band_edge(levels, bounds)
        yield edge_hz > 0, tf.strings.join(["band limited to ", _number(edge_hz / 1000, 1), " kHz"])

    above, below = level - highest, lowest - level
    shape = _Shape.of(levels, bounds) if len(bounds.band_hz) >= FEWEST_BANDS else None
    raised = tf.reduce_mean(tf.cast(levels > bounds.band_high_db, tf.float32))
    is_gain = raised >= RAISED_SHARE
    is_gain = is_gain | shape.is_known if shape else is_gain
    is_louder = (above > LEVEL_MARGIN_DB) & is_gain
    yield is_louder, tf.strings.join(["level ", _number(above, 0), " dB above the training recordings"])
    is_quieter = below > LEVEL_MARGIN_DB
    if shape:
        yield is_quieter & ~shape.is_known & (shape.roughness < bounds.roughness), tf.constant(NOT_RUNNING)
    yield is_quieter, tf.strings.join(["level ", _number(below, 0), " dB below the training recordings"])


def _absolute(bands: tf.Tensor, level: tf.Tensor) -> tf.Tensor:
    """As `limits.absolute`, of one clip."""
    return bands - 10 / np.log(10) * tf.reduce_logsumexp(bands * (np.log(10) / 10)) + level


def _band_edge(levels: tf.Tensor, bounds: Bounds) -> tf.Tensor:
    """Frequency in Hz above which every band is missing that the training clips have, or 0 if there is none."""
    few = len(bounds.band_hz) // 32
    n_bands = len(bounds.band_hz) - few  # without those that the filter of any converter attenuates
    hz = np.array(bounds.band_hz[:n_bands], np.float32)
    gaps = (bounds.band_low_db - levels)[:n_bands]  # to the training clips' quietest
    usual = tf.sort(gaps)[n_bands // 4]  # of a band that is passed
    is_missing = (gaps - usual > STEP_DB) & (gaps > BELOW_DB)
    n_missing = tf.reduce_sum(tf.math.cumprod(tf.cast(is_missing, tf.int32), reverse=True))
    edge_hz = tf.gather(hz, tf.minimum(n_bands - n_missing, n_bands - 1))
    is_passed, is_above = hz < edge_hz / BELOW_EDGE, tf.range(n_bands) >= n_bands - n_missing
    passed, above = _median(gaps, is_passed), _median(gaps, is_above)
    has_edge = (n_missing >= max(2, few)) & (tf.math.count_nonzero(is_passed) >= FEWEST_PASSED)
    is_step = (above >= MEDIAN_BELOW_DB) & (above - passed >= MEDIAN_STEP_DB)
    return tf.where(has_edge & is_step, edge_hz, 0.0)


def _median(values: tf.Tensor, is_counted: tf.Tensor) -> tf.Tensor:
    """Upper median of the values that are counted; infinity if none is."""
    ordered = tf.sort(tf.where(is_counted, values, np.inf))
    return ordered[tf.minimum(tf.cast(tf.math.count_nonzero(is_counted), tf.int32) // 2, values.shape[0] - 1)]


class _Shape(NamedTuple):
    """The shape of a spectrum, whatever its level.

    A lower gain keeps the lines and humps of the machine's spectrum. The spectrum of a background is smooth.

    Attributes:
      is_known: Whether it is that of a training clip rather than a smooth one.
      roughness: Mean distance from a smooth curve, in dB.
    """

    is_known: tf.Tensor
    roughness: tf.Tensor

    @classmethod
    def of(cls, levels: tf.Tensor, bounds: Bounds) -> "_Shape":
        """The shape of a spectrum `[mels]` in dB."""
        smooth = tf.linalg.matvec(smoothing(len(bounds.band_hz)).astype(np.float32), levels)
        roughness = tf.reduce_mean(tf.abs(levels - smooth))
        differences = levels - bounds.examples_db  # [examples, mels]
        middle = tf.sort(differences, axis=1)[:, len(bounds.band_hz) // 2, tf.newaxis]  # the median
        from_training = tf.reduce_min(tf.reduce_mean(tf.abs(differences - middle), axis=1))
        return cls(from_training <= NEARER * roughness, roughness)


def _number(value: tf.Tensor, digits: int) -> tf.Tensor:
    return tf.strings.as_string(value, precision=digits)
