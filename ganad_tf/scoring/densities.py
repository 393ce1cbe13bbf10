"""Densities of normal clips' vectors, by which new vectors are scored: fitted by scikit-learn, run by TensorFlow.

Densities need nothing but the vectors: no labels, no machine IDs. Those of distances and likelihoods standardise the
vectors first; with `whiten`, they decorrelate them too. Those of cosines take them as they are.

Mixtures of pooled vectors are also those of TWFR-GMM (Guan et al., ICASSP 2023), for spectra pooled by rank, and of
UD-ASD (Gao et al., Interspeech 2026), for a diffusion model's pooled residual; shrinkage and whitening are ours.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import sklearn.cluster
import sklearn.covariance
import tensorflow as tf
from threadpoolctl import threadpool_limits

from ganad_tf import splits
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import usable_deviation
from ganad_tf.scoring import neighbors, regularization

SMALLEST_VARIANCE = 1e-6  # of standardised values; smaller ones are within the rounding of float32
AT_ONCE = 32  # vectors scored together
FOLDS = 10  # of the cross-validation on training vectors

Kind = Literal["mahalanobis", "gmm", "knn", "cosine_knn", "cosine_kmeans"]


@dataclass(frozen=True)
class Density:
    """A fitted density: a TensorFlow function with constants.

    Attributes:
      kind: `mahalanobis`, `gmm`, `knn`, `cosine_knn` or `cosine_kmeans`.
      arrays: Constants, float32. `mean` `[dims]` and `projection` `[dims, dims]` standardise (and whiten) a
        vector; `factors` `[components, dims, dims]`, `means` `[components, dims]` and `offsets`
        `[components]` are those of `mahalanobis` (one component) and `gmm`; `neighbors` `[references, dims]`, `count`
        `[]` and, with `scorer.local_density`, `scales` `[references]` are those of `knn`. `neighbors` and `count` are
        also those of `cosine_knn`, vectors of length 1, and of `cosine_kmeans`, centres of clusters. `regularization`
        `[]`, with which `gmm` was fitted, is only recorded.
    """

    kind: Kind
    arrays: Mapping[str, np.ndarray]

    def __call__(self, vectors: tf.Tensor) -> tf.Tensor:
        """Scores vectors by their distance from the normal ones.

        mahalanobis: `|F' (z - m)|^2`, the squared distance; gmm: `-log sum_k exp(o_k - |F_k' (z - m_k)|^2 / 2)`,
        the negative log-likelihood relative to an upper bound of the mixture's density, so that it is never
        negative; knn: the mean Euclidean distance to the nearest training vectors, each distance divided by the
        local scale about its training vector where there are scales; cosine_knn: the mean of one minus the cosine of
        the angle to them; cosine_kmeans: one minus the largest scalar product of the vector, at length 1, and a centre,
        whose length is below 1 (Wilkinghoff 2023).

        Args:
          vectors: `[batch, dims]` float32.

        Returns:
          `[batch]` float32, at least 0; higher is more unusual.
        """
        if self.kind in ("cosine_knn", "cosine_kmeans"):
            cosines = tf.matmul(tf.math.l2_normalize(vectors, axis=-1), self.arrays["neighbors"], transpose_b=True)
            return tf.maximum(self._mean_of_nearest(1 - cosines), 0.0)
        projected = tf.matmul(vectors - self.arrays["mean"], self.arrays["projection"])
        if self.kind == "knn":
            offsets = projected[:, tf.newaxis] - self.arrays["neighbors"]  # [batch, references, dims]
            distances = tf.sqrt(tf.reduce_sum(tf.square(offsets), axis=-1))
            if "scales" in self.arrays:
                distances = distances / self.arrays["scales"]
            return self._mean_of_nearest(distances)
        centred = projected[:, tf.newaxis] - self.arrays["means"]  # [batch, components, dims]
        whitened = tf.einsum("bkd,kde->bke", centred, self.arrays["factors"])
        squared = tf.reduce_sum(tf.square(whitened), axis=-1)  # [batch, components]
        if self.kind == "mahalanobis":
            return squared[:, 0]
        return -tf.reduce_logsumexp(self.arrays["offsets"] - squared / 2, axis=-1)

    def _mean_of_nearest(self, distances: tf.Tensor) -> tf.Tensor:
        """`[batch, clips]` → `[batch]`."""
        return -tf.reduce_mean(tf.math.top_k(-distances, k=int(self.arrays["count"])).values, axis=-1)


def min_training_clips(settings: Scorer) -> int:
    """Minimum number of training clips for the density and for its cross-validation."""
    base = fewest_vectors(settings)
    clips = base + 1
    while clips - _largest_fold(clips) < base:
        clips += 1
    return clips


def fewest_vectors(settings: Scorer) -> int:
    """Minimum number of vectors that the density can be fitted to."""
    if settings.density in ("gmm", "cosine_kmeans"):
        return max(2, settings.components)
    if settings.density == "cosine_knn":
        return max(2, settings.neighbors)
    if settings.density == "knn":
        return max(2, settings.neighbors, settings.local_density + 1)
    return 2


def fit(vectors: np.ndarray, settings: Scorer, seed: int, *, projection: np.ndarray | None = None) -> Density:
    """Fits the density that the section `scorer` describes.

    Args:
      vectors: Of normal clips, `[clips, dims]`; residuals are in dB.
      settings: Which density.
      seed: Of the Gaussian mixture's starting point, and of synthetic neighbours.
      projection: `[dims, dims]`, which standardises (and whitens) the vectors; None for that of these vectors.

    Raises:
      DataError: If a Gaussian mixture does not come to an end.
    """
    # On matrices as small as these, threads of linear algebra wait for one another: a tenth of the speed on two cores.
    with threadpool_limits(1, user_api="blas"):
        return _fit(np.asarray(vectors, np.float64), settings, seed, projection)


def shared_projection(groups: Sequence[np.ndarray], settings: Scorer) -> np.ndarray:
    """Projection that standardises (and whitens) vectors by their deviations from the mean of their group.

    Args:
      groups: Vectors of each group, `[clips, dims]`.
      settings: The section `scorer`.

    Returns:
      `[dims, dims]`, for `fit`.
    """
    with threadpool_limits(1, user_api="blas"):
        values = [np.asarray(group, np.float64) for group in groups]
        return _projection(np.concatenate([group - group.mean(axis=0) for group in values]), settings)


def _fit(values: np.ndarray, settings: Scorer, seed: int, projection: np.ndarray | None) -> Density:
    if settings.density in ("cosine_knn", "cosine_kmeans"):
        units = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        if settings.density == "cosine_knn":
            return _frozen("cosine_knn", {"neighbors": units, "count": np.asarray(settings.neighbors)})
        clusters = sklearn.cluster.KMeans(settings.components, n_init=10, random_state=seed).fit(units)
        return _frozen("cosine_kmeans", {"neighbors": clusters.cluster_centers_, "count": np.asarray(1)})
    mean = values.mean(axis=0)
    if projection is None:
        projection = _projection(values, settings)
    projected = (values - mean) @ projection
    return _frozen(settings.density, {"mean": mean, "projection": projection, **_fitted(projected, settings, seed)})


def _projection(values: np.ndarray, settings: Scorer) -> np.ndarray:
    """`[dims, dims]`: divides by the deviations of `values` and, with `scorer.whiten`, decorrelates them too."""
    projection = np.diag(1 / usable_deviation(values.std(axis=0)))
    if not settings.whiten:
        return projection
    return projection @ _factor(_covariance((values - values.mean(axis=0)) @ projection, settings))


def with_regularization(
    vectors: np.ndarray, settings: Scorer, seed: int, *, projection: np.ndarray | None = None
) -> Scorer:
    """The settings with a number for `regularization: auto`, chosen once for all folds of a cross-validation.

    Arguments are those of `fit`.
    """
    if settings.density != "gmm" or settings.regularization != "auto":
        return settings
    fitted = fit(vectors, settings, seed, projection=projection)
    return replace(settings, regularization=float(fitted.arrays["regularization"]))


def score_in_chunks(density: Callable[[tf.Tensor], tf.Tensor], vectors: np.ndarray) -> np.ndarray:
    """Scores many vectors, `[clips, dims]` → `[clips]` or `[clips, ids]`.

    In chunks, because nearest neighbours take much memory.
    """
    parts = [vectors[start : start + AT_ONCE] for start in range(0, len(vectors), AT_ONCE)]
    return np.concatenate([density(tf.constant(part, tf.float32)).numpy() for part in parts])


def cross_validated_scores(
    vectors: np.ndarray, settings: Scorer, seed: int, recordings: Sequence[str] | None = None
) -> np.ndarray:
    """Scores each normal clip by a density fitted without the clip's fold, `[clips, dims]` → `[clips]`.

    A density gives lower scores to the clips it was fitted on (the nearest neighbour of a training clip is the clip
    itself), so that a threshold from those scores would be too low; other clips of the same recording have the same
    effect. The network, which was trained on the clip, is not trained again: where it overfits a few training clips,
    their scores are still too low.

    Args:
      vectors: Of normal clips, `[clips, dims]`, in dB.
      settings: Which density.
      seed: Of the folds and the fits.
      recordings: Name of each clip's recording, which is left out as a whole; None if all clips stand alone.

    Raises:
      DataError: If there are fewer than two recordings, or a Gaussian mixture does not come to an end.
    """
    settings = with_regularization(vectors, settings, seed)
    scores = np.empty(len(vectors))
    for held_out in folds_of(len(vectors), seed, recordings):
        density = fit(np.delete(vectors, held_out, axis=0), settings, seed)
        scores[held_out] = score_in_chunks(density, vectors[held_out])
    return scores


def folds_of(n_clips: int, seed: int, recordings: Sequence[str] | None) -> list[np.ndarray]:
    """Folds of the cross-validation: indices of the clips that are left out together."""
    return splits.folds(recordings if recordings is not None else [str(index) for index in range(n_clips)], FOLDS, seed)


def _fitted(projected: np.ndarray, settings: Scorer, seed: int) -> dict[str, np.ndarray]:
    """Constants of the density, fitted to projected vectors `[clips, dims]`."""
    if settings.density == "knn":
        return neighbors.arrays(projected, settings, seed)
    if settings.density == "mahalanobis":
        factor = _factor(_covariance(projected, settings))
        return {"means": projected.mean(axis=0)[None], "factors": factor[None], "offsets": np.zeros(1)}
    if settings.regularization == "auto":
        varied = projected[:, ~_is_constant(projected)]
        settings = replace(settings, regularization=regularization.chosen(varied, settings, seed))
    try:
        mixture = regularization.fit_mixture(projected, settings, seed)
    except ValueError as error:
        raise DataError(
            f"A Gaussian mixture of `scorer.components: {settings.components}` with `scorer.regularization: "
            f"{settings.regularization}` can't be fitted to {len(projected)} clips; raise the regularization."
        ) from error
    is_constant = _is_constant(projected)
    factors = mixture.precisions_cholesky_
    factors[:, is_constant, is_constant] = 1.0  # variance 1, as `_covariance` has it
    peaks = np.log(mixture.weights_) + np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(axis=1)
    offsets = peaks - np.logaddexp.reduce(peaks)
    recorded = np.asarray(settings.regularization)
    return {"means": mixture.means_, "factors": factors, "offsets": offsets, "regularization": recorded}


def _covariance(projected: np.ndarray, settings: Scorer) -> np.ndarray:
    """Shrunk covariance, `[dims, dims]`.

    Dimensions without variance get variance 1, so that they cannot dominate the distance.
    """
    if settings.shrinkage == "auto":
        covariance = sklearn.covariance.LedoitWolf().fit(projected).covariance_
    else:
        covariance = sklearn.covariance.ShrunkCovariance(shrinkage=settings.shrinkage).fit(projected).covariance_
    is_constant = _is_constant(projected)
    covariance[is_constant, is_constant] = 1.0
    return np.asarray(covariance)


def _is_constant(projected: np.ndarray) -> np.ndarray:
    """Dimensions without variance, `[dims]` of bool."""
    return np.asarray(projected.var(axis=0) < SMALLEST_VARIANCE)


def _factor(covariance: np.ndarray) -> np.ndarray:
    """`F` with `F F' = covariance^-1`: its columns are the principal axes divided by their standard deviations."""
    variances, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(np.maximum(variances, SMALLEST_VARIANCE))


def _largest_fold(clips: int) -> int:
    return -(-clips // min(FOLDS, clips))


def _frozen(kind: Kind, arrays: Mapping[str, np.ndarray]) -> Density:
    return Density(kind, {name: np.asarray(array, np.float32) for name, array in arrays.items()})
