"""Official scores of DCASE Task 2 since 2021: the evaluators' published figures, scikit-learn, hand arithmetic."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import hmean
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from ganad_tf.cli import main
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.config.sections import Dataset
from ganad_tf.errors import DataError
from ganad_tf.results import compare, official, official_files, official_table, score_files
from ganad_tf.results.official import DomainResult, Section, SectionResult
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import machine_runs

# AUC (source), AUC (target) and pAUC of each machine type, and what follows from them, as the README files of
# nttcslab/dcase2023_task2_evaluator and those of 2024 and 2025 print them for the baseline.
PUBLISHED = {
    2023: (
        [0.6667348190554078, 0.706837186424004, 0.69428983714698, 0.7968, 0.77, 0.7212, 0.8816],
        [0.48287671232876717, 0.5516569200779727, 0.5604118104118104, 0.561, 0.4716, 0.6468, 0.4532],
        [
            0.5091087658743451,
            0.5846166760294185,
            0.5491654428600755,
            0.5368421052631579,
            0.5178947368421053,
            0.5826315789473684,
            0.5947368421052631,
        ],
        {"score": 0.5925469043549957, "harmonic": 0.6152996272906976, "arithmetic": 0.6403576632460674}
        | {"source": 0.7423494890244248, "target": 0.5253826834789426, "pauc": 0.5517419647782388},
    ),
    2024: (
        [0.7912, 0.65, 0.6916, 0.7658, 0.8602, 0.6224, 0.7504, 0.6596, 0.707],
        [0.4796, 0.4824, 0.5374, 0.5266, 0.4388, 0.4598, 0.6948, 0.4152, 0.6352],
        [
            0.4942105263157895,
            0.5547368421052632,
            0.5010526315789474,
            0.5,
            0.5021052631578947,
            0.5163157894736842,
            0.5273684210526316,
            0.511578947368421,
            0.5557894736842105,
        ],
        {"score": 0.5650830191796572, "harmonic": 0.592492919258281, "arithmetic": 0.6204444444444445}
        | {"source": 0.7150555228086642, "target": 0.5057977147441246, "pauc": 0.5172271108149132},
    ),
    2025: (
        [0.7726, 0.8616, 0.6982, 0.5586, 0.7638, 0.7498, 0.7042, 0.729],
        [0.526, 0.4264, 0.509, 0.5548, 0.3268, 0.4042, 0.5278, 0.7904],
        [
            0.541578947368421,
            0.5184210526315789,
            0.5684210526315789,
            0.54,
            0.49105263157894735,
            0.5142105263157895,
            0.5378947368421052,
            0.7005263157894737,
        ],
        {"score": 0.5650558189601554, "pauc": 0.5459161077739156, "source": 0.719933864244911}
        | {"target": 0.4788331261490967, "arithmetic": (0.729725 + 0.508175) / 2},
    ),
}


@pytest.mark.parametrize("year", PUBLISHED)
def test_means_and_official_score_are_those_of_the_evaluators(year):
    sources, targets, paucs, expected = PUBLISHED[year]
    results = [
        SectionResult(
            f"machine {number}",
            "00",
            math.nan,
            {
                domain: DomainResult(auc, pauc, *[math.nan] * 3)
                for domain, auc in (("source", source), ("target", target))
            },
        )
        for number, (source, target, pauc) in enumerate(zip(sources, targets, paucs, strict=True))
    ]
    summary = official.summarize(results, is_2021=False)
    found = {
        "score": summary.score,
        "harmonic": summary.harmonic.auc,
        "arithmetic": summary.arithmetic.auc,
        "source": summary.by_domain["source"].auc,
        "target": summary.by_domain["target"].auc,
        "pauc": summary.harmonic.pauc,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-14)
    assert math.isnan(summary.harmonic.f1)


# The fan of the baseline, as the README of y-kawagu/dcase2021_task2_evaluator prints it.
FAN_2021 = """section,domain,AUC,pAUC,precision,recall,F1 score
03,source,0.6669,0.5273684210526316,0.6458333333333334,0.31,0.41891891891891897
04,source,0.7014,0.52,0.6097560975609756,0.25,0.3546099290780142
05,source,0.5834,0.5352631578947369,0.6041666666666666,0.29,0.3918918918918919
03,target,0.5229,0.49315789473684213,0.44680851063829785,0.21,0.2857142857142857
04,target,0.5357,0.5063157894736842,0.5925925925925926,0.32,0.41558441558441556
05,target,0.448452380952381,0.4805764411027569,0.25,0.2833333333333333,0.265625
"""
MEANS_2021 = {
    "arithmetic mean": [
        0.5764587301587302,
        0.5104469507101085,
        0.524859533465311,
        0.27722222222222226,
        0.35539074019792105,
    ],
    "harmonic mean": [
        0.5634700058286667,
        0.5097204125946903,
        0.46988231547812126,
        0.27161121188342247,
        0.3442384874315228,
    ],
}


def test_the_file_of_2021_is_read_and_written_as_the_evaluator_writes_it(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text("fan\n" + FAN_2021)
    official_table.write(tmp_path / "ours.csv", official_table.read(path), is_2021=True)
    text = (tmp_path / "ours.csv").read_text()
    assert text.startswith("fan\n" + FAN_2021)
    rows = {row[0]: row[1:] for row in csv.reader(text.splitlines()) if row}
    for name, values in MEANS_2021.items():
        for label in (name, f"{name} over all machine types, sections, and domains"):
            assert rows[label][0] == ""
            assert [float(value) for value in rows[label][1:]] == pytest.approx(values, abs=1e-14)
    assert "official score" not in rows  # the evaluator of 2021 writes none
    areas = MEANS_2021["harmonic mean"][:2]
    assert f"{hmean(areas):.6f}" in official_table.text(official_table.read(path), is_2021=True)


HEAD = (  # of the evaluators since 2022
    "section,AUC (all),AUC (source),AUC (target),pAUC,precision (source),precision (target),recall (source),"
    "recall (target),F1 score (source),F1 score (target)"
)


def random_section(machine="fan", number="00", seed=0, n_clips=60) -> Section:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_clips)
    domains = rng.choice(["source", "target"], n_clips)
    scores = labels + (domains == "target") + rng.normal(size=n_clips)
    return Section(machine, number, labels.tolist(), scores.tolist(), domains.tolist(), (scores > 1).tolist())


@pytest.mark.parametrize("year", [2021, 2022])
def test_values_are_those_of_scikit_learn(year):
    """AUC (target) of 2022 takes the normal clips of the target and the anomalies of both domains."""
    section = random_section()
    (result,) = official.evaluate([section], is_2021=year == 2021)
    labels, scores, domains, decisions = map(
        np.array, (section.labels, section.scores, section.domains, section.decisions)
    )
    for domain, row in result.domains.items():
        inside = domains == domain
        ranked = inside if year == 2021 else inside | (labels == 1)
        of_pauc = inside if year == 2021 else np.ones_like(inside)
        decided = precision_recall_fscore_support(labels[inside], decisions[inside], average="binary")[:3]
        auc = roc_auc_score(labels[ranked], scores[ranked])
        pauc = roc_auc_score(labels[of_pauc], scores[of_pauc], max_fpr=0.1)
        assert row == pytest.approx((auc, pauc, *decided), abs=1e-12)
    assert result.auc == pytest.approx(roc_auc_score(labels, scores))
    summary = official.summarize([result], is_2021=year == 2021)
    rows = list(result.domains.values())
    counted = [row.auc for row in rows] + [row.pauc for row in (rows if year == 2021 else rows[:1])]
    assert summary.score == pytest.approx(hmean(counted))


def test_a_shift_between_the_domains_by_hand():
    """Source: normal 1, anomaly 2; target: normal 3, anomaly 4. Within each domain the anomaly is above the normal."""
    section = Section("fan", "00", [0, 1, 0, 1], [1.0, 2.0, 3.0, 4.0], ["source"] * 2 + ["target"] * 2)
    (alone,) = official.evaluate([section], is_2021=True)
    assert [row[:2] for row in alone.domains.values()] == [(1.0, 1.0), (1.0, 1.0)]
    assert official.summarize([alone], is_2021=True).score == 1
    (together,) = official.evaluate([section], is_2021=False)
    # The target's normal clip, 3, is below one of the two anomalies, 2 and 4.
    assert {domain: row.auc for domain, row in together.domains.items()} == {"source": 1.0, "target": 0.5}
    # Up to a false-positive rate of 0.1 the curve stays at 1/2.
    pauc = (1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2
    assert together.domains["target"].pauc == pytest.approx(pauc)
    expected = 3 / (1 + 1 / 0.5 + 1 / pauc)
    assert official.summarize([together], is_2021=False).score == pytest.approx(expected)


def test_equal_values_of_both_domains_count_twice_in_2021_and_a_zero_is_no_division():
    rows = {"source": DomainResult(0.5, 0.6, 0, 0, 0), "target": DomainResult(1.0, 0.6, 1, 1, 1)}
    summary = official.summarize([SectionResult("fan", "00", 0.5, rows)], is_2021=True)
    assert summary.score == pytest.approx(hmean([0.5, 1.0, 0.6, 0.6]))
    assert summary.harmonic.f1 == pytest.approx(2 * np.finfo(float).eps)
    assert official.decision_values(np.array([0, 1]), np.array([False, False])) == (0.0, 0.0, 0.0)


def write(path: Path, rows: list[tuple]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))


def evaluate(*words: object) -> int:
    return main.main(["evaluate", *map(str, words)])


def sections() -> list[Section]:
    keys = [(machine, number) for machine in ("fan", "ToyCar") for number in ("00", "01")]
    return [random_section(*key, seed=seed) for seed, key in enumerate(keys)]


def clip_names(section: Section, *, anonymous: bool = False) -> list[str]:
    words = [
        "" if anonymous else f"{domain}_test_{('normal', 'anomaly')[label]}_"
        for domain, label in zip(section.domains, section.labels, strict=True)
    ]
    return [f"section_{section.number}_{word}{number:04d}.wav" for number, word in enumerate(words)]


def write_2021(folder: Path, *, decisions: bool = True) -> None:
    """Score files of development data, as the baseline of 2021 names them; labels are in the names of the clips."""
    for section in sections():
        for domain in ("source", "target"):
            rows = [
                row
                for row in zip(clip_names(section), section.domains, section.scores, section.decisions, strict=True)
                if row[1] == domain
            ]
            name = f"{section.machine}_section_{section.number}_{domain}_test.csv"
            write(folder / f"anomaly_score_{name}", [(row[0], row[2]) for row in rows])
            if decisions:
                write(folder / f"decision_result_{name}", [(row[0], int(row[3])) for row in rows])


def test_a_folder_of_2021_with_labels_in_the_names(tmp_path, capsys):
    write_2021(tmp_path / "result")
    assert evaluate("--scores", tmp_path / "result", "--out", tmp_path / "out.csv") == 0
    expected = official.evaluate(sections(), is_2021=True)
    found = official_table.read(tmp_path / "out.csv")
    assert [(r.machine, r.number, dict(r.domains)) for r in found] == [
        (r.machine, r.number, dict(r.domains)) for r in expected
    ]
    printed = capsys.readouterr().out
    summary = official.summarize(expected, is_2021=True)
    assert f"arithmetic mean         {summary.arithmetic.auc:>11.6f}{summary.arithmetic.pauc:>11.6f}" in printed
    assert f"official score          {summary.score:>11.6f}" in printed
    assert "official scores, DCASE Task 2 of 2021" in printed
    assert evaluate("--scores", tmp_path / "result", "--year", 2022) == 0  # the same files by the later rule
    score = official.summarize(official.evaluate(sections(), is_2021=False), is_2021=False).score
    assert f"official score          {score:>11.6f}" in capsys.readouterr().out
    assert evaluate("--year", 2022) == 2


def test_the_evaluator_s_folders_of_2022_and_later(tmp_path, capsys):
    """Labels and domains lie in folders beside each other; the clips' names say nothing."""
    for section in sections():
        names = clip_names(section, anonymous=True)
        file = f"{section.machine}_section_{section.number}_test.csv"
        is_target = [int(domain == "target") for domain in section.domains]
        write(tmp_path / "ground_truth_data" / f"ground_truth_{file}", list(zip(names, section.labels, strict=True)))
        write(tmp_path / "ground_truth_domain" / f"ground_truth_{file}", list(zip(names, is_target, strict=True)))
        write(tmp_path / "team" / f"anomaly_score_{file}", list(zip(names, section.scores, strict=True)))
        write(tmp_path / "team" / f"decision_result_{file}", list(zip(names, map(int, section.decisions), strict=True)))
    out = tmp_path / "team_result.csv"
    assert evaluate("--truth", tmp_path, "--scores", tmp_path / "team", "--out", out) == 0
    assert official_table.read(out) == official.evaluate(sections(), is_2021=False)
    rows = list(csv.reader(out.read_text().splitlines()))
    assert ",".join(rows[1]) == HEAD
    assert rows[0] == ["ToyCar"]
    score = official.summarize(official.evaluate(sections(), is_2021=False), is_2021=False).score
    assert [row for row in rows if row][-1] == ["official score", "", str(score)]
    assert f"{score:.6f}" in capsys.readouterr().out
    for file in (tmp_path / "ground_truth_domain").iterdir():  # without domains: the areas, and no official score
        file.unlink()
    assert evaluate("--truth", tmp_path, "--scores", tmp_path / "team", "--out", out) == 0
    assert "official score" not in capsys.readouterr().out
    assert "id,AUC,pAUC" in out.read_text()


def test_what_does_not_fit_is_one_sentence(tmp_path, capsys):
    folder = tmp_path / "result"

    def said() -> str:
        assert evaluate("--scores", folder, "--out", tmp_path / "out.csv") == 2
        assert not (tmp_path / "out.csv").exists()
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    write_2021(folder)
    decisions = folder / "decision_result_fan_section_00_source_test.csv"
    decisions.write_text(decisions.read_text().replace(",1", ",2"))
    assert "Expected a decision, 0 or 1, for each clip of anomaly_score_fan_section_00_source_test.csv" in said()
    decisions.unlink()
    assert "missing: decision_result_fan_section_00_source_test.csv" in said()
    write_2021(folder, decisions=False)
    scores = folder / "anomaly_score_fan_section_00_source_test.csv"
    twin = folder / "anomaly_score_DCASE2021T2fan_section_00_source_test_seed1.csv"
    twin.write_text(scores.read_text())
    assert f"Received: {twin.name} and {scores.name}" in said()
    twin.unlink()
    scores.write_text("section_00_source_test_0000.wav,1.0\n")
    assert "1 have neither, such as section_00_source_test_0000.wav" in said()


def runs_of(tmp_path, dataset="dcase2022", domains=None, decided=True):
    """Runs with score files in their result directory, as `ganad score` leaves them."""
    config = Config(dataset=Dataset(name=dataset), result_directory=str(tmp_path / "result"))
    listings: dict[str, list[Clip]] = {}
    for section in sections():
        names = clip_names(section)
        for name, label, domain in zip(names, section.labels, domains or section.domains, strict=True):
            clip = Clip(f"{section.machine}/test/{name}", name, section.machine, section.number, "test", label, 1, 1)
            listings.setdefault(section.machine, []).append(Clip(**{**clip.__dict__, "domain": domain}))
        stem = f"{section.machine}_id_{section.number}.csv"
        score_files.write_scores(tmp_path / "result" / f"anomaly_score_{stem}", map(ClipScore, names, section.scores))
        if decided:
            score_files.write_rows(
                tmp_path / "result" / f"decision_result_{stem}", zip(names, map(int, section.decisions), strict=True)
            )
    return machine_runs(config, [Listing(name, tmp_path, tuple(clips)) for name, clips in listings.items()], "dev")


@pytest.mark.parametrize("dataset", ["dcase2021", "dcase2022", "dcase2026"])
def test_an_experiment_s_result_file_is_that_of_the_year(tmp_path, dataset):
    official_files.evaluate_runs(runs_of(tmp_path, dataset), keep=False)
    is_2021 = dataset == "dcase2021"
    official_table.write(tmp_path / "expected.csv", official.evaluate(sections(), is_2021=is_2021), is_2021=is_2021)
    assert (tmp_path / "result" / "result.csv").read_text() == (tmp_path / "expected.csv").read_text()


def test_other_machine_types_are_kept_and_count(tmp_path):
    runs = runs_of(tmp_path)
    official_files.evaluate_runs(runs, keep=False)
    complete = (tmp_path / "result" / "result.csv").read_text()
    official_files.evaluate_runs(runs[:1], keep=True)
    assert (tmp_path / "result" / "result.csv").read_text() == complete
    (system,) = compare.read_systems([str(tmp_path / "result")])
    rows = [r for r in official.evaluate(sections(), is_2021=False) if r.machine == "fan"]
    expected = np.mean([row.auc for result in rows for row in result.domains.values()])
    assert system.areas.keys() == {"fan", "ToyCar"}
    assert system.areas["fan"].auc == pytest.approx(100 * expected)


def test_a_section_without_anomalies_is_left_out_and_stays_in_the_file(tmp_path):
    section = Section("fan", "00", [0, 0], [1.0, 2.0], ["source", "target"])
    (empty,) = official.evaluate([section], is_2021=False)
    others = official.evaluate(sections()[1:], is_2021=False)
    official_table.write(tmp_path / "result.csv", [empty], is_2021=False)
    official_table.write(tmp_path / "result.csv", others[:2], is_2021=False, keep=True)
    machines = [(result.machine, result.number) for result in official_table.read(tmp_path / "result.csv")]
    assert machines == [("ToyCar", "00"), ("ToyCar", "01"), ("fan", "00")]
    both = official.summarize([empty, *others], is_2021=False)
    assert both == official.summarize(others, is_2021=False)


def test_without_decisions_their_cells_are_empty(tmp_path):
    official_files.evaluate_runs(runs_of(tmp_path, decided=False), keep=False)
    rows = list(csv.reader((tmp_path / "result" / "result.csv").read_text().splitlines()))
    assert rows[2][0] == "00"
    assert rows[2][5:] == [""] * 6
    assert all(
        math.isnan(row.f1)
        for r in official_table.read(tmp_path / "result" / "result.csv")
        for row in r.domains.values()
    )


def test_clips_without_a_domain_are_refused_and_nothing_is_written(tmp_path):
    runs = runs_of(tmp_path, domains=["source", ""] * 30)
    with pytest.raises(DataError, match="domains source and target .* `dataset.name: dcase2022`; 120 have none"):
        official_files.evaluate_runs(runs, keep=False)
    assert not (tmp_path / "result" / "result.csv").exists()
