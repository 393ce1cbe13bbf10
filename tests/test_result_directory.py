"""Files of a result directory: their names, and that scores are never taken for complete before they are."""

import json
import math

import pytest

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.errors import DataError
from ganad_tf.results import score_files
from ganad_tf.results.directory import MachineResults, ResultDirectory
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import NormalScores
from ganad_tf.run import MachineRun

SCORES = {"00": [ClipScore("a.wav", 0.5), ClipScore('b, "größe".wav', 1e-17)], "02": [ClipScore("c.wav", 2.0)]}
TRAIN = [ClipScore("t.wav", 0.25)]
CALIBRATION = [ClipScore(f"c{score}.wav", float(score)) for score in range(1, 4)]
NORMAL = NormalScores(TRAIN, CALIBRATION)
ORIGIN = {"settings": {"seed": 0}, "command": "ganad score"}


@pytest.fixture
def results(tmp_path):
    return MachineResults(tmp_path / "result", "dev", "fan")


def test_names_are_the_challenges(tmp_path):
    config = configuration.from_mapping({"result_directory": str(tmp_path), "result_file": "areas.csv"}, source="test")
    results = MachineResults.of(MachineRun(config, Listing("fan", tmp_path, ()), "eval"))
    assert results.scores("01") == tmp_path / "anomaly_score_fan_id_01.csv"
    assert results.decisions("01") == tmp_path / "decision_result_fan_id_01.csv"
    assert results.origin == tmp_path / "score_origin_eval_fan.json"
    assert len(set(results.files(["01", "02"]))) == 5 + 2 * 4
    directory = ResultDirectory.of(config)
    assert directory.table == tmp_path / "areas.csv"
    assert directory.paper.table == tmp_path / "paper" / "areas.csv"


def test_scores_and_decisions_are_read_as_they_were_written(results):
    not_judged = {"d.wav": "clipped", 'e, "ä".wav': "level 18 dB below the training recordings"}
    results.write(SCORES, NORMAL, ORIGIN, threshold=0.5, not_judged=not_judged)
    assert results.read_not_judged() == not_judged
    for machine_id, scores in SCORES.items():
        assert score_files.read_scores(results.scores(machine_id)) == scores
    assert score_files.read_scores(results.train_scores) == TRAIN
    assert results.decisions("00").read_text() == 'a.wav,0\n"b, ""größe"".wav",0\n'  # not above the threshold
    assert results.decisions("02").read_text() == "c.wav,1\n"
    assert results.p_values("00").read_text() == 'a.wav,1.0\n"b, ""größe"".wav",1.0\n'
    assert results.p_values("02").read_text() == "c.wav,0.75\n"  # two of three are at least 2, and it counts itself
    assert results.normal_scores() == NORMAL
    assert results.read_origin() == {**ORIGIN, "is_complete": True}
    assert set(results.directory.iterdir()) == set(results.files([*SCORES])) - {
        results.unfinished,
        *map(results.recording_scores, SCORES),  # none was cut
    }


def test_decisions_go_with_the_threshold(results):
    results.write(SCORES, NORMAL, ORIGIN, threshold=0.5)
    results.write(SCORES, NORMAL, ORIGIN)
    assert not list(results.directory.glob("decision_result_*"))
    results.write(SCORES, NormalScores(TRAIN), ORIGIN)
    assert not [*results.directory.glob("p_value_*"), *results.directory.glob("calibration_*")]


def test_reasons_go_once_everything_is_judged(results):
    results.write(SCORES, NORMAL, ORIGIN, not_judged={"d.wav": "clipped"})
    results.write(SCORES, NORMAL, ORIGIN)
    assert results.read_not_judged() == {}
    assert not results.not_judged.exists()
    results.not_judged.write_text("d.wav\n")
    with pytest.raises(DataError, match="run `ganad score` again"):
        results.read_not_judged()


def test_scores_of_which_some_are_missing_are_not_taken_for_complete(results):
    """As after a kill: the last file tells that the others are there, and is taken back before any of them changes."""
    results.write(SCORES, NORMAL, ORIGIN, threshold=0.5)
    before = results.scores("00").read_text()
    spoilt = {"00": [ClipScore("a.wav", 9.0)], "02": [ClipScore("c.wav", math.nan)]}
    with pytest.raises(
        DataError, match=r"anomaly score of c\.wav is nan, not a number to rank by; nothing was written"
    ):
        results.write(spoilt, NORMAL, ORIGIN, threshold=0.5)
    assert results.scores("00").read_text() != before
    with pytest.raises(DataError, match=r"were not all written; run `ganad score` again"):
        results.read_origin()
    assert not list(results.directory.glob("decision_result_*"))


def test_an_origin_that_cannot_be_read_is_a_sentence_and_none_is_none(results):
    assert results.read_origin() is None
    results.write(SCORES, NORMAL, ORIGIN)
    for content in ("", "{", "[]", json.dumps({"is_complete": True})):
        results.origin.write_text(content)
        with pytest.raises(DataError, match=r"score_origin_dev_fan\.json can't be read .*; run `ganad score` again"):
            results.read_origin()


def test_a_directory_lists_its_machine_types_development_data_first(tmp_path):
    for mode, machine in (("eval", "fan"), ("dev", "pump"), ("dev", "eval_fan"), ("eval", "a_dev")):
        MachineResults(tmp_path, mode, machine).write({}, NormalScores([]), ORIGIN)
    found = [(each.mode, each.machine) for each in ResultDirectory(tmp_path).machines()]
    assert found == [("dev", "eval_fan"), ("dev", "pump"), ("eval", "a_dev"), ("eval", "fan")]


@pytest.mark.parametrize("line", ["a.wav", "a.wav,x", "a.wav,nan", "a.wav,1,2", ""])
def test_a_line_that_is_no_score_is_named_by_its_number(tmp_path, line):
    path = tmp_path / "scores.csv"
    path.write_text(f"b.wav,0.5\n{line}\nc.wav,1\n")
    with pytest.raises(DataError, match=r"Expected `file name,score` in line 2 of .*scores\.csv"):
        score_files.read_scores(path)
