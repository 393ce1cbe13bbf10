"""From a detector's windows to one value per clip: mean score or embedding, or the pooled residual.

All values are computed by TensorFlow operations, so that training, scoring and exported models run the same code. Each
value has two steps, one for single windows and one over the windows of a clip, so that the windows of a long clip need
not be in memory together.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.features import Normalizer, pieces, windows_of
from ganad_tf.models import Detector, HasEmbedding


@dataclass(frozen=True)
class ClipFunction:
    """A function of clips in two steps; calling it applies both.

    Attributes:
      window_step: `[windows, dims]` float32 → tensors with one row per window, which depends on that window alone.
      clip_step: Those tensors, `[batch, n_windows, ...]` each, and `in_pieces` → `[batch, ...]`.
      shapes: Shape of a row of each tensor.
      machine_ids: The machine IDs for each of which there is a value, on the last axis; none if the value is the same
        for all.
    """

    window_step: Callable[[tf.Tensor], Sequence[tf.Tensor]]
    clip_step: Callable[..., tf.Tensor]
    shapes: Sequence[Sequence[int]]
    machine_ids: Sequence[str] = ()

    def __call__(self, windows: tf.Tensor) -> tf.Tensor:
        """Computes the value of clips of equal length, `[batch, n_windows, dims]` → `[batch, ...]`."""
        shape = tf.shape(windows)
        rows = self.window_step(tf.reshape(windows, [-1, windows.shape[2]]))
        by_clip = (tf.reshape(values, tf.concat([shape[:2], tf.shape(values)[1:]], axis=0)) for values in rows)
        return self.clip_step(*by_clip, in_pieces=False)


def paper_scores(detector: Detector) -> ClipFunction:
    """The paper's score equation, averaged over each clip's windows; higher is more anomalous.

    `[batch]`, or `[batch, ids]` of a detector that takes machine IDs.
    """

    def clip_step(scores: tf.Tensor, *, in_pieces: bool) -> tf.Tensor:  # noqa: ARG001
        return tf.reduce_mean(scores, axis=1)

    machine_ids = detector.machine_ids
    shape = [len(machine_ids)] if machine_ids else []
    return ClipFunction(lambda windows: [detector.anomaly_score(windows)], clip_step, [shape], machine_ids)


def pooled_residuals(detector: Detector, normalizer: Normalizer | None, n_mels: int, settings: Scorer) -> ClipFunction:
    """The detector's residual pooled over each clip: `[batch, mels]` in dB.

    The residual is averaged over the spectra of a window, scaled back to decibels, and pooled over time as
    `settings.pooling` says.

    Args:
      detector: Computes the residual of windows.
      normalizer: Standardised the windows; None for none.
      n_mels: Mel bands of a spectrum.
      settings: The section `scorer`.
    """
    needs_level = settings.pooling == "lulls"

    def window_step(windows: tf.Tensor) -> list[tf.Tensor]:
        inputs = [detector.residual(windows), *([windows] if needs_level else [])]
        return [_by_band(values, n_mels, normalizer) for values in inputs]

    def clip_step(residual: tf.Tensor, level: tf.Tensor | None = None, *, in_pieces: bool) -> tf.Tensor:
        return pool(residual, level, settings, in_pieces=in_pieces)

    return ClipFunction(window_step, clip_step, [[n_mels]] * (2 if needs_level else 1))


def mean_embeddings(detector: HasEmbedding) -> ClipFunction:
    """The detector's embedding, averaged over each clip's windows: `[batch, units]`."""
    units = detector.encode(tf.zeros([1, detector.input_dim])).shape[-1]

    def clip_step(embeddings: tf.Tensor, *, in_pieces: bool) -> tf.Tensor:  # noqa: ARG001
        return tf.reduce_mean(embeddings, axis=1)

    return ClipFunction(lambda windows: [detector.encode(windows)], clip_step, [[units]])


def apply_to_clip(
    detector: Detector,
    functions: Sequence[ClipFunction],
    log_mel: tf.Tensor,
    frames: int,
    normalizer: Normalizer | None,
    *,
    hop: int = 1,
    at_once: int | None,
) -> list[tf.Tensor]:
    """Applies functions to one clip, with a limited number of windows in memory.

    Args:
      detector: The detector of the functions.
      functions: The functions.
      log_mel: `[time, mels]` in dB.
      frames: Spectra of a window.
      normalizer: Standardises the windows; None for none.
      hop: Spectra from one window to the next.
      at_once: Windows per piece, such as `windows_at_once`; None for all windows at once, without a loop.

    Returns:
      One value per function.
    """

    def rows(begin: tf.Tensor, end: tf.Tensor) -> list[tf.Tensor]:
        windows = windows_of(log_mel[hop * begin : hop * (end - 1) + frames], frames, normalizer, hop)
        windows = tf.ensure_shape(windows, [None, detector.input_dim])
        return [values for function in functions for values in function.window_step(windows)]

    shapes = [shape for function in functions for shape in function.shapes]
    n_windows = (tf.shape(log_mel)[0] - frames) // hop + 1
    window_values = iter(pieces.concat_ranges(rows, n_windows, at_once, shapes))
    values = []
    for function in functions:
        inputs = [next(window_values)[tf.newaxis] for _ in function.shapes]
        values.append(function.clip_step(*inputs, in_pieces=at_once is not None)[0])
    return values


def windows_at_once(detector: Detector) -> int:
    """Number of a clip's windows that are in memory together: for dense networks on 640 values, those of 52 s."""
    return max(1, 2 * pieces.ELEMENTS // detector.values_per_window)  # twice as many, because windows are float32


def pool(residual: tf.Tensor, level: tf.Tensor | None, settings: Scorer, *, in_pieces: bool = False) -> tf.Tensor:
    """Pools residuals over time to one value per clip and mel band.

    `mean` over time; `max` of the excess of the sound over its reconstruction, which is minus the residual; `gwrp`,
    global weighted rank pooling (Kolesnikov and Lampert 2016): `sum_i decay^i v_i / sum_i decay^i` with the excess v
    sorted in descending order; `lulls`: the same sum over the residual, sorted by the band's level in ascending order.

    Args:
      residual: `[batch, n_windows, mels]`.
      level: `[batch, n_windows, mels]`, level of the sound; used by `lulls` only.
      settings: The section `scorer`.
      in_pieces: Whether to sort a few bands at a time where sorting takes much memory; for a single clip only.

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
    (pooled,) = pieces.concat_ranges(of_bands, n_mels, tf.maximum(1, pieces.ELEMENTS // n_windows), [[]])
    return pooled[tf.newaxis]


def _weighted(residual: tf.Tensor, level: tf.Tensor | None, weights: tf.Tensor) -> tf.Tensor:
    """Weighted sum over time, `[batch, mels]`, of the sorted excess or, given a level, of the residual sorted by it."""
    by_band = tf.transpose(residual, [0, 2, 1])  # [batch, mels, n_windows]
    if level is None:
        ranked = tf.sort(-by_band, direction="DESCENDING")
    else:
        ranked = tf.gather(by_band, tf.argsort(tf.transpose(level, [0, 2, 1])), batch_dims=2)
    return tf.linalg.matvec(ranked, weights)


def _by_band(windows: tf.Tensor, n_mels: int, normalizer: Normalizer | None) -> tf.Tensor:
    """`[windows, dims]` → mean over the spectra of each window, `[windows, mels]`, in dB up to an offset."""
    mean = tf.reduce_mean(tf.reshape(windows, [tf.shape(windows)[0], -1, n_mels]), axis=1)
    return mean if normalizer is None else mean * normalizer.deviation
