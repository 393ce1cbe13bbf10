"""Densities that consist of several: averaged over folds, or one per machine ID."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.scoring import domain_densities
from ganad_tf.scoring.densities import Density, Kind, score_in_chunks, with_regularization
from ganad_tf.scoring.domain_densities import DensityByDomain


@dataclass(frozen=True)
class AveragedDensity:
    """Mean of densities, each fitted without the clips of one fold.

    A clip of a fold is scored by the one density that has not seen it. The scores of such a density grow or shrink with
    the number of clips that it is fitted to, by a factor of up to two for whitened nearest neighbours. New clips are
    therefore scored by densities of as many clips, so that both scores are on the same scale.

    Attributes:
      parts: One density per fold.
    """

    parts: tuple[Density | DensityByDomain, ...]

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

    parts: Mapping[str, Density | DensityByDomain | AveragedDensity]

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


AnyDensity = Density | DensityByDomain | AveragedDensity | DensityByMachine


def from_arrays(kind: Kind, arrays: Mapping[str, np.ndarray]) -> AnyDensity:
    """The density with these constants, averaged, by domain or by machine if their names say so."""
    if any("/" in name for name in arrays):
        return DensityByMachine({name: _density(kind, part) for name, part in _parted(arrays, "/").items()})
    return _density(kind, arrays)


def _density(kind: Kind, arrays: Mapping[str, np.ndarray]) -> Density | DensityByDomain | AveragedDensity:
    if not any("." in name for name in arrays):
        return _of_domains(kind, arrays)
    by_fold = _parted(arrays, ".")
    return AveragedDensity(tuple(_of_domains(kind, by_fold[str(number)]) for number in range(len(by_fold))))


def _of_domains(kind: Kind, arrays: Mapping[str, np.ndarray]) -> Density | DensityByDomain:
    if not any(":" in name for name in arrays):
        return Density(kind, arrays)
    by_domain = _parted(arrays, ":")
    scales = {domain: part.pop("scale") for domain, part in by_domain.items()}
    return DensityByDomain({domain: Density(kind, part) for domain, part in by_domain.items()}, scales)


def _parted(arrays: Mapping[str, np.ndarray], mark: str) -> dict[str, dict[str, np.ndarray]]:
    """Arrays by what stands before the mark in their names, then by the rest."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        part, _, rest = name.rpartition(mark) if mark == "/" else name.partition(mark)
        parts.setdefault(part, {})[rest] = array
    return parts


def fit_averaged(
    vectors: np.ndarray,
    held_out: Sequence[np.ndarray],
    settings: Scorer,
    seed: int,
    domains: Sequence[str] | None = None,
    recordings: Sequence[str] | None = None,
) -> tuple[AveragedDensity, np.ndarray]:
    """Fits one density per fold to the vectors outside it.

    Args:
      vectors: Of normal clips, `[clips, dims]`, in dB.
      held_out: Per fold, whether a clip is in it, `[clips]` bool.
      settings: Which density.
      seed: As in `fit`.
      domains: Domain of each clip; needed if `settings.tells_domains`.
      recordings: As in `densities.cross_validated_scores`; for the scales of domains.

    Returns:
      Their average, and the score of each clip by the density that has not seen it, `[clips]`.
    """
    of_clips = np.array([""] * len(vectors) if domains is None else domains)
    if settings.tells_domains:
        shared = domain_densities.prepared(vectors, of_clips, settings, seed, recordings)
    else:
        settings, shared = with_regularization(vectors, settings, seed), None
    parts = []
    scores = np.empty(len(vectors))
    for in_fold in held_out:
        parts.append(domain_densities.fit(vectors[~in_fold], of_clips[~in_fold], settings, seed, shared=shared))
        scores[in_fold] = score_in_chunks(parts[-1], vectors[in_fold])
    return AveragedDensity(tuple(parts)), scores


def fit_by_machine(
    vectors: np.ndarray,
    machine_ids: Sequence[str],
    settings: Scorer,
    seed: int,
    domains: Sequence[str] | None = None,
    recordings: Sequence[str] | None = None,
) -> DensityByMachine:
    """Fits one density per machine.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      machine_ids: Machine ID of each clip; there are enough clips of each.
      settings: Which density.
      seed: As in `fit`.
      domains: Domain of each clip; needed if `settings.tells_domains`.
      recordings: As in `densities.cross_validated_scores`; for the scales of domains.
    """
    of_clips, of_domains = np.array(machine_ids), np.array([""] * len(vectors) if domains is None else domains)
    parts = {}
    for name in sorted(set(machine_ids)):
        own = np.flatnonzero(of_clips == name)
        names = None if recordings is None else [recordings[row] for row in own.tolist()]
        parts[name] = domain_densities.fit(vectors[own], of_domains[own], settings, seed, recordings=names)
    return DensityByMachine(parts)
