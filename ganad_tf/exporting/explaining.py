"""What there is to see of one clip, in the graph: the signature `explain`."""

from collections.abc import Callable

import tensorflow as tf

from ganad_tf.features import windows_of
from ganad_tf.scoring import clip_scores, clip_values, reconstruct
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector


def explain(model: TrainedDetector, fitted: FittedScorer, log_mel: tf.Tensor) -> dict[str, tf.Tensor]:
    """A clip's `[frames, mels]` in dB → what a detector and a scorer make of it, in pieces if it is a long one.

    `reconstruction` like the log-mel, each spectrum taken from the window that has it in its middle (at the ends from
    the first and the last window); `window_scores` `[windows]`, the detector's own score equation; `band_residual`
    `[mels]` in dB, what a density judges.
    """
    detector, n_mels = model.detector, model.n_mels
    seen = [
        _of_every_window(lambda windows: reconstruct.middle_spectra(detector, windows, n_mels), [n_mels]),
        _of_every_window(detector.anomaly_score, []),
        clip_values.residual_function(model, fitted.settings),
    ]
    middles, scores, residual = clip_values.of_clip(model, seen, log_mel, at_once=clip_scores.windows_at_once(detector))
    first, last = (
        tf.ensure_shape(windows_of(spectra, model.frames, model.normalizer), [1, detector.input_dim])
        for spectra in (log_mel[: model.frames], log_mel[-model.frames :])
    )
    reproduced = reconstruct.between(
        reconstruct.spectra(detector, first, n_mels)[0],
        middles,
        reconstruct.spectra(detector, last, n_mels)[0],
        model.normalizer,
    )
    return {"reconstruction": reproduced, "window_scores": scores, "band_residual": residual}


def _of_every_window(function: Callable[[tf.Tensor], tf.Tensor], shape: list[int]) -> ClipFunction:
    """One row per window, as they are."""
    return ClipFunction(lambda windows: [function(windows)], lambda rows, **_: rows, [shape])
