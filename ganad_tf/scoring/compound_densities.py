"""Densities that consist of several: averaged over folds, or one per machine ID."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.scoring.densities import Density, Kind, fit, score_in_chunks, with_regularization


@dataclass(frozen=True)
class AveragedDensity:
    """Mean of densities, each fitted without the clips of one fold.

    A clip of a fold is scored by the one density that has not seen it. The scores of such a density grow or shrink with
    the number of clips that it is fitted to, by a factor of up to two for whitened nearest neighbours. New clips are
    therefore scored by densities of as many clips, so that both scores are on the same scale.

    Attributes:
      parts: One density per fold.
    """

    parts: tuple[Density, ...]

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """Scores vectors, `[batch, dims]` float32 → `[batch]` float32."""
        return tf.add_n([part(vectors) for part in self.parts]) / len(self.parts)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Constants of all parts, by `<part>.<name>`."""
        return {
            f"{number}.{name}": array for number, part in enumerate(self.parts) for name, array in part.arrays.items()
        }


@dataclass(frozen=True)
class DensityByMachine:
    """One density per machine ID, each fitted to the clips of one machine.

    Attributes:
      parts: The densities by machine ID.
    """

    parts: Mapping[str, Density | AveragedDensity]

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """Scores vectors by each density, `[batch, dims]` float32 → `[batch, ids]` float32."""
        return tf.stack([part(vectors) for part in self.parts.values()], axis=-1)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Constants of all parts, by `<machine ID>/<name>`."""
        return {
            f"{machine_id}/{name}": array
            for machine_id, part in self.parts.items()
            for name, array in part.arrays.items()
        }


AnyDensity = Density | AveragedDensity | DensityByMachine


def from_arrays(kind: Kind, arrays: Mapping[str, np.ndarray]) -> AnyDensity:
    """The density with these constants, averaged or by machine if their names say so."""
    if any("/" in name for name in arrays):
        return DensityByMachine({name: _density(kind, part) for name, part in _parted(arrays, "/").items()})
    return _density(kind, arrays)


def _density(kind: Kind, arrays: Mapping[str, np.ndarray]) -> Density | AveragedDensity:
    if not any("." in name for name in arrays):
        return Density(kind, arrays)
    by_fold = _parted(arrays, ".")
    return AveragedDensity(tuple(Density(kind, by_fold[str(number)]) for number in range(len(by_fold))))


def _parted(arrays: Mapping[str, np.ndarray], mark: str) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by what stands before the mark in their names, then by the rest."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        part, _, rest = name.rpartition(mark) if mark == "/" else name.partition(mark)
        parts.setdefault(part, {})[rest] = array
    return parts


def fit_averaged(
    vectors: np.ndarray, held_out: Sequence[np.ndarray], settings: Scorer, seed: int
) -> tuple[AveragedDensity, np.ndarray]:
    """Fits one density per fold to the vectors outside it.

    Args:
      vectors: Of normal clips, `[clips, dims]`, in dB.
      held_out: Per fold, whether a clip is in it, `[clips]` bool.
      settings: Which density.
      seed: As in `fit`.

    Returns:
      Their average, and the score of each clip by the density that has not seen it, `[clips]`.
    """
    settings = with_regularization(vectors, settings, seed)
    parts = []
    scores = np.empty(len(vectors))
    for in_fold in held_out:
        parts.append(fit(vectors[~in_fold], settings, seed))
        scores[in_fold] = score_in_chunks(parts[-1], vectors[in_fold])
    return AveragedDensity(tuple(parts)), scores


def fit_by_machine(vectors: np.ndarray, machine_ids: Sequence[str], settings: Scorer, seed: int) -> DensityByMachine:
    """Fits one density per machine.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      machine_ids: Machine ID of each clip; there are enough clips of each.
      settings: Which density.
      seed: As in `fit`.
    """
    of_clips = np.array(machine_ids)
    known = dict.fromkeys(sorted(machine_ids))
    return DensityByMachine({name: fit(vectors[of_clips == name], settings, seed) for name in known})
