"""Evidence of what a network has learned: the share of the windows' variance that it reproduces, and its steps."""

import logging
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.cache.windows import Source
from ganad_tf.clips import evenly_spread
from ganad_tf.features import windows_of
from ganad_tf.models import Detector
from ganad_tf.models.detector import largest_batch

logger = logging.getLogger(__name__)

FEWEST_STEPS = 200  # with fewer, batch normalisation and Adam are still more their beginning than the recordings
CLIPS, SPECTRA = 32, 1000  # looked at, at most: clips, and spectra of each


def facts(detector: Detector, source: Source, n_steps: int, machine: str) -> dict[str, Any]:
    """Facts about what a detector has learned, for `training.json`; warns if that is little.

    Args:
      detector: The trained detector.
      source: Validation clips, or training clips if there are none.
      n_steps: Steps of the optimizer that it was trained for.
      machine: Machine type, for the warning.
    """
    explained = explained_share(detector, source)
    reason = learned_little(detector, n_steps, explained)
    if reason:
        logger.warning("%s: the network has learned little: %s.", machine, reason)
    share = None if explained is None else round(explained, 4)
    return {"n_steps": n_steps, "explained_share": share, "learned_little": reason}


def explained_share(detector: Detector, source: Source) -> float | None:
    """Share of the variance of windows that a detector reproduces, over a few evenly spread clips.

    Only the values that a detector predicts count: those of its residual that are not always 0.

    Args:
      detector: The trained detector.
      source: The clips.

    Returns:
      1 for perfect reconstructions, 0 for what the mean of the windows would reach, or less; None for a detector that
      does not reconstruct its windows.
    """
    if not detector.reconstructs:
        return None
    ordered = sorted(source.entries, key=lambda entry: entry.clip.file)
    chosen = [ordered[index] for index in evenly_spread(len(ordered), CLIPS)]
    sums = np.zeros([4, detector.input_dim])  # of ones, values, squares, squared residuals
    for _, log_mel in source.spectra.read(chosen):
        windows = windows_of(tf.constant(log_mel[:SPECTRA]), source.frames, source.normalizer, source.hop)
        try:
            parts = range(0, len(windows), largest_batch(detector))
            residual = np.concatenate([detector.residual(windows[at : at + parts.step]) for at in parts])
        except (ValueError, NotImplementedError, tf.errors.OpError):  # what it returns is no reconstruction
            return None
        values, residual = np.asarray(windows, np.float64), np.asarray(residual, np.float64)
        if residual.shape != values.shape:
            return None
        sums += [part.sum(axis=0) for part in (np.ones_like(values), values, values**2, residual**2)]
    n_windows, totals, squares, errors = sums
    predicted = errors > 0
    variance = (squares - totals**2 / n_windows)[predicted].sum()
    return float(1 - errors[predicted].sum() / variance) if variance > 0 else 1.0


def learned_little(detector: Detector, n_steps: int, explained: float | None) -> str | None:
    """Reason why a network counts as one that has learned little, to follow a colon; None if there is none.

    Args:
      detector: The trained detector; one without weights has nothing to learn.
      n_steps: Steps of the optimizer.
      explained: Its `explained_share`.
    """
    if not detector.trainable_variables:
        return None
    if n_steps < FEWEST_STEPS:
        return f"it was trained for {n_steps} steps, fewer than {FEWEST_STEPS}; raise `fit.epochs` or `fit.min_steps`"
    if reason := detector.too_few_steps(n_steps):
        return reason
    if explained is not None and not explained > 0:
        return (
            "it reproduces recordings no better than their mean does; train longer, add recordings, or do without a "
            "network (`model.name: SpectrumDensity`)"
        )
    return None
