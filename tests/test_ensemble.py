import math
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from conftest import write_machine

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results import conformal, ensemble, official_files, score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun, machine_runs

TRAINING = np.array([[1.0, 2.0, 3.0], [100.0, 300.0, 200.0]])  # deviations sqrt(2/3) and 100 sqrt(2/3)
SCORES = np.array([[2.0, 4.0], [300.0, 100.0]])


def scores_of(folder):
    return Path(folder, "anomaly_score_fan_id_00.csv")


def train_scores_of(folder):
    return Path(folder, "train_score_dev_fan.csv")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [(0 + 1.2247449) / 2, (2.4494897 - 1.2247449) / 2]),
        ("max", [1.2247449, 2.4494897]),
        # shares below: 1/3 and 2/3 of the first clip; 1 and 0 of the second, which lies 1 beyond the first's largest
        ("rank", [(1 / 3 + 2 / 3) / 2, (1 + 1.2247449 + 0) / 2]),
        ("p_value", [-(math.log(3 / 4) + math.log(2 / 4)) / 2, (-math.log(1 / 4) + 1.2247449 - math.log(1)) / 2]),
        ("harmonic_p_value", [-math.log(0.6), math.log((4 * math.exp(1.2247449) + 1) / 2)]),
    ],
)
def test_combinations_by_hand(how, expected):
    np.testing.assert_allclose(ensemble.combine(SCORES, TRAINING, how), expected, rtol=1e-6)


def test_weights_count_by_hand():
    scores, training = np.array([[3.0], [10.0]]), np.array([[0.0, 2.0], [0.0, 10.0]])  # z-scores 2 and 1
    assert ensemble.combine(scores, training, "mean", shares=[0.25, 0.75]).tolist() == [1.25]
    unseen = np.array([[0.0, 2.0, 3.0], [0.0, 10.0, 12.0]])
    each = ensemble.combine_each_without_itself(unseen, "mean", [1.0, 0.0])
    assert each[2] == pytest.approx((3 - 1) / 1)
    far = ensemble.combine(np.array([[1e6], [5.0]]), training, "harmonic_p_value", shares=[0.25, 0.75])
    assert far == pytest.approx(math.log(0.25 * 3) + 1e6 - 2)  # of p = e^-(1e6 - 2) / 3, which is 0 in a computer


@pytest.mark.parametrize("how", ["p_value", "harmonic_p_value"])
def test_p_values_of_dependent_members_are_calibrated_anew(how):
    """Members that hear the same clips depend on each other, but a new clip's p-value is seldom low all the same."""
    random = np.random.default_rng(0)

    def drawn(n_clips):
        clips = random.normal(size=n_clips)
        noise = 0.5 * random.normal(size=[2, n_clips])
        return np.stack([np.exp(clips + noise[0]), clips + noise[1]])

    rates = []
    for _ in range(100):
        unseen, new = drawn(40), drawn(200)
        calibration = ensemble.combine_each_without_itself(unseen, how)
        rates.append(np.mean(conformal.p_values(ensemble.combine(new, unseen, how), calibration) <= 0.1))
    assert 0.06 < np.mean(rates) < 0.1 + 2 * np.std(rates) / 10


@pytest.mark.parametrize("how", ["mean", "max", "rank", "p_value", "harmonic_p_value"])
def test_neither_scale_nor_neighbours_matter(how):
    together = ensemble.combine(SCORES, TRAINING, how)
    alone = np.concatenate([ensemble.combine(SCORES[:, [clip]], TRAINING, how) for clip in range(2)])
    np.testing.assert_allclose(alone, together)
    scale, offset = np.array([[1000.0], [0.01]]), np.array([[-5.0], [7.0]])
    np.testing.assert_allclose(
        ensemble.combine(SCORES * scale + offset, TRAINING * scale + offset, how), together, rtol=1e-9
    )


def test_a_calibration_clip_is_compared_with_the_others():
    scores = np.random.default_rng(0).normal(size=[2, 30])
    combined = ensemble.combine_each_without_itself(scores, "p_value")
    for clip in range(30):
        others = np.delete(scores, clip, axis=1)
        if (scores[:, clip] < others.max(axis=1)).all():
            p_values = [(1 + sum(others[member] >= scores[member, clip])) / 30 for member in range(2)]
            fisher = scipy.stats.combine_pvalues(p_values, method="fisher").statistic
            assert combined[clip] == pytest.approx(fisher / 4, abs=1e-12)


@pytest.fixture
def config(tmp_path):
    write_machine(tmp_path / "data", "fan", ids=("00",), n_train=6)
    mapping = {
        "dev_directory": str(tmp_path / "data"),
        "result_directory": str(tmp_path / "both"),
        "ensemble": {"members": [str(tmp_path / "a"), str(tmp_path / "b")]},
        "threshold": {"method": "quantile"},
    }
    return configuration.from_mapping(mapping, source="test")


def write_member(config, number, drop=0):
    """Score files of one member for the fan's clips, in another order for each member."""
    (listing,) = datasets.list_clips(config, "dev")
    folder = config.ensemble.members[number]
    rng = np.random.default_rng(number)
    for split, path in (
        ("test", scores_of(folder)),
        ("train", train_scores_of(folder)),
    ):
        chosen = list(listing.clips_of(split))[drop:]
        order = rng.permutation(len(chosen))
        scores = [ClipScore(chosen[index].name, 10.0**number * (1 + float(rng.random()))) for index in order]
        score_files.write_scores(path, scores)
    return listing


def test_members_are_matched_by_the_names_of_their_clips(config):
    listing = write_member(config, 0)
    write_member(config, 1)
    limit = ensemble.score_ensemble(MachineRun(config, listing, "dev"))
    combined = {score.name: score.score for score in score_files.read_scores(scores_of(config.result_directory))}
    tables = []
    for member in config.ensemble.members:
        folder = member
        training = [score.score for score in score_files.read_scores(train_scores_of(folder))]
        scores = {score.name: score.score for score in score_files.read_scores(scores_of(folder))}
        tables.append({name: (score - np.mean(training)) / np.std(training) for name, score in scores.items()})
    assert combined == pytest.approx({name: (tables[0][name] + tables[1][name]) / 2 for name in tables[0]})
    decisions = dict(
        line.split(",")
        for line in Path(config.result_directory, "decision_result_fan_id_00.csv").read_text().splitlines()
    )
    assert {name: int(score > limit) for name, score in combined.items()} == {
        name: int(value) for name, value in decisions.items()
    }


def test_members_that_were_scored_again_must_be_combined_again(config):
    listing = write_member(config, 0)
    write_member(config, 1)
    ensemble.score_ensemble(MachineRun(config, listing, "dev"))
    assert official_files.evaluate_runs(machine_runs(config, [listing], "dev"), keep=False)
    folder = config.ensemble.members[1]
    scores = score_files.read_scores(scores_of(folder))
    score_files.write_scores(
        scores_of(folder),
        [ClipScore(score.name, 2 * score.score) for score in scores],
    )
    with pytest.raises(DataError, match=r"in .*b are not those that were combined"):
        official_files.evaluate_runs(machine_runs(config, [listing], "dev"), keep=False)


def test_new_recordings_without_scores_are_not_left_out_in_silence(config, tmp_path):
    write_member(config, 0)
    write_member(config, 1)
    write_machine(tmp_path / "data", "fan", ids=("00",), n_train=6, n_test=4)
    (listing,) = datasets.list_clips(config, "dev")
    with pytest.raises(DataError, match=r"2 missing, 0 others.*on the members again"):
        ensemble.score_ensemble(MachineRun(config, listing, "dev"))


def test_a_member_whose_scoring_was_interrupted_is_refused(config):
    listing = write_member(config, 0)
    write_member(config, 1)
    folder = config.ensemble.members[0]
    score_files.write_origin(Path(folder, "score_origin_dev_fan.json"), {"settings": {}}, is_complete=False)
    with pytest.raises(DataError, match="were not all written"):
        ensemble.score_ensemble(MachineRun(config, listing, "dev"))


@pytest.mark.parametrize("members", [["a", "./a"], ["a", "both"]])
def test_an_ensemble_does_not_overwrite_its_members(members):
    with pytest.raises(ConfigError, match="another result directory for each"):
        configuration.from_mapping({"result_directory": "both", "ensemble": {"members": members}}, source="test")


def test_other_clips_or_no_scores_are_refused_and_nothing_is_written(config):
    listing = write_member(config, 0)
    with pytest.raises(DataError, match=r"Can't read the scores in .*b"):
        ensemble.score_ensemble(MachineRun(config, listing, "dev"))
    write_member(config, 1, drop=1)
    with pytest.raises(DataError, match=r"Expected the same clips in .*/b/.* as in .*/a/.*; 1 are in one of them only"):
        ensemble.score_ensemble(MachineRun(config, listing, "dev"))
    assert not scores_of(config.result_directory).exists()


def test_a_member_whose_training_scores_are_all_the_same_is_named(config):
    listing = write_member(config, 0)
    write_member(config, 1)
    path = train_scores_of(config.ensemble.members[1])
    score_files.write_scores(path, [ClipScore(score.name, 1.0) for score in score_files.read_scores(path)])
    with pytest.raises(DataError, match=r"training scores that differ in .*b, "):
        ensemble.score_ensemble(MachineRun(config, listing, "dev"))


@pytest.mark.parametrize(
    ("members", "sentence"),
    [(["a"], "two result directories or config"), (["a", 3], "a text or a section with keys for `ensemble.members`")],
)
def test_an_ensemble_of_one_or_of_numbers_is_refused(members, sentence):
    with pytest.raises(ConfigError, match=sentence):
        configuration.from_mapping({"ensemble": {"members": members}}, source="test")
