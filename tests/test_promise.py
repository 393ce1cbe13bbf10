"""The promise of false alarms where clips are of few recordings: by hand, by the graph, and over many experiments."""

import csv
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats

from ganad_tf.config.sections import Threshold
from ganad_tf.errors import DataError, ThresholdError
from ganad_tf.results import conformal, ensemble, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import NormalScores

RATES = (0.01, 0.05, 0.07, 0.1, 0.2, 0.29, 0.5)


def by_hand(score, calibration, recordings):
    """`(1 + sum of the shares of each recording's scores at or above it) / (K + 1)`, in exact numbers."""
    groups: dict[object, list[float]] = {}
    for number, (value, name) in enumerate(zip(calibration, recordings, strict=True)):
        groups.setdefault(name or number, []).append(value)
    shares = [Fraction(sum(value >= score for value in group), len(group)) for group in groups.values()]
    return (1 + sum(shares)) / (1 + len(groups))


def drawn(seed, n_clips=60, n_names=25):
    """Scores with ties of clips of recordings of very different lengths, some of which stand alone."""
    random = np.random.default_rng(seed)
    names = [f"r{int(number)}" if number else "" for number in n_names * random.random(n_clips) ** 3]
    return random.integers(0, 30, n_clips).astype(float), names


def test_p_values_and_decisions_by_hand():
    for seed in range(5):
        calibration, names = drawn(seed)
        scores = np.arange(-1.0, 31.0, 0.5)
        exact = [by_hand(score, calibration, names) for score in scores]
        np.testing.assert_allclose(
            conformal.p_values(scores, calibration, names), [float(p) for p in exact], rtol=1e-12
        )
        fewest = min(exact)
        for rate in RATES:
            if Fraction(str(rate)) < fewest:
                with pytest.raises(ThresholdError, match=r"normal recordings .* Received: \d+ \(60 clips\)"):
                    conformal.threshold(calibration, rate, recordings=names)
                continue
            limit = conformal.threshold(calibration, rate, recordings=names)
            assert ((scores > limit) == [p <= Fraction(str(rate)) for p in exact]).all()


def test_a_rate_is_that_of_so_many_recordings():
    names = [f"rec{number // 4}" for number in range(24)]
    with pytest.raises(
        ThresholdError, match=r"least 19 normal recordings .* Received: 6 \(24 clips\); .* least 0\.143"
    ):
        conformal.threshold(range(24), 0.05, recordings=names)
    assert conformal.threshold(range(24), recordings=names) == 23  # the rate is 1/7, of the six recordings
    assert conformal.threshold(range(24), 0.2, recordings=names) == 22  # 22.5 has the p-value (1 + 1/4) / 7
    assert conformal.p_values([23.5], range(24), names) == pytest.approx(1 / 7)
    mixed = ["", "", *(["a"] * 3)]
    assert conformal.threshold([1, 2, 3, 4, 5], 0.5, recordings=mixed) == 2  # above it is one recording
    assert conformal.threshold([1, 2, 3, 4, 5], 0.4, recordings=mixed) == 4  # above 3 are two thirds, 0.6 are allowed


@pytest.mark.parametrize("false_alarms", [0.05, 0.1])
def test_confidence_is_in_the_highest_scores_of_recordings(false_alarms):
    """From the binomial distribution: so many recordings' highest scores lie below what a share of them exceeds."""
    random = np.random.default_rng(2)
    highest = random.permutation(80) + 0.0
    scores = np.concatenate([highest, highest - 100, highest - 200])
    names = [f"r{number}" for number in range(80)] * 3
    ranks = range(1, 81)
    rank = next(rank for rank in ranks if scipy.stats.binom.cdf(rank - 1, 80, 1 - false_alarms) >= 0.95)
    assert conformal.threshold(scores, false_alarms, 0.95, names) == rank - 1
    with pytest.raises(ThresholdError, match=r"at least 59 normal recordings .* Received: 40 \(120 clips\)"):
        conformal.threshold(scores[:120], 0.05, 0.95, [f"r{number // 3}" for number in range(120)])


@pytest.mark.parametrize(("n_recordings", "n_clips"), [(6, 4), (3, 10), (10, 8), (40, 5)])
def test_the_promise_holds_for_pieces_of_new_recordings(n_recordings, n_clips):
    """Recordings differ twice as much as pieces of one; each rate is that of the fewest recordings, or 5 %."""
    random = np.random.default_rng(0)
    names = [f"r{number}" for number in range(n_recordings)] * n_clips
    alpha = max(0.05, 1 / (n_recordings + 1))
    rates, strict, naive = [], [], []
    for _ in range(800):
        calibration = (random.normal(0, 2, n_recordings) + random.normal(size=[n_clips, n_recordings])).ravel()
        rates.append(conformal.threshold(calibration, alpha, recordings=names))
        naive.append(conformal.threshold(calibration, alpha))
        if n_recordings == 40:
            strict.append(conformal.threshold(calibration, 0.1, 0.95, names))
    realised, of_naive = (scipy.stats.norm.sf(limits, scale=5**0.5) for limits in (rates, naive))
    assert realised.mean() <= scipy.stats.binom.ppf(0.975, 800, alpha) / 800
    assert realised.mean() <= 1.2 * alpha
    assert realised.mean() < of_naive.mean()  # counting clips gives more
    assert realised.mean() > 0.3 * alpha
    if strict:
        assert np.mean(scipy.stats.norm.sf(strict, scale=5**0.5) > 0.1) <= scipy.stats.binom.ppf(0.975, 800, 0.05) / 800


def test_files_have_recordings_where_clips_share_them_and_earlier_files_have_none(tmp_path):
    results = MachineResults(tmp_path, "dev", "fan")
    calibration = [ClipScore(f"{name}{part}.wav", 3.0 * part, name) for name in "ab" for part in range(2)]
    calibration.append(ClipScore("c.wav", 1.0))
    results.write({"00": [ClipScore("new.wav", 2.0)]}, NormalScores(calibration[:1], calibration), {"settings": {}})
    assert results.p_values("00").read_text() == f"new.wav,{(1 + 2 * 0.5) / 4}\n"
    assert results.normal_scores().calibration == calibration
    settings = Threshold("conformal", false_alarms=0.5)
    assert results.normal_scores().threshold(settings) == 1.0
    alone = [ClipScore(clip.name, clip.score) for clip in calibration]
    score_files.write_scores(results.calibration_scores, alone)
    assert results.normal_scores().calibration == alone
    assert results.normal_scores().threshold(settings) == 1.0
    rows = list(csv.reader(results.calibration_scores.read_text().splitlines()))
    assert {len(row) for row in rows} == {2}
    results.calibration_scores.write_text("a.wav,1,a\nb.wav,1\n")
    with pytest.raises(DataError, match="Expected `file name,score,recording` in line 2"):
        results.normal_scores()


def test_an_ensembles_calibration_leaves_out_whole_recordings():
    random = np.random.default_rng(4)
    scores, names = random.normal(size=[2, 6]), ["a", "a", "", "b", "b", "b"]
    combined = ensemble.combine_each_without_itself(scores, "p_value", recordings=names)
    for number, name in enumerate(names):
        others = [other for other in range(6) if other != number and (not name or names[other] != name)]
        terms = []
        for values in scores:
            known, value = values[others], values[number]
            p_value = (1 + (known >= value).sum()) / (1 + len(known))
            terms.append(-np.log(p_value) + max(value - known.max(), 0) / known.std())
        assert combined[number] == pytest.approx(np.mean(terms), rel=1e-12)
