"""Several systems on one set of recordings, by the real command line: run, combine, compare."""

import csv
import subprocess
import sys

import pytest
import yaml
from conftest import ROOT, write_machine

pytestmark = pytest.mark.slow

SYSTEMS = ("ganomaly_density", "spectrum_density")


@pytest.fixture(scope="module")
def compared(tmp_path_factory, ganad):
    """The files of yaml/ as they are, on small recordings, in the order that yaml/ensemble.yaml says."""
    folder = tmp_path_factory.mktemp("compared")
    write_machine(folder / "dev_data", "fan")
    for name in SYSTEMS:
        done = ganad("run", ROOT / "yaml" / f"{name}.yaml", "--set", "fit.epochs=2", cwd=folder)
        (folder / f"run-{name}.out").write_text(done.stdout)
    script = (
        "import sys; from ganad_tf.cli.main import main; code = main(); print('tensorflow' in sys.modules); "
        "sys.exit(code)"
    )
    for words in (
        ["run", str(ROOT / "yaml" / "ensemble.yaml")],
        ["compare", *(f"result/{name}" for name in (*SYSTEMS, "ensemble")), "--out", "tables", "--bars"],
    ):
        command = [sys.executable, "-c", script, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (folder / f"{words[0]}.out").write_text(done.stdout)
    return folder


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_paper_s_score_stands_beside_the_density_s(compared):
    head, first = (compared / "run-spectrum_density.out").read_text().splitlines()[:2]
    assert head.split() == ["machine", "id", "AUC", "pAUC", "normal", "anomaly", "paper", "AUC", "pAUC"]
    result = rows(compared / "result" / "spectrum_density" / "result.csv")
    paper = rows(compared / "result" / "spectrum_density" / "paper" / "result.csv")
    cells = first.split()
    assert [float(cell) for cell in (cells[2], cells[6])] == [
        round(100 * float(row[2][1]), 2) for row in (result, paper)
    ]


def test_the_ensemble_and_the_comparison_need_no_tensorflow(compared):
    for verb in ("run", "compare"):
        assert (compared / f"{verb}.out").read_text().splitlines()[-1] == "False", verb


def test_the_ensemble_writes_what_a_detector_would(compared):
    names = {path.name for path in (compared / "result" / "ensemble").iterdir()}
    alone = {path.name for path in (compared / "result" / "spectrum_density").iterdir()}
    assert names == alone - {"paper"}
    assert rows(compared / "result" / "ensemble" / "result.csv")[-2][0] == "Average"


def test_the_comparison_lists_published_and_measured_systems(compared):
    origins = {row[0]: row[1] for row in rows(compared / "tables" / "comparison.csv")}
    assert origins["GANomaly (paper)"] == "published"
    assert origins["ensemble"] == origins["spectrum_density, paper's score"] == "measured"
    assert origins["best of the measured (oracle)"] == "oracle"
    markdown = (compared / "tables" / "comparison.md").read_text()
    assert "| GANomaly (paper) | published | none |  | 91.00 / 80.00 |" in markdown
    assert (compared / "tables" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_an_ensemble_has_nothing_to_train(compared, ganad):
    done = ganad("train", ROOT / "yaml" / "ensemble.yaml", cwd=compared, check=2)
    assert "an ensemble; train its members" in done.stderr


def test_an_ensemble_with_other_members_does_not_evaluate_old_scores(compared, ganad):
    text = yaml.safe_load((ROOT / "yaml" / "ensemble.yaml").read_text())
    text["ensemble"]["combine"] = "max"
    (compared / "other.yaml").write_text(yaml.safe_dump(text))
    done = ganad("evaluate", "other.yaml", cwd=compared, check=2)
    assert "was made with `ensemble.combine: mean`" in done.stderr


def test_a_member_s_scorer_is_the_same_in_another_process(compared, ganad):
    path = compared / "result" / "ganomaly_density" / "anomaly_score_fan_id_00.csv"
    before = path.read_bytes()
    path.unlink()
    ganad("score", ROOT / "yaml" / "ganomaly_density.yaml", "--set", "fit.epochs=2", cwd=compared)
    assert path.read_bytes() == before


def test_all_machines_are_looked_at_before_the_first_is_trained(tmp_path, ganad):
    write_machine(tmp_path / "dev_data", "fan", ids=("00",))
    write_machine(tmp_path / "dev_data", "pump", ids=("00",), n_train=2)
    options = [ROOT / "yaml" / "spectrum_density.yaml"]
    ganad("prepare", *options, cwd=tmp_path)
    done = ganad("train", *options, cwd=tmp_path, check=2)
    assert "Expected at least 3 normal training clips of pump" in done.stderr
    assert not (tmp_path / "model").exists()


def test_scores_from_elsewhere_are_evaluated_without_the_paper_s(compared, ganad, tmp_path):
    result = tmp_path / "result"
    result.mkdir()
    for path in (compared / "result" / "spectrum_density").glob("anomaly_score_*.csv"):
        (result / path.name).write_bytes(path.read_bytes())
    done = ganad(
        "evaluate", ROOT / "yaml" / "spectrum_density.yaml", "--set", f"result_directory={result}", cwd=compared
    )
    assert "paper" not in done.stdout


def test_too_few_clips_for_the_density_are_refused_before_anything_is_read(tmp_path, ganad):
    write_machine(tmp_path / "dev_data", "fan", ids=("00",), n_train=2)
    done = ganad("run", ROOT / "yaml" / "ganomaly_density.yaml", cwd=tmp_path, check=2)
    assert "Expected at least 3 normal training clips of fan" in done.stderr
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("ids", [("00",), ("00", "02")])
def test_twfr_gmm_has_a_density_per_machine_id_also_of_one(tmp_path, ganad, ids):
    write_machine(tmp_path / "dev_data", "fan", ids=ids, n_train=8)
    ganad("run", ROOT / "yaml" / "twfr_gmm.yaml", cwd=tmp_path)
    result = rows(tmp_path / "result" / "twfr_gmm" / "result.csv")
    areas = {row[0]: float(row[1]) for row in result if row and row[0] in ids}
    assert areas.keys() == set(ids)
    assert min(areas.values()) > 0.9
