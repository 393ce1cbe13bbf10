"""Choice of the Gaussian mixture's regularization on normal clips alone, by the likelihood of those left out."""

import math
import warnings
from dataclasses import replace

import numpy as np
import sklearn.exceptions
import sklearn.mixture

from ganad_tf.config.sections import Scorer

GRID = (1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)  # of standardised values
FOLDS = 5


def chosen(projected: np.ndarray, settings: Scorer, seed: int) -> float:
    """Chooses the `scorer.regularization` under which clips that were left out are most likely.

    Args:
      projected: Standardised vectors of normal clips, `[clips, dims]`, without dimensions that never change.
      settings: The section `scorer`, with `regularization: auto`.
      seed: Of the folds and of the mixture's starting points.

    Returns:
      One of `GRID`; the largest if there are too few clips to leave some out, or nothing varies.
    """
    fold_of = np.random.default_rng(seed).permutation(len(projected)) % FOLDS
    if not projected.size or len(projected) - np.bincount(fold_of).max() < max(2, settings.components):
        return GRID[-1]
    by_value = {value: _left_out(projected, fold_of, replace(settings, regularization=value), seed) for value in GRID}
    return max(by_value, key=lambda value: (by_value[value], value))


def fit_mixture(projected: np.ndarray, settings: Scorer, seed: int) -> sklearn.mixture.GaussianMixture:
    """Fits the Gaussian mixture of a numeric `scorer.regularization` to vectors `[clips, dims]`.

    Raises:
      ValueError: If the regularization is too small for these vectors.
    """
    fitted = sklearn.mixture.GaussianMixture(settings.components, reg_covar=settings.regularization, random_state=seed)
    return fitted.fit(projected)


def _left_out(projected: np.ndarray, fold_of: np.ndarray, settings: Scorer, seed: int) -> float:
    """Mean log-likelihood of the clips, each by a mixture fitted without its fold; -inf if one can't be fitted."""
    total = 0.0
    for fold in np.unique(fold_of):
        is_out = fold_of == fold
        try:
            with warnings.catch_warnings(action="ignore", category=sklearn.exceptions.ConvergenceWarning):
                total += fit_mixture(projected[~is_out], settings, seed).score_samples(projected[is_out]).sum()
        except ValueError:
            return -math.inf
    return total / len(projected)
