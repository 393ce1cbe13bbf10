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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from ganad_tf.clips import DOMAINS, Clip
from ganad_tf.config.sections import Scorer
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


@dataclass(frozen=True)
class Shared:
    """Choices that all fits of a cross-validation share.

    Attributes:
      settings: The section `scorer` of each domain's density, with numbers for `auto`; the same if one is of both.
      scales: Mean score of normal clips by domain; 1 without standardisation.
    """

    settings: Mapping[str, Scorer]
    scales: Mapping[str, float]


def fewest_vectors(settings: Scorer) -> int:
    """Minimum number of vectors of each domain that the density can be fitted to."""
    return max(FEWEST_NEIGHBORS, densities.fewest_vectors(settings) if settings.domains != "pooled" else 0)


def min_training_clips(settings: Scorer) -> int:
    """Minimum number of clips of each domain for the density and for its cross-validation, if all stand alone."""
    return max(FEWEST_NEIGHBORS + 1, densities.min_training_clips(settings) if settings.domains != "pooled" else 0)


def shortages(clips: Sequence[Clip], settings: Scorer) -> list[str]:
    """Domains of too few clips, or recordings, for the density and its cross-validation, which leaves recordings out.

    Args:
      clips: Normal clips of all domains.
      settings: The section `scorer`, with `tells_domains`.

    Returns:
      A phrase for each domain, such as `8 of target in 1 recording`; also for clips of no domain, which no density is
      of.
    """
    recordings: dict[str, list[str]] = {domain: [] for domain in DOMAINS}
    for clip in clips:
        recordings.setdefault(clip.domain, []).append(clip.recording)
    return [
        f"{len(names)} of {domain or 'no domain'}{_of_recordings(names)}"
        for domain, names in recordings.items()
        if domain not in DOMAINS or _smallest_rest(names) < fewest_vectors(settings)
    ]


def smallest_rest(clips: Sequence[Clip]) -> int:
    """Number of clips of both domains that are left where the largest fold of clips is left out; enough of each."""
    folds = folds_of(np.array([clip.domain for clip in clips]), 0, None)  # the sizes are those of any seed
    return len(clips) - max(len(fold) for fold in folds)


def can_be_fitted(clips: Sequence[Clip], settings: Scorer) -> bool:
    """Whether there are enough clips of each domain for the density without a cross-validation of it."""
    if settings.domains == "standardized":  # the scales are cross-validated
        return not shortages(clips, settings)
    found = Counter(clip.domain for clip in clips)
    return all(found[domain] >= fewest_vectors(settings) for domain in DOMAINS)


def fit(
    vectors: np.ndarray,
    domains: Sequence[str] | np.ndarray,
    settings: Scorer,
    seed: int,
    *,
    recordings: Sequence[str] | None = None,
    shared: Shared | None = None,
) -> Density | DensityByDomain:
    """Fits the density that the section `scorer` describes.

    Args:
      vectors: Of normal clips, `[clips, dims]`.
      domains: Domain of each clip, `source` or `target`; not looked at unless `settings.tells_domains`.
      settings: The section `scorer`.
      seed: Of the fits, and of synthetic vectors.
      recordings: As in `densities.cross_validated_scores`; for the scales.
      shared: Choices of `prepared`; None to make them for these vectors.

    Raises:
      DataError: As `densities.fit`, and with `domains: standardized` as `densities.cross_validated_scores`.
    """
    if not settings.tells_domains:
        return densities.fit(vectors, settings, seed)
    of_clips = np.asarray(domains)
    if shared is None:
        shared = prepared(vectors, of_clips, settings, seed, recordings)
    full = _with_synthetic(vectors, of_clips, shared.settings[DOMAINS[0]], seed)
    if settings.domains == "pooled":
        return densities.fit(np.concatenate(list(full.values())), shared.settings[DOMAINS[0]], seed)
    projection = _projection(vectors, of_clips, settings)
    parts = {
        domain: densities.fit(own, shared.settings[domain], seed, projection=projection) for domain, own in full.items()
    }
    return DensityByDomain(parts, {domain: np.asarray(shared.scales[domain], np.float32) for domain in DOMAINS})


def prepared(
    vectors: np.ndarray, domains: np.ndarray, settings: Scorer, seed: int, recordings: Sequence[str] | None = None
) -> Shared:
    """Numbers for `target_smote: auto` and `regularization: auto`, and the scales, by all clips.

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
    full = _with_synthetic(vectors, domains, settings, seed)
    if settings.domains == "pooled":
        pooled = densities.with_regularization(np.concatenate(list(full.values())), settings, seed)
        return Shared(dict.fromkeys(DOMAINS, pooled), dict.fromkeys(DOMAINS, 1.0))
    projection = _projection(vectors, domains, settings)
    of_domains = {
        domain: densities.with_regularization(own, settings, seed, projection=projection)
        for domain, own in full.items()
    }
    if settings.domains == "minimum":
        return Shared(of_domains, dict.fromkeys(DOMAINS, 1.0))
    scales = {
        domain: _scale(domain, vectors, domains, chosen, seed, recordings) for domain, chosen in of_domains.items()
    }
    return Shared(of_domains, scales)


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
    shared = prepared(vectors, of_clips, settings, seed, recordings)
    scores = np.empty(len(vectors))
    for held_out in folds_of(of_clips, seed, recordings):
        rest = np.delete(np.arange(len(vectors)), held_out)
        density = fit(vectors[rest], of_clips[rest], settings, seed, shared=shared)
        scores[held_out] = densities.score_in_chunks(density, vectors[held_out])
    return fit(vectors, of_clips, settings, seed, shared=shared), scores


def folds_of(domains: np.ndarray, seed: int, recordings: Sequence[str] | None) -> list[np.ndarray]:
    """Indices of the clips that are left out together: the n-th fold of each domain."""
    folds: dict[int, list[int]] = {}
    for domain in DOMAINS:
        rows = np.flatnonzero(domains == domain)
        for number, fold in enumerate(densities.folds_of(len(rows), seed, _chosen(recordings, rows))):
            folds.setdefault(number, []).extend(rows[fold].tolist())
    return [np.array(sorted(fold)) for fold in folds.values()]


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
    projection = _projection(vectors, domains, settings)
    scores = []
    for held_out in densities.folds_of(len(own), seed, _chosen(recordings, rows)):
        rest = _extended(domain, np.delete(own, held_out, axis=0), settings, seed)
        scores.append(
            densities.score_in_chunks(densities.fit(rest, settings, seed, projection=projection), own[held_out])
        )
    mean = float(np.concatenate(scores).mean())
    return mean if mean > 0 else 1.0  # all clips are the same


def _projection(vectors: np.ndarray, domains: np.ndarray, settings: Scorer) -> np.ndarray:
    return densities.shared_projection([vectors[domains == domain] for domain in DOMAINS], settings)


def _chosen(recordings: Sequence[str] | None, rows: np.ndarray) -> list[str] | None:
    return None if recordings is None else [recordings[row] for row in rows.tolist()]


def _of_recordings(names: Sequence[str]) -> str:
    """The number of recordings, of clips that share some; otherwise empty."""
    count = len(set(names))
    return f" in {count} recording{'s' * (count > 1)}" if count < len(names) else ""


def _smallest_rest(recordings: Sequence[str]) -> int:
    """Number of clips that are left where the largest fold is left out; 0 if there is but one recording."""
    if len(set(recordings)) < 2:
        return 0
    folds = densities.folds_of(len(recordings), 0, recordings)  # the sizes are those of any seed
    return len(recordings) - max(len(fold) for fold in folds)


def _with_synthetic(vectors: np.ndarray, domains: np.ndarray, settings: Scorer, seed: int) -> dict[str, np.ndarray]:
    """Vectors by domain, with the synthetic ones."""
    return {domain: _extended(domain, vectors[domains == domain], settings, seed) for domain in DOMAINS}


def _extended(domain: str, vectors: np.ndarray, settings: Scorer, seed: int) -> np.ndarray:
    """Vectors of a domain, followed by the synthetic ones of the target domain."""
    if domain != "target" or not settings.target_smote or settings.target_smote == "auto":
        return vectors
    return np.concatenate([vectors, neighbors.synthetic(vectors, settings.target_smote, seed)])
