"""The folder of a submission: official file names and rows, the meta file, and refusals that leave nothing behind."""

import csv
from pathlib import Path

import pytest
import yaml
from conftest import tone, write_machine, write_wav
from test_official_scores import runs_of, sections

from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results import official, official_files, submission

LABEL = "Muster_INST_task2_1"


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


@pytest.mark.parametrize("year", range(2020, 2027))
def test_the_files_are_those_of_the_year(tmp_path, year):
    runs = runs_of(tmp_path, f"dcase{year}")
    folder = submission.write(runs, LABEL, tmp_path / "out", n_parameters=1000)
    assert folder == tmp_path / "out" / LABEL
    tails = {
        2020: ["id_00", "id_01"],
        2021: [f"section_{number}_{domain}_test" for number in ("00", "01") for domain in ("source", "target")],
    }.get(year, ["section_00_test", "section_01_test"])
    kinds = ["anomaly_score"] if year == 2020 else ["anomaly_score", "decision_result"]
    names = {f"{kind}_{machine}_{tail}.csv" for kind in kinds for machine in ("fan", "ToyCar") for tail in tails}
    assert {path.name for path in folder.iterdir()} == names | {f"{LABEL}.meta.yaml"}
    (section,) = [section for section in sections() if (section.machine, section.number) == ("fan", "01")]
    file = f"anomaly_score_fan_{tails[-1]}.csv"
    written = {name: float(score) for name, score in rows(folder / file)}
    wanted = [
        score
        for score, domain in zip(section.scores, section.domains, strict=True)
        if year != 2021 or domain == "target"
    ]
    assert sorted(written.values()) == pytest.approx(sorted(wanted))
    assert list(written) == sorted(written)
    assert all(name.startswith("section_01_") for name in written)
    if year > 2020:
        decided = rows(folder / file.replace("anomaly_score", "decision_result"))
        assert [name for name, _ in decided] == list(written)
        assert {name: decision == "1" for name, decision in decided} == {n: s > 1 for n, s in written.items()}


def test_the_meta_file_has_what_is_known(tmp_path):
    runs = runs_of(tmp_path, "dcase2023")
    official_files.evaluate_runs(runs, keep=False)  # of the development data
    folder = submission.write(runs, LABEL, tmp_path, n_parameters=1000)
    meta = yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text())
    assert meta["submission"]["label"] == LABEL
    assert meta["submission"]["authors"][0]["lastname"] == "Muster"
    assert meta["submission"]["authors"][0]["affiliation"]["abbreviation"] == "INST"
    assert meta["submission"]["authors"][0]["email"] is None
    described = meta["system"]["description"]
    assert described["input_sampling_rate"] == "16kHz"
    assert described["machine_learning_method"] == "DenseAE"
    assert described["decision_making"] == "gamma threshold"
    assert meta["system"]["complexity"]["total_parameters"] == 1000
    fan = [result for result in official.evaluate(sections(), is_2021=False) if result.machine == "fan"]
    expected = {
        "auc_source": official.harmonic_mean([result.domains["source"].auc for result in fan]),
        "auc_target": official.harmonic_mean([result.domains["target"].auc for result in fan]),
        "pauc": official.harmonic_mean([result.domains["source"].pauc for result in fan]),
    }
    found = meta["results"]["development_dataset"]
    assert found.keys() == {"fan", "ToyCar"}
    assert found["fan"] == pytest.approx({name: 100 * value for name, value in expected.items()}, abs=0.005)


@pytest.mark.parametrize(
    "label", ["Muster", "Muster_INST_task2_5", "Muster_INST_task1_1", "../Muster_INST_task2_1", "Muster_INST_task2_1\n"]
)
def test_a_label_of_another_form_is_refused(tmp_path, label):
    with pytest.raises(ConfigError, match="Expected a label such as Muster_INST_task2_1 .* Received: "):
        submission.write(runs_of(tmp_path, "dcase2023"), label, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_missing_is_named_in_one_go_and_nothing_is_written(tmp_path):
    runs = runs_of(tmp_path, "dcase2023")
    results, out = tmp_path / "result", tmp_path / "out"
    (results / "decision_result_ToyCar_id_01.csv").unlink()
    (results / "anomaly_score_fan_id_00.csv").unlink()
    with pytest.raises(DataError, match="missing: anomaly_score_fan_id_00.csv, decision_result_ToyCar_id_01.csv; run"):
        submission.write(runs, LABEL, out)
    runs = runs_of(tmp_path, "dcase2023")
    path = results / "decision_result_fan_id_01.csv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(DataError, match="Some clips have none, of fan 01: they are not judged"):
        submission.write(runs, LABEL, out)
    with pytest.raises(DataError, match="files of their own in 2021; 120 have none"):
        submission.write(runs_of(tmp_path, "dcase2021", domains=["source", ""] * 30), LABEL, out)
    with pytest.raises(ConfigError, match=r"from dcase2020 to dcase2026 for a submission. Received: folder\."):
        submission.write(runs_of(tmp_path, "folder"), LABEL, out)
    assert not out.exists()


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path):
    runs = runs_of(tmp_path, "dcase2023")
    folder = submission.write(runs, LABEL, tmp_path)
    filled_in = folder / f"{LABEL}.meta.yaml"
    filled_in.write_text("mine")
    with pytest.raises(ConfigError, match="so that nothing that was filled in there is lost"):
        submission.write(runs, LABEL, tmp_path)
    assert filled_in.read_text() == "mine"


@pytest.mark.slow
def test_the_verb_makes_a_submission_of_the_evaluation_data(tmp_path, ganad):
    write_machine(tmp_path / "dev", "fan")
    write_machine(tmp_path / "eval", "fan", ids=("01",), n_test=0)
    for number in range(3):
        write_wav(tmp_path / "eval" / "fan" / "test" / f"id_01_{number:08d}.wav", tone(seed=number))
    settings = {
        "dev_directory": "./dev",
        "eval_directory": "./eval",
        "feature": {"n_mels": 16, "frames": 3},
        "model": {"name": "DenseAE", "hidden": [8]},
        "fit": {"epochs": 1, "verbose": 0},
    }
    (tmp_path / "fan.yaml").write_text(yaml.safe_dump(settings))
    command = ["submission", "fan.yaml", "--label", LABEL]
    assert "missing: anomaly_score_fan_id_01.csv" in ganad(*command, cwd=tmp_path, check=2).stderr
    for mode in ("--dev", "--eval"):
        ganad("run", "fan.yaml", mode, cwd=tmp_path)
    done = ganad(*command, cwd=tmp_path)
    folder = tmp_path / done.stdout.strip()
    assert folder == tmp_path / "submission" / LABEL
    assert (folder / "anomaly_score_fan_id_01.csv").read_text() == (
        tmp_path / "result" / "anomaly_score_fan_id_01.csv"
    ).read_text()
    meta = yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text())
    # 48 inputs, 8 hidden units, 48 outputs; whatever else the network has, such as normalisation, comes on top.
    assert meta["system"]["complexity"]["total_parameters"] >= 48 * 8 + 8 + 8 * 48 + 48
    assert meta["results"]["development_dataset"]["fan"]["averaged_auc"] > 50
    assert f"fill in what is null in submission/{LABEL}/{LABEL}.meta.yaml" in done.stderr
