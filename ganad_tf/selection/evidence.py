"""Evidence for candidates: the separation of held-out normal clips from corrupted copies of them.

No label takes part. Each kind of corruption counts at the strength at which the candidates differ: where it is too
weak, all of them guess, and where it is too strong, none of them errs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

TARGET = 0.75  # AUC of the median candidate, by which a kind's strength is chosen
STEPS = 4  # of a member's weight: 0, 1/4, ... 1
N_RESAMPLES = 200
SMALLEST_DEVIATION = 1e-12  # so that scores that are all the same give z-scores of 0


@dataclass(frozen=True)
class TrialScores:
    """Scores of normal clips that a system has not seen, and of their corrupted copies.

    Attributes:
      normal: `[clips]`.
      corrupted: `[kinds, strengths, clips]`.
      learned_little: Reason why the detector has learned little; None if it has learned, or has nothing to learn.
    """

    normal: np.ndarray
    corrupted: np.ndarray
    learned_little: str | None = None

    def wins(self) -> np.ndarray:
        """Comparisons of each copy with each clip, `[kinds, strengths, copies, clips]`: 1 if higher, 1/2 for ties.

        The mean over copies and clips is the AUC.
        """
        difference = self.corrupted[..., np.newaxis] - self.normal
        return np.asarray((difference > 0) + 0.5 * (difference == 0), np.float32)


def combined(members: Sequence[TrialScores], weights: Sequence[float]) -> TrialScores:
    """Scores of an ensemble: the weighted mean of its members' z-scores, by the normal clips' mean and deviation."""
    used = [(scores, weight) for scores, weight in zip(members, weights, strict=True) if weight > 0]

    def z_scores(scores: TrialScores, values: np.ndarray) -> np.ndarray:
        deviation = max(float(scores.normal.std()), SMALLEST_DEVIATION)
        return np.asarray((values - scores.normal.mean()) / deviation)

    shares = [weight for _, weight in used]
    normal = np.average([z_scores(scores, scores.normal) for scores, _ in used], axis=0, weights=shares)
    corrupted = np.average([z_scores(scores, scores.corrupted) for scores, _ in used], axis=0, weights=shares)
    return TrialScores(normal, corrupted)


def mixtures(n_members: int) -> Iterator[tuple[float, ...]]:
    """Weights of the members in steps of a quarter, whose sum is 1.

    >>> list(mixtures(2))[1:3]
    [(0.25, 0.75), (0.5, 0.5)]
    """
    for parts in product(range(STEPS + 1), repeat=n_members):
        if sum(parts) == STEPS:
            yield tuple(part / STEPS for part in parts)


def at_chosen_strengths(wins: Sequence[np.ndarray]) -> np.ndarray:
    """`TrialScores.wins` of candidates at the strengths at which they differ, `[candidates, kinds, copies, clips]`."""
    areas = np.array([of_candidate.mean(axis=(2, 3)) for of_candidate in wins])
    strengths = np.abs(np.median(areas, axis=0) - TARGET).argmin(axis=1)
    return np.array([of_candidate[np.arange(len(strengths)), strengths] for of_candidate in wins])


def standard_errors(wins: np.ndarray, best: int, seed: int) -> np.ndarray:
    """Standard error of each candidate's distance from the best, by resampling clips together with their copies.

    Args:
      wins: As from `at_chosen_strengths`.
      best: Index of the best candidate.
      seed: Seed of the resampling.

    Returns:
      `[candidates]`, of the mean AUC over kinds.
    """
    distances = (wins[best] - wins).mean(axis=1)  # [candidates, copies, clips]
    n_clips = distances.shape[2]
    drawn = np.random.default_rng(seed).multinomial(n_clips, [1 / n_clips] * n_clips, size=N_RESAMPLES) / n_clips
    resampled = np.einsum("ri,cij,rj->cr", drawn, distances, drawn)
    return np.asarray(resampled.std(axis=1))
