import numpy as np
import pytest
import scipy.stats

from ganad_tf.config.sections import Threshold
from ganad_tf.errors import DataError
from ganad_tf.results.thresholds import threshold


def test_gamma_quantile_of_gamma_distributed_scores():
    scores = scipy.stats.gamma.rvs(9, scale=2, size=20000, random_state=0)
    for quantile in (0.5, 0.9, 0.99):
        expected = scipy.stats.gamma.ppf(quantile, 9, scale=2)
        assert threshold(scores, Threshold("gamma", quantile)) == pytest.approx(expected, rel=0.02)


def test_about_the_asked_share_of_normal_clips_stays_below():
    scores = np.random.default_rng(1).normal(10, 1, 60)
    assert np.mean(scores < threshold(scores, Threshold())) == pytest.approx(0.9, abs=0.05)


def test_plain_quantile_by_hand():
    assert threshold([4.0, 1.0, 3.0, 2.0, 5.0], Threshold("quantile", 0.75)) == 4.0


@pytest.mark.parametrize(
    "scores", [[1.0, 1.0, 1.0], [0.0, 1.0], [-1.0, 2.0], [180.0, np.nextafter(180.0, 181.0)], [1.0] * 99 + [1.0 + 1e-9]]
)
def test_scores_that_no_gamma_fits_say_what_to_set(scores):
    with pytest.raises(DataError, match="threshold.method: quantile"):
        threshold(scores, Threshold())


@pytest.mark.parametrize("method", ["gamma", "quantile"])
def test_no_scores_no_threshold(method):
    with pytest.raises(DataError, match="Received: none"):
        threshold([], Threshold(method))
