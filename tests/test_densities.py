import math

import numpy as np
import pytest
import sklearn.covariance
import sklearn.mixture
import sklearn.neighbors
import sklearn.preprocessing
import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.scoring import densities


def vectors(count, seed=0, dims=12):
    """Correlated, in two clusters, with bands of very different spread: as pooled log-mels are."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(5).normal(size=[dims, dims])
    centre = np.where(rng.integers(0, 2, [count, 1]) == 1, 3.0, -3.0)
    spread = np.geomspace(0.1, 10, dims)
    return ((rng.normal(size=[count, dims]) @ mixing + centre) * spread - 60).astype(np.float32)


def scored(train, test, **settings):
    density = densities.fit(train, Scorer(name="density", **settings), seed=0)
    return density(tf.constant(test)).numpy()


def standardised(train, test):
    scaler = sklearn.preprocessing.StandardScaler().fit(train.astype(np.float64))
    return scaler.transform(train.astype(np.float64)), scaler.transform(test.astype(np.float64))


def whitened(train, test):
    """Principal axes of the Ledoit-Wolf covariance, each divided by its deviation."""
    fitted = sklearn.covariance.LedoitWolf().fit(train)
    variances, axes = np.linalg.eigh(fitted.covariance_)
    return ((values - fitted.location_) @ axes / np.sqrt(variances) for values in (train, test))


TRAIN, TEST = vectors(80), vectors(50, seed=1)


def test_mahalanobis_is_scikit_learn_s():
    train, test = standardised(TRAIN, TEST)
    expected = sklearn.covariance.LedoitWolf().fit(train).mahalanobis(test)
    np.testing.assert_allclose(scored(TRAIN, TEST), expected, rtol=1e-4)
    train, test = whitened(train, test)
    expected = sklearn.covariance.LedoitWolf().fit(train).mahalanobis(test)
    np.testing.assert_allclose(scored(TRAIN, TEST, whiten=True), expected, rtol=1e-4)


def test_a_given_shrinkage_is_scikit_learn_s():
    train, test = standardised(TRAIN, TEST)
    expected = sklearn.covariance.ShrunkCovariance(shrinkage=0.3).fit(train).mahalanobis(test)
    np.testing.assert_allclose(scored(TRAIN, TEST, shrinkage=0.3), expected, rtol=1e-4)


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("neighbors", [1, 3])
def test_knn_is_scikit_learn_s(neighbors, whiten):
    train, test = standardised(TRAIN, TEST)
    if whiten:
        train, test = whitened(train, test)
    nearest = sklearn.neighbors.NearestNeighbors(n_neighbors=neighbors).fit(train)
    expected = nearest.kneighbors(test)[0].mean(axis=1)
    found = scored(TRAIN, TEST, density="knn", neighbors=neighbors, whiten=whiten)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize("neighbors", [1, 3])
def test_cosine_knn_is_scikit_learn_s(neighbors):
    nearest = sklearn.neighbors.NearestNeighbors(n_neighbors=neighbors, metric="cosine").fit(TRAIN)
    expected = nearest.kneighbors(TEST)[0].mean(axis=1)
    np.testing.assert_allclose(
        scored(TRAIN, TEST, density="cosine_knn", neighbors=neighbors), expected, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("components", [1, 2, 5])
def test_gmm_is_scikit_learn_s_but_for_a_constant_and_never_negative(components, whiten):
    train, test = standardised(TRAIN, TEST)
    if whiten:
        train, test = whitened(train, test)
    mixture = sklearn.mixture.GaussianMixture(components, reg_covar=0.1, random_state=0).fit(train)
    found = scored(TRAIN, TEST, density="gmm", components=components, whiten=whiten, regularization=0.1)
    expected = -mixture.score_samples(test)
    assert found.min() >= 0
    peak = mixture.weights_ @ [math.sqrt(np.linalg.det(precision)) for precision in mixture.precisions_]
    highest = np.log(peak) - len(TRAIN[0]) / 2 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, expected + highest, rtol=1e-4)


def test_a_band_that_never_changes_spoils_nothing():
    train, test = TRAIN.copy(), TEST.copy()
    train[:, 3] = test[:, 3] = -100.0
    for density in ("mahalanobis", "gmm", "knn"):
        for whiten in (False, True):
            before = scored(train, test, density=density, whiten=whiten)
            test[:, 3] += 0.5  # dB: a little in a band that never changed is a little
            after = scored(train, test, density=density, whiten=whiten)
            test[:, 3] = -100.0
            assert np.isfinite(after).all()
            assert np.median(after / before) < 1.5


def test_a_mixture_that_can_t_be_fitted_is_one_sentence():
    same = np.repeat(TRAIN[:2], 10, axis=0)
    with pytest.raises(DataError, match="`scorer.regularization: 1e-300` can't be fitted to 20 clips"):
        scored(same, TEST, density="gmm", components=2, regularization=1e-300)


def test_fewer_clips_than_bands_can_be_fitted():
    found = scored(TRAIN[:5], TEST, whiten=True)
    assert np.isfinite(found).all()
    far = scored(TRAIN[:5], TEST + 500, whiten=True)
    assert far.min() > found.max()


def test_a_clip_does_not_vouch_for_itself():
    settings = Scorer(name="density", density="knn")
    own = densities.fit(TRAIN, settings, seed=0)(tf.constant(TRAIN)).numpy()
    crossed = densities.cross_validated_scores(TRAIN, settings, seed=0)
    assert own.max() < 0.05
    assert np.median(crossed) == pytest.approx(np.median(scored(TRAIN, TEST, density="knn")), rel=0.2)


@pytest.mark.parametrize(
    ("settings", "fewest"),
    [
        ({}, 3),
        ({"density": "knn", "neighbors": 5}, 6),
        ({"density": "gmm", "components": 8}, 9),
        ({"density": "gmm", "components": 10}, 12),  # one fold of twelve clips has two
    ],
)
def test_the_fewest_clips_are_enough_and_one_less_is_not(settings, fewest):
    scorer = Scorer(name="density", regularization=0.1, **settings)
    assert densities.min_training_clips(scorer) == fewest
    assert np.isfinite(densities.cross_validated_scores(TRAIN[:fewest], scorer, seed=0)).all()
