"""Nearest neighbours by local density and with synthetic ones: by hand, and by scikit-learn."""

import numpy as np
import pytest
import sklearn.neighbors
import sklearn.preprocessing
import tensorflow as tf
from test_densities import TEST, TRAIN, scored, standardised

from ganad_tf.config.sections import Scorer
from ganad_tf.scoring import compound_densities, densities, neighbors

# On a line; the distances to the nearest two others are 1 and 2, 1 and 1, 1 and 2, 8 and 8, 8 and 16.
LINE = np.array([[0.0], [1.0], [2.0], [10.0], [18.0]])


def test_a_scale_is_the_mean_distance_to_the_nearest_others():
    np.testing.assert_allclose(neighbors.local_scales(LINE, 1), [1, 1, 1, 8, 8])
    np.testing.assert_allclose(neighbors.local_scales(LINE, 2), [1.5, 1, 1.5, 8, 12])


def test_identical_vectors_have_a_small_scale_and_not_none():
    twins = np.array([[0.0], [0.0], [3.0]])
    np.testing.assert_allclose(neighbors.local_scales(twins, 1), [0.001, 0.001, 3])  # a thousandth of the mean, 1
    np.testing.assert_array_equal(neighbors.local_scales(np.zeros([3, 2]), 2), 1)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("n_local", [1, 2, 7])
def test_distances_are_divided_by_the_local_scale_as_by_scikit_learn(n_local, count):
    train, test = standardised(TRAIN, TEST)
    scales = sklearn.neighbors.NearestNeighbors(n_neighbors=n_local).fit(train).kneighbors()[0].mean(axis=1)
    distances = np.linalg.norm(test[:, np.newaxis] - train, axis=2) / scales
    expected = np.sort(distances, axis=1)[:, :count].mean(axis=1)
    found = scored(TRAIN, TEST, density="knn", neighbors=count, local_density=n_local)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_sparse_region_is_judged_by_its_own_distances():
    """Two clusters, one ten times as wide: the same step out of each is as far, and only without scales."""
    rng = np.random.default_rng(0)
    narrow, wide = rng.normal(0, 1, [100, 2]), rng.normal([200, 0], 10, [100, 2])
    train, out = np.concatenate([narrow, wide]), np.array([[0.0, 8.0], [200.0, 80.0]])
    plain, local = (scored(train, out, density="knn", local_density=n_local) for n_local in (0, 5))
    assert plain[1] / plain[0] > 4
    assert 1 / 3 < local[1] / local[0] < 3


def test_synthetic_vectors_lie_between_a_vector_and_one_of_its_five_nearest():
    train = standardised(TRAIN, TEST)[0]
    made = neighbors.synthetic(train, 3, seed=4)
    assert made.shape == (3 * len(train), train.shape[1])
    nearest = sklearn.neighbors.NearestNeighbors(n_neighbors=5).fit(train).kneighbors()[1]
    partners = set()
    for number, vector in enumerate(made):
        start = train[number // 3]
        ends = train[nearest[number // 3]]
        detours = np.linalg.norm(vector - start, axis=0) + np.linalg.norm(ends - vector, axis=1)
        excess = detours - np.linalg.norm(ends - start, axis=1)
        assert excess.min() < 1e-9  # on the way to one of them
        partners.add(int(excess.argmin()))
    assert partners == set(range(5))
    np.testing.assert_array_equal(neighbors.synthetic(train, 3, seed=4), made)
    assert not np.allclose(neighbors.synthetic(train, 3, seed=5), made)


def test_synthetic_neighbours_are_added_to_the_training_vectors():
    train, test = standardised(TRAIN, TEST)
    references = np.concatenate([train, neighbors.synthetic(train, 2, seed=0)])
    for n_local in (0, 2):
        scales = neighbors.local_scales(references, n_local) if n_local else 1.0
        expected = np.min(np.linalg.norm(test[:, np.newaxis] - references, axis=2) / scales, axis=1)
        found = scored(TRAIN, TEST, density="knn", smote=2, local_density=n_local)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert np.all(scored(TRAIN, TEST, density="knn", smote=2) <= scored(TRAIN, TEST, density="knn") + 1e-5)


def test_both_are_off_and_leave_the_record_of_a_scorer_as_it_was():
    settings = Scorer(name="density", density="knn")
    assert settings.relevant_settings() == {
        "name": "density",
        "pooling": "mean",
        "whiten": False,
        "shrinkage": "auto",
        "density": "knn",
        "neighbors": 1,
    }
    assert densities.fit(TRAIN, settings, seed=0).arrays.keys() == {"mean", "projection", "neighbors", "count"}
    both = Scorer(name="density", density="knn", local_density=2, smote=3).relevant_settings()
    assert both == settings.relevant_settings() | {"local_density": 2, "smote": 3}
    other = Scorer(name="density", density="gmm", local_density=2, smote=3)  # they have no effect
    assert other.relevant_settings() == Scorer(name="density", density="gmm").relevant_settings()


def test_the_fewest_clips_are_enough_for_a_local_density():
    settings = Scorer(name="density", density="knn", local_density=4, smote=1)
    fewest = densities.min_training_clips(settings)
    assert fewest == 6
    assert np.isfinite(densities.cross_validated_scores(TRAIN[:fewest], settings, seed=0)).all()


def test_saved_constants_give_the_same_scores():
    settings = Scorer(name="density", density="knn", local_density=2, smote=2)
    density = densities.fit(TRAIN, settings, seed=0)
    again = compound_densities.from_arrays("knn", dict(density.arrays))
    np.testing.assert_array_equal(again(tf.constant(TEST)), density(tf.constant(TEST)))


@pytest.mark.parametrize("name", ["local_density", "smote"])
def test_a_negative_number_is_refused(name):
    with pytest.raises(ValueError, match=f"expected `scorer.{name}` from 0"):
        Scorer(**{name: -1})
