"""The signature `explain` in the graph: reconstruction, window scores and residual of a clip."""

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from ganad_tf.features import windows_of
from ganad_tf.scoring import clip_scores, clip_values, reconstruct
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector


def explain(
    model: TrainedDetector, fitted: FittedScorer, log_mel: tf.Tensor, machine: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Explains a clip's log-mel `[frames, mels]` in dB; long clips are processed in pieces.

    Args:
      model: The detector.
      fitted: Its scorer.
      log_mel: The clip.
      machine: Number of the clip's machine ID, `[]` int32, for detectors that take machine IDs.

    Returns:
      `reconstruction` `[frames, mels]` in dB, each spectrum taken from the window that has it in its middle (from the
      first and last window at the ends); `window_scores` `[windows]` by the detector's own score equation;
      `band_residual` `[mels]` in dB, the input of the densities.
    """
    detector, n_mels = model.detector, model.n_mels
    at_once = clip_scores.windows_at_once(detector)

    def scores_of(windows: tf.Tensor) -> tf.Tensor:
        scores = detector.anomaly_score(windows)
        return tf.gather(scores, machine, axis=1) if detector.takes_machine_ids else scores

    middle = _window_function(lambda windows: reconstruct.middle_spectra(detector, windows, n_mels), [n_mels])
    functions = [_window_function(scores_of, []), clip_values.residual_function(model, fitted.settings)]
    if model.hop == 1:
        middles, scores, residual = clip_values.apply_to_clip(model, [middle, *functions], log_mel, at_once=at_once)
    else:
        at_every_spectrum = dataclasses.replace(model, hop=1)
        (middles,) = clip_values.apply_to_clip(at_every_spectrum, [middle], log_mel, at_once=at_once)
        scores, residual = clip_values.apply_to_clip(model, functions, log_mel, at_once=at_once)
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


def _window_function(function: Callable[[tf.Tensor], tf.Tensor], shape: list[int]) -> ClipFunction:
    """Clip function that returns one row per window."""
    return ClipFunction(lambda windows: [function(windows)], lambda rows, **_: rows, [shape])
