"""A detector's windows → one number per clip: the paper's score averaged, or the density of the residual.

All are TensorFlow operations, so that training, scoring and an exported model run the same lines. Each value is
computed in two steps, what can be said of a window by itself and what is made of that over a clip, so that the windows
of a long clip need not be in memory together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.features import Normalizer, pieces, windows_of
from ganad_tf.models import Detector


@dataclass(frozen=True)
class ClipFunction:
    """A value of clips, in two steps; call it to take both.

    Attributes:
      of_windows: `[windows, dims]` float32 → tensors of one row per window, which depends on that window alone.
      of_clips: Those tensors, `[batch, n_windows, ...]` each, and whether in pieces → `[batch, ...]`.
      shapes: Of the rows of each tensor.
    """

    of_windows: Callable[[tf.Tensor], Sequence[tf.Tensor]]
    of_clips: Callable[..., tf.Tensor]
    shapes: Sequence[Sequence[int]]

    def __call__(self, windows: tf.Tensor) -> tf.Tensor:
        """Windows of clips of equal length, `[batch, n_windows, dims]` → `[batch, ...]`."""
        shape = tf.shape(windows)
        rows = self.of_windows(tf.reshape(windows, [-1, windows.shape[2]]))
        of_each_clip = (tf.reshape(each, tf.concat([shape[:2], tf.shape(each)[1:]], axis=0)) for each in rows)
        return self.of_clips(*of_each_clip, in_pieces=False)


def paper_scores(detector: Detector) -> ClipFunction:
    """The detector's own score equation, averaged over each clip's windows: `[batch]`, higher is more anomalous."""

    def of_clips(scores: tf.Tensor, *, in_pieces: bool) -> tf.Tensor:  # noqa: ARG001
        return tf.reduce_mean(scores, axis=1)

    return ClipFunction(lambda windows: [detector.anomaly_score(windows)], of_clips, [[]])


def pooled_residuals(detector: Detector, normalizer: Normalizer | None, n_mels: int, settings: Scorer) -> ClipFunction:
    """What the detector could not reproduce of each clip: `[batch, mels]` in dB.

    The residual is averaged over the spectra of a window, brought back to decibels, and pooled over time
    as `settings.pooling` says.

    Args:
      detector: Whose `residual` it is.
      normalizer: What standardised the windows; None for nothing.
      n_mels: Mel bands of a spectrum.
      settings: The section `scorer`.
    """
    needs_level = settings.pooling == "lulls"

    def of_windows(windows: tf.Tensor) -> list[tf.Tensor]:
        seen = [detector.residual(windows), *([windows] if needs_level else [])]
        return [_by_band(values, n_mels, normalizer) for values in seen]

    def of_clips(residual: tf.Tensor, level: tf.Tensor | None = None, *, in_pieces: bool) -> tf.Tensor:
        return pool(residual, level, settings, in_pieces=in_pieces)

    return ClipFunction(of_windows, of_clips, [[n_mels]] * (2 if needs_level else 1))


def of_clip(
    detector: Detector,
    functions: Sequence[ClipFunction],
    log_mel: tf.Tensor,
    frames: int,
    normalizer: Normalizer | None,
    *,
    at_once: int | None,
) -> list[tf.Tensor]:
    """What each function makes of one clip's windows, some of which at a time are in memory.

    Args:
      detector: Sees the windows.
      functions: What is wanted.
      log_mel: `[time, mels]` in dB.
      frames: Spectra of a window.
      normalizer: Standardises the windows; None for nothing.
      at_once: Windows in one piece, such as `windows_at_once`; None for all of them, without a loop.
    """

    def rows(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        windows = windows_of(log_mel[begin : end + frames - 1], frames, normalizer)
        windows = tf.ensure_shape(windows, [None, detector.input_dim])
        return [values for function in functions for values in function.of_windows(windows)]

    shapes = [shape for function in functions for shape in function.shapes]
    joined = iter(pieces.joined(rows, tf.shape(log_mel)[0] - frames + 1, at_once, shapes))
    values = []
    for function in functions:
        of_this_clip = [next(joined)[tf.newaxis] for _ in function.shapes]
        values.append(function.of_clips(*of_this_clip, in_pieces=at_once is not None)[0])
    return values


def windows_at_once(detector: Detector) -> int:
    """Windows of a clip that are in memory together: for windows of 640 values, those of 52 s."""
    return max(1, 2 * pieces.ELEMENTS // detector.input_dim)  # they are float32


def pool(residual: tf.Tensor, level: tf.Tensor | None, settings: Scorer, *, in_pieces: bool = False) -> tf.Tensor:
    """One value per clip and mel band.

    `mean` over time; `max` of how far the sound exceeds its reconstruction; `gwrp`, global weighted rank
    pooling (Kolesnikov and Lampert 2016): `sum_i decay^i v_i / sum_i decay^i`, v that excess from the largest
    down; `lulls`: the same sum over the residual, in the order of the band's level from the quietest up.

    Args:
      residual: `[batch, n_windows, mels]`.
      level: `[batch, n_windows, mels]`, the sound itself; only `lulls` asks for it.
      settings: The section `scorer`.
      in_pieces: Whether some bands at a time are sorted, if that takes much memory; of one clip alone.

    Returns:
      `[batch, mels]` in the unit of `residual`.
    """
    if settings.pooling == "mean":
        return tf.reduce_mean(residual, axis=1)
    if settings.pooling == "max":
        return tf.reduce_max(-residual, axis=1)
    level = level if settings.pooling == "lulls" else None
    rank = tf.cast(tf.range(tf.shape(residual)[1]), tf.float32)
    weights = tf.pow(tf.constant(settings.decay, tf.float32), rank)  # [n_windows]
    weights = weights / tf.reduce_sum(weights)
    if not in_pieces:
        return _weighted(residual, level, weights)

    def of_bands(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        some = None if level is None else level[:, :, begin:end]
        return [_weighted(residual[:, :, begin:end], some, weights)[0]]

    n_windows, n_mels = tf.shape(residual)[1], tf.shape(residual)[2]
    (pooled,) = pieces.joined(of_bands, n_mels, tf.maximum(1, pieces.ELEMENTS // n_windows), [[]])
    return pooled[tf.newaxis]


def _weighted(residual: tf.Tensor, level: tf.Tensor | None, weights: tf.Tensor) -> tf.Tensor:
    """The weighted sum over time of the excess in its own order, or of the residual in that of the level."""
    of_band = tf.transpose(residual, [0, 2, 1])  # [batch, mels, n_windows]
    if level is None:
        ranked = tf.sort(-of_band, direction="DESCENDING")
    else:
        ranked = tf.gather(of_band, tf.argsort(tf.transpose(level, [0, 2, 1])), batch_dims=2)
    return tf.linalg.matvec(ranked, weights)


def _by_band(windows: tf.Tensor, n_mels: int, normalizer: Normalizer | None) -> tf.Tensor:
    """`[windows, dims]` → the mean over the spectra of each window, `[windows, mels]`, in dB but for an offset."""
    mean = tf.reduce_mean(tf.reshape(windows, [tf.shape(windows)[0], -1, n_mels]), axis=1)
    return mean if normalizer is None else mean * normalizer.deviation
