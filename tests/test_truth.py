"""Scores of any system by labels from elsewhere, by the real command line; areas are scikit-learn's."""

import csv
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from ganad_tf.cli import main


def write(path: Path, rows: list[tuple]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def clips(key: str, count: int = 40, seed: int = 0) -> list[tuple[str, int, float]]:
    """Names, labels and scores."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation([0, 1] * (count // 2))
    return [(f"{key}_{n:04d}.wav", int(label), label + rng.normal()) for n, label in enumerate(labels)]


def areas(of_clips: list[tuple[str, int, float]]) -> list[float]:
    _, labels, scores = zip(*of_clips, strict=True)
    return [roc_auc_score(labels, scores), roc_auc_score(labels, scores, max_fpr=0.1)]


def table(path: Path) -> dict[tuple[str, str], list[float]]:
    """AUC and pAUC by machine type and ID, from the file of the table."""
    found, machine = {}, ""
    for row in csv.reader(path.read_text().splitlines()):
        if len(row) == 1:
            (machine,) = row
        elif len(row) == 3 and row[0] != "id":
            found[machine, row[0]] = [float(row[1]), float(row[2])]
        elif len(row) == 7 and (row[0].isdecimal() or row[0] == "arithmetic mean"):  # as in 2021
            key = f"{row[0]} {row[1]}".strip().replace("arithmetic mean", "Average")
            found[machine, key] = [float(row[2]), float(row[3])]
    return found


def evaluate(*words: object) -> int:
    return main.main(["evaluate", *map(str, words)])


# Names of the files of each year's challenge: ground truth, scores, machine type and key of the table.
YEARS = {
    "2021": (
        "ground_truth_fan_section_03_source_test.csv",
        "anomaly_score_fan_section_03_source_test.csv",
        "03 source",
    ),
    "2022": ("ground_truth_fan_section_03_test.csv", "anomaly_score_fan_section_03_test.csv", "03"),
    "2023": (
        "ground_truth_data/ground_truth_fan_section_00_test.csv",
        "anomaly_score_DCASE2023T2fan_section_00_test_seed13711_id(0_)_Eval.csv",
        "00",
    ),
}


@pytest.mark.parametrize("year", YEARS)
def test_the_challenge_s_folders_of_labels(tmp_path, capsys, year):
    """The same file names for two machine types, with other labels."""
    truth, scores, key = YEARS[year]
    expected = {}
    for seed, machine in enumerate(("fan", "ToyTank")):
        of_clips = clips("section_00", seed=seed)
        write(tmp_path / "truth" / truth.replace("fan", machine), [clip[:2] for clip in of_clips])
        write(tmp_path / "team" / scores.replace("fan", machine), [clip[::2] for clip in of_clips])
        write(tmp_path / "team" / f"decision_result_{machine}_section_00_test.csv", [(clip[0], 0) for clip in of_clips])
        expected[machine, key] = expected[machine, "Average"] = areas(of_clips)
    out = tmp_path / "result.csv"
    assert evaluate("--truth", tmp_path / "truth", "--scores", tmp_path / "team", "--out", out) == 0
    found = table(out)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-12)
    printed = capsys.readouterr().out
    assert f"fan           {key:<9}{100 * expected['fan', key][0]:>7.2f}" in printed


def test_the_list_of_2020_leaves_scores_of_development_data_out(tmp_path, caplog):
    rows, expected = [], {}
    for machine in ("fan", "pump"):
        rows.append((machine,))
        for key in ("id_01", "id_03"):
            of_clips = clips(key, seed=len(rows))
            rows += [(name, f"{('normal', 'anomaly')[label]}_{name}", label) for name, label, _ in of_clips]
            write(tmp_path / "result" / f"anomaly_score_{machine}_{key}.csv", [clip[::2] for clip in of_clips])
            expected[machine, key[3:]] = areas(of_clips)
    write(tmp_path / "result" / "anomaly_score_fan_id_00.csv", [("normal_id_00_00000000.wav", 1.0)])
    truth = write(tmp_path / "eval_data_list.csv", rows)
    assert evaluate("--truth", truth, "--scores", tmp_path / "result", "--out", tmp_path / "out.csv") == 0
    assert "anomaly_score_fan_id_00.csv; it is left out" in caplog.text
    found = table(tmp_path / "out.csv")
    for name, values in expected.items():
        assert found[name] == pytest.approx(values, abs=1e-12)
    assert found["fan", "Average"][0] == pytest.approx((expected["fan", "01"][0] + expected["fan", "03"][0]) / 2)


def test_any_list_and_any_system_s_files(tmp_path, capsys):
    """With headers, labels in words, and a byte-order mark, as spreadsheets write them."""
    of_clips = clips("morning/recording")
    lines = [("file", "label"), *((name, ("normal", "Anomaly")[label]) for name, label, _ in of_clips)]
    truth = write(tmp_path / "labels.csv", lines)
    truth.write_bytes(b"\xef\xbb\xbf" + truth.read_bytes())
    write(tmp_path / "theirs" / "my pump.csv", [("file", "score"), *(clip[::2] for clip in of_clips)])
    assert evaluate("--truth", truth, "--scores", tmp_path / "theirs") == 0
    assert f"my pump                {100 * areas(of_clips)[0]:>7.2f}" in capsys.readouterr().out


def refused(tmp_path: Path, capsys, labels: list[tuple], scores: list[tuple]) -> str:
    """The sentence, without the folder's name."""
    truth = write(tmp_path / "labels.csv", labels)
    write(tmp_path / "scores" / "fan.csv", scores)
    assert evaluate("--truth", truth, "--scores", tmp_path / "scores") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.replace(f"{tmp_path}/", "")


BOTH = [("a.wav", 0), ("b.wav", 1)]


@pytest.mark.parametrize(
    ("labels", "scores", "said"),
    [
        (BOTH, [("a.wav", 1.0)], "1 have a label, but no score, such as b.wav"),
        (BOTH, [("a.wav", 1.0), ("b.wav", 2), ("c.wav", 2)], "1 have a score, but no label, such as c.wav"),
        (BOTH, [("x.wav", 1.0)], "None of the scores in scores is of a clip that labels.csv labels"),
        (BOTH, [("a.wav", 1.0), ("b.wav", "nan")], "Expected `file name,score` in line 2 of scores/fan.csv"),
        (BOTH, [("a.wav", 1.0), ("a.wav", 2.0)], "Expected one score per clip in scores/fan.csv"),
        ([*BOTH, ("a.wav", 1)], [("a.wav", 1.0)], "each file once, in line 3 of labels.csv. Received: 'a.wav,1'"),
        ([("a.wav", 0), ("b.wav", 2)], [("a.wav", 1.0)], "with label 0 or 1, each file once, in line 2"),
        ([], [("a.wav", 1.0)], "Expected `file,label` lines in labels.csv"),
        ([("a.wav", 0), ("fan",), ("b.wav", 1)], [("a.wav", 1.0)], "Expected `file,label` lines in labels.csv"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, capsys, labels, scores, said):
    assert said in refused(tmp_path, capsys, labels, scores)


@pytest.mark.parametrize("place", [".", "../truth"])
def test_the_folder_of_labels_may_be_that_of_the_command(tmp_path, monkeypatch, place):
    of_clips = clips("section_00")
    write(tmp_path / "truth" / "ground_truth_fan_section_00_test.csv", [clip[:2] for clip in of_clips])
    write(tmp_path / "team" / "anomaly_score_fan_section_00_test.csv", [clip[::2] for clip in of_clips])
    monkeypatch.chdir(tmp_path / "truth")
    assert evaluate("--truth", place, "--scores", "../team") == 0


@pytest.mark.parametrize(("damaged", "said"), [("labels", "the labels in"), ("scores", "the scores in")])
def test_a_quotation_mark_without_its_counterpart_is_one_sentence(tmp_path, capsys, damaged, said):
    """The rest of the file is one cell then, longer than Python reads."""
    files = {"labels": write(tmp_path / "labels.csv", BOTH), "scores": write(tmp_path / "scores" / "fan.csv", BOTH)}
    files[damaged].write_text('"a.wav,0\n' + "b.wav,1\n" * 20_000)
    assert evaluate("--truth", files["labels"], "--scores", tmp_path / "scores") == 2
    error = capsys.readouterr().err
    assert f"Can't read {said}" in error
    assert error.count("\n") == 1


def test_a_group_of_a_folder_must_be_scored_whole(tmp_path, capsys):
    of_clips = clips("section_00")
    write(tmp_path / "truth" / "ground_truth_fan_section_00_test.csv", [clip[:2] for clip in of_clips])
    write(tmp_path / "team" / "anomaly_score_fan_section_00_test.csv", [clip[::2] for clip in of_clips[1:]])
    assert evaluate("--truth", tmp_path / "truth", "--scores", tmp_path / "team") == 2
    assert "1 have a label, but no score, such as section_00_0000.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected CONFIG.yaml alone, or --truth and --scores"),
        (["--truth", "labels.csv"], "Expected --scores, and --truth unless"),
        (["fan.yaml", "--truth", "labels.csv", "--scores", "."], "They take no CONFIG.yaml"),
        (
            ["--truth", "nothing.csv", "--scores", "."],
            "Can't read the labels in nothing.csv: No such file",
        ),
        (["--truth", ".", "--scores", "."], "Expected files ground_truth_*.csv in ., but there are none."),
    ],
)
def test_wrong_arguments_are_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert evaluate(*words) == 2
    assert said in capsys.readouterr().err
