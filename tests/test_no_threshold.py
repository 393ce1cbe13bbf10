"""Training scores that give no threshold: one training clip, or the same one several times."""

import csv
import shutil

import pytest
import yaml
from conftest import write_machine

SETTINGS = {
    "dev_directory": "data",
    "cache_directory": "cache",
    "model_directory": "model",
    "result_directory": "result",
    "export_directory": "exported",
    "feature": {"n_mels": 16},
    "fit": {"epochs": 2, "batch_size": 32},
}
NETWORK = {"model": {"name": "DenseAE", "hidden": [8], "latent": 2}}
DENSITY = {"model": {"name": "SpectrumDensity"}, "scorer": {"name": "density"}}
BEFORE = "fan: there will be scores but no decisions: `threshold.method: gamma` needs training scores that differ"
AFTER = "fan: there are scores but no decisions. Expected positive training scores that differ"


def project(place, n_train, settings):
    """As many training clips, all of them the same."""
    write_machine(place / "data", "fan", ids=("00",), n_train=1)
    for number in range(1, n_train):
        train = place / "data" / "fan" / "train"
        shutil.copy(train / "normal_id_00_00000000.wav", train / f"normal_id_00_{number:08d}.wav")
    (place / "fan.yaml").write_text(yaml.safe_dump(SETTINGS | settings))
    return place


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


@pytest.mark.parametrize(
    ("n_train", "settings", "which"),
    [
        (1, NETWORK, "there is no more than one normal training clip"),
        (4, NETWORK, "there is no more than 4 identical normal training clips"),
        (4, DENSITY, "there is no more than 4 identical normal training clips"),
    ],
)
def test_everything_that_needs_no_threshold_is_written(tmp_path, ganad, n_train, settings, which):
    place = project(tmp_path, n_train, settings)
    done = ganad("run", "fan.yaml", cwd=place)
    lines = done.stderr.splitlines()
    order = [
        next(number for number, line in enumerate(lines) if text in line) for text in (BEFORE, "trained on", AFTER)
    ]
    assert order == sorted(order)
    assert which in lines[order[0]]
    result = place / "result"
    assert len(rows(result / "anomaly_score_fan_id_00.csv")) == 6
    assert 0 <= float(rows(result / "result.csv")[2][1]) <= 1
    assert not list(result.glob("decision_result_*"))
    assert not list(result.glob(".*"))


def test_decisions_come_and_go_with_the_threshold(tmp_path, ganad):
    place = project(tmp_path, 1, NETWORK)
    ganad("run", "fan.yaml", "--set", "threshold.method=quantile", cwd=place)
    decisions = place / "result" / "decision_result_fan_id_00.csv"
    assert len(rows(decisions)) == 6
    assert AFTER in ganad("score", "fan.yaml", cwd=place).stderr
    assert not decisions.exists()
    ganad("evaluate", "fan.yaml", cwd=place)

    ganad("report", "result", "--clips", "1", cwd=place)
    report = place / "result" / "report"
    header, *machines = rows(report / "machines.csv")
    for row in machines:
        mean = dict(zip(header, row, strict=True))
        assert [mean[name] for name in ("threshold", "normal_below", "normal_above", "anomaly_above")] == [""] * 4
    header, *listed = rows(report / "clips.csv")
    assert [row[header.index("decision")] for row in listed] == [""] * 6
    markdown = (report / "report.md").read_text()
    assert "| none | n/a | n/a |" in markdown
    page = (report / "report.html").read_text()
    assert "normal, no decision" in page or "anomaly, no decision" in page
    assert "False alarms" not in page
    assert "nan" not in markdown

    done = ganad("export", "fan.yaml", cwd=place, check=2)
    assert done.stderr.startswith(
        "ganad: An exported model of fan needs a threshold. Expected positive training scores"
    )
    assert "set `threshold.method: quantile`" in done.stderr
    ganad("score", "fan.yaml", "--set", "threshold.method=quantile", cwd=place)
    assert len(rows(decisions)) == 6


@pytest.mark.slow
def test_an_ensemble_s_scores_are_written_without_decisions_too(tmp_path, ganad):
    """Its training scores, in deviations from their mean, go below zero, where there is no gamma distribution."""
    write_machine(tmp_path / "data", "fan", ids=("00",), n_train=4)
    for name in ("one", "two"):
        member = SETTINGS | NETWORK | {"seed": len(name) + ord(name[0]), "result_directory": f"result/{name}"}
        member["model_directory"] = f"model/{name}"
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(member))
        ganad("run", f"{name}.yaml", cwd=tmp_path)
    both = SETTINGS | {"ensemble": {"members": ["result/one", "result/two"]}, "result_directory": "result/both"}
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(both))
    ganad("run", "both.yaml", cwd=tmp_path)  # by a quantile, the default of ensembles
    assert (tmp_path / "result" / "both" / "decision_result_fan_id_00.csv").exists()
    assert AFTER in ganad("run", "both.yaml", "--set", "threshold.method=gamma", cwd=tmp_path).stderr
    assert not (tmp_path / "result" / "both" / "decision_result_fan_id_00.csv").exists()
    assert len(rows(tmp_path / "result" / "both" / "anomaly_score_fan_id_00.csv")) == 6
    ganad("report", "result/both", "--clips", "1", cwd=tmp_path)
