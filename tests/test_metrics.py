import csv

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ganad_tf.results.metrics import auc, bootstrap_interval, mean_of_defined, pauc, roc_curve


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("max_fpr", [0.01, 0.1, 0.25, 1.0])
def test_equals_scikit_learn(seed, max_fpr):
    rng = np.random.default_rng(seed)
    labels = np.append(rng.integers(0, 2, int(rng.integers(3, 400))), [0, 1])
    scores = rng.normal(labels * rng.uniform(0, 2))
    if seed % 2:
        scores = np.round(scores, 1)  # many clips with the same score
    assert auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    expected = roc_auc_score(labels, scores, max_fpr=None if max_fpr == 1 else max_fpr)
    assert pauc(labels, scores, max_fpr) == pytest.approx(expected, abs=1e-12)


def test_by_hand():
    """Normal 1, 3; anomalies 2, 4: three of four pairs are in order. The curve: (0, ½), (½, ½), (½, 1), (1, 1)."""
    labels, scores = [0, 1, 0, 1], [1, 2, 3, 4]
    assert auc(labels, scores) == 0.75
    # Up to 0.5 the area is 0.25; chance is 0.125 and the best 0.5: (1 + (0.25 - 0.125) / (0.5 - 0.125)) / 2.
    assert pauc(labels, scores, 0.5) == pytest.approx(2 / 3)


def test_all_scores_equal_is_chance():
    assert auc([0, 1, 0, 1], [5, 5, 5, 5]) == 0.5
    assert pauc([0, 1, 0, 1], [5, 5, 5, 5]) == pytest.approx(0.5)


def test_shuffled_labels_are_chance():
    rng = np.random.default_rng(0)
    values = [auc(rng.permutation([0, 1] * 200), rng.normal(size=400)) for _ in range(50)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 0], [1, 2], "Received: 2 and 0"),
        ([1, 1], [1, 2], "Received: 0 and 2"),
        ([0, 1], [1, np.nan], "Received: nan"),
        ([0, 2], [1, 2], r"Received: \[0, 2\]"),
        ([0, 1], [1, 2, 3], "as many labels as scores"),
    ],
)
def test_what_has_no_auc_is_refused(labels, scores, message):
    for metric in (roc_curve, auc, pauc):
        with pytest.raises(ValueError, match=message):
            metric(labels, scores)


@pytest.mark.parametrize("max_fpr", [0, -1, 1.5])
def test_range_of_max_fpr(max_fpr):
    with pytest.raises(ValueError, match="max_fpr"):
        pauc([0, 1], [1, 2], max_fpr)


def test_mean_of_nothing_is_not_zero():
    assert np.isnan(mean_of_defined([float("nan")]))


@pytest.mark.parametrize(("machine_id", "official"), [("01", (0.88985, 0.75205)), ("02", (0.91352, 0.82460))])
def test_equals_the_official_figures_of_mlperf_tiny(real_data, machine_id, official):
    with (real_data / "toycar_logmel" / "mlperf_tiny_scores.csv").open() as stream:
        rows = [(name, float(score)) for name, score in csv.reader(stream) if f"_id_{machine_id}_" in name]
    labels, scores = [int(name.startswith("anomaly")) for name, _ in rows], [score for _, score in rows]
    assert (auc(labels, scores), pauc(labels, scores)) == pytest.approx(official, abs=1e-5)


def test_the_bootstrap_interval_is_as_wide_as_the_area_s_spread_over_fresh_clips():
    """Hanley and McNeil's exponential formula gives the deviation of an AUC; 95 % are 3.92 of it."""
    rng = np.random.default_rng(0)
    labels = [0] * 100 + [1] * 150
    scores = np.concatenate([rng.exponential(1.0, 100), rng.exponential(2.5, 150)])
    area = auc(labels, scores.tolist())
    low, high = bootstrap_interval([(labels, scores)], auc, n_resamples=400)
    assert low < area < high
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + 149 * (q1 - area**2) + 99 * (q2 - area**2)) / (100 * 150)
    assert high - low == pytest.approx(3.92 * np.sqrt(variance), rel=0.15)


def test_more_machine_ids_make_the_bootstrap_interval_narrower():
    rng = np.random.default_rng(0)
    labels = [0] * 50 + [1] * 50
    groups = [(labels, rng.normal(np.array(labels), 1.0)) for _ in range(4)]
    one, four = (bootstrap_interval(groups[:count], pauc, n_resamples=300) for count in (1, 4))
    assert four[1] - four[0] < 0.7 * (one[1] - one[0])
