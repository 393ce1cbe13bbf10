"""Densities that know of two domains: many normal clips of the source domain, and few of the target domain.

`minimum` is the idea of the selective Mahalanobis mode of the DCASE 2023 baseline (Harada et al., EUSIPCO 2023): a
covariance for each domain, and the lower of both distances. There the covariances are of the frames of the residual,
about zero; here each domain has a density of the vectors of its clips, about its own mean, and a density of any kind.
Both densities standardise (and whiten) vectors by the deviations of all clips from the mean of their domain: those of a
few target clips alone would be noise, and a covariance of few clips is shrunk towards that of all.

`standardized` divides each domain's score by the mean score of that domain's normal clips, each by a density that has
not seen it, so that an ordinary clip of either domain scores about 1 and one threshold fits both. It standardises
scores, not embeddings, as the domain normalisation of GenRep does (Saengthong and Shinozaki 2024, arXiv 2409.05035),
but by a ratio: the deviation of a few target clips would be noise, and thresholds need scores above 0.

`target_smote` adds synthetic vectors between those of the target domain (SMOTE, Chawla et al. 2002), as submissions to
DCASE 2023 did for Gaussian mixtures.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from ganad_tf.clips import Clip
from ganad_tf.config.sections import Scorer
from ganad_tf.results.official import DOMAINS
from ganad_tf.scoring import densities, neighbors
from ganad_tf.scoring.densities import Density

FEWEST_NEIGHBORS = 2  # vectors between which there can be synthetic ones


@dataclass(frozen=True)
class DensityByDomain:
    """One density per domain; a clip's score is the lowest of theirs, each divided by its domain's scale.

    Attributes:
      parts: The densities by domain.
      scales: Mean score of normal clips by domain, `[]` float32; 1 without standardisation.
    """

    parts: Mapping[str, Density]
    scales: Mapping[str, np.ndarray]

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """Scores vectors, `[batch, dims]` float32 → `[batch]` float32."""
        scores = [part(vectors) / self.scales[domain] for domain, part in self.parts.items()]
        return tf.reduce_min(tf.stack(scores, axis=-1), axis=-1)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Constants of all parts, by `<domain>:<name>`."""
        return {
            f"{domain}:{name}": array
            for domain, part in self.parts.items()
            for name, array in {**part.arrays, "scale": self.scales[domain]}.items()
        }


Scales = Mapping[str, float]


def counts(clips: Sequence[Clip], settings: Scorer) -> Iterator[tuple[str, int, int]]:
    """Number of clips of each domain, and the number that a density and its cross-validation need of it."""
    found = Counter(clip.domain for clip in clips)
    fewest = min_target_clips(settings)
    for domain in DOMAINS:
        yield domain, found.pop(domain, 0), fewest
    for domain, count in found.items():  # they belong to neither density
        yield domain, count, count + 1


def min_target_clips(settings: Scorer) -> int:
    """Minimum number of clips of each domain for the density and for its cross-validation."""
    return max(FEWEST_NEIGHBORS + 1, densities.min_training_clips(settings) if settings.domains != "pooled" else 0)


def can_be_fitted(clips: Sequence[Clip], settings: Scorer) -> bool:
    """Whether there are enough clips of each domain for the density without a cross-validation of it."""
    found = Counter(clip.domain for clip in clips)
    if settings.domains == "standardized":  # the scales are cross-validated
        fewest = min_target_clips(settings)
    else:
        by_domain = densities.fewest_vectors(settings) if settings.domains == "minimum" else 0
        fewest = max(FEWEST_NEIGHBORS, by_domain)
    return all(found[domain] >= fewest for domain in DOMAINS)


def fit(
    vectors: np.ndarray, domains: Sequence[str] | np.ndarray, settings: Scorer, seed: int, scales: Scales | None = None
) -> Density | DensityByDomain:
    """Fits the density that the section `scorer` describes.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      domains: Domain of each clip, `source` or `target`; not looked at unless `settings.tells_domains`.
      settings: The section `scorer`.
      seed: Of the fits, and of synthetic vectors.
      scales: Mean score of normal clips by domain; None to compute them.

    Raises:
      DataError: As `densities.fit`.
    """
    if not settings.tells_domains:
        return densities.fit(vectors, settings, seed)
    if scales is None:
        settings, scales = prepared(vectors, np.asarray(domains), settings, seed)
    of_domains = {domain: vectors[np.asarray(domains) == domain] for domain in DOMAINS}
    full = {domain: _with_synthetic(domain, own, settings, seed) for domain, own in of_domains.items()}
    if settings.domains == "pooled":
        return densities.fit(np.concatenate(list(full.values())), settings, seed)
    projection = densities.shared_projection(list(of_domains.values()), settings)
    parts = {domain: densities.fit(own, settings, seed, projection=projection) for domain, own in full.items()}
    return DensityByDomain(parts, {domain: np.asarray(scales[domain], np.float32) for domain in DOMAINS})


def prepared(
    vectors: np.ndarray, domains: np.ndarray, settings: Scorer, seed: int, recordings: Sequence[str] | None = None
) -> tuple[Scorer, Scales]:
    """Settings with a number for `target_smote: auto`, and the scales; all fits of a cross-validation share them.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      domains: Domain of each clip.
      settings: The section `scorer`.
      seed: As in `fit`.
      recordings: As in `densities.cross_validated_scores`.
    """
    if settings.target_smote == "auto":
        n_source, n_target = (int(np.sum(domains == domain)) for domain in DOMAINS)
        settings = replace(settings, target_smote=max(0, round(n_source / n_target) - 1))
    if settings.domains != "standardized":
        return settings, dict.fromkeys(DOMAINS, 1.0)
    return settings, {domain: _scale(domain, vectors, domains, settings, seed, recordings) for domain in DOMAINS}


def fit_and_cross_validate(
    vectors: np.ndarray, domains: Sequence[str], settings: Scorer, seed: int, recordings: Sequence[str] | None = None
) -> tuple[Density | DensityByDomain, np.ndarray]:
    """Fits the density, and scores each clip by a density that was fitted without the clip's fold.

    Folds are of each domain by itself, so that each has few clips of the target domain. The scales are those of all
    clips.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      domains: Domain of each clip.
      settings: The section `scorer`, with `tells_domains`.
      seed: As in `fit`.
      recordings: As in `densities.cross_validated_scores`.

    Returns:
      The density, and the scores `[clips]`.
    """
    of_clips = np.asarray(domains)
    settings, scales = prepared(vectors, of_clips, settings, seed, recordings)
    scores = np.empty(len(vectors))
    for held_out in _folds(of_clips, seed, recordings):
        rest = np.delete(np.arange(len(vectors)), held_out)
        scores[held_out] = densities.score_in_chunks(
            fit(vectors[rest], of_clips[rest], settings, seed, scales), vectors[held_out]
        )
    return fit(vectors, of_clips, settings, seed, scales), scores


def _scale(
    domain: str,
    vectors: np.ndarray,
    domains: np.ndarray,
    settings: Scorer,
    seed: int,
    recordings: Sequence[str] | None,
) -> float:
    """Mean score of a domain's clips, each by the domain's density without the clip's fold."""
    rows = np.flatnonzero(domains == domain)
    own = vectors[rows]
    projection = densities.shared_projection([vectors[domains == name] for name in DOMAINS], settings)
    names = None if recordings is None else [recordings[row] for row in rows.tolist()]
    scores = []
    for held_out in densities.folds_of(len(own), seed, names):
        rest = _with_synthetic(domain, np.delete(own, held_out, axis=0), settings, seed)
        scores.append(
            densities.score_in_chunks(densities.fit(rest, settings, seed, projection=projection), own[held_out])
        )
    mean = float(np.concatenate(scores).mean())
    return mean if mean > 0 else 1.0  # all clips are the same


def _folds(domains: np.ndarray, seed: int, recordings: Sequence[str] | None) -> list[np.ndarray]:
    """Indices of the clips that are left out together: the n-th fold of each domain."""
    folds: dict[int, list[int]] = {}
    for domain in DOMAINS:
        rows = np.flatnonzero(domains == domain)
        names = None if recordings is None else [recordings[row] for row in rows.tolist()]
        for number, fold in enumerate(densities.folds_of(len(rows), seed, names)):
            folds.setdefault(number, []).extend(rows[fold].tolist())
    return [np.array(sorted(fold)) for fold in folds.values()]


def _with_synthetic(domain: str, vectors: np.ndarray, settings: Scorer, seed: int) -> np.ndarray:
    """Vectors of a domain, followed by the synthetic ones of the target domain."""
    if domain != "target" or not settings.target_smote or settings.target_smote == "auto":
        return vectors
    return np.concatenate([vectors, neighbors.synthetic(vectors, settings.target_smote, seed)])
