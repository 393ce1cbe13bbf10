"""Reference vectors of nearest neighbours, and the scale of distances about each."""

import numpy as np
import sklearn.neighbors

from ganad_tf.config.sections import Scorer

N_PARTNERS = 5  # nearest vectors, to one of which a synthetic vector lies towards, as in SMOTE
SMALLEST_SCALE = 1e-3  # of the mean scale; that of identical vectors would be 0


def arrays(projected: np.ndarray, settings: Scorer, seed: int) -> dict[str, np.ndarray]:
    """Constants of the density `knn`.

    Args:
      projected: Vectors of normal clips, `[clips, dims]`.
      settings: The section `scorer`.
      seed: Of the synthetic vectors.

    Returns:
      `neighbors` `[references, dims]`, `count` `[]` and, with `local_density`, `scales` `[references]`.
    """
    references = np.concatenate([projected, synthetic(projected, settings.smote, seed)])
    fitted = {"neighbors": references, "count": np.asarray(settings.neighbors)}
    if settings.local_density:
        fitted["scales"] = local_scales(references, settings.local_density)
    return fitted


def synthetic(projected: np.ndarray, n_per_vector: int, seed: int) -> np.ndarray:
    """Vectors between training vectors and their neighbours, as SMOTE makes them (Chawla et al. 2002).

    x + u (y - x), with y drawn from the five nearest to x and u from [0, 1).

    Args:
      projected: `[clips, dims]`.
      n_per_vector: Number for each x.
      seed: Of y and u.

    Returns:
      `[n_per_vector * clips, dims]`.
    """
    if not n_per_vector:
        return projected[:0]
    nearest = _nearest(projected, min(N_PARTNERS, len(projected) - 1))[1]  # [clips, partners]
    rng = np.random.default_rng(seed)
    start = np.repeat(np.arange(len(projected)), n_per_vector)
    partner = nearest[start, rng.integers(nearest.shape[1], size=start.size)]
    return projected[start] + rng.uniform(size=[start.size, 1]) * (projected[partner] - projected[start])


def local_scales(references: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Mean distance of each reference to its own nearest others, `[references, dims]` → `[references]`, above 0."""
    scales = _nearest(references, n_neighbors)[0].mean(axis=1)
    mean = scales.mean()
    return np.maximum(scales, SMALLEST_SCALE * mean) if mean else np.ones(len(references))


def _nearest(vectors: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances and indices of each vector's nearest others, `[vectors, n_neighbors]`."""
    distances, indices = sklearn.neighbors.NearestNeighbors(n_neighbors=n_neighbors).fit(vectors).kneighbors()
    return distances, indices
