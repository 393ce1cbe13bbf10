"""Every script of tools/ on the smallest input that it takes, so that none dies unseen.

The long ones run by `-m slow`; the gate asks each that has options for them.
"""

import functools
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import ROOT
from small_detectors import UNLABELLED

TOOLS = ROOT / "tools"
SMALL = ["dataset.synthetic.n_ids=1", "dataset.synthetic.n_train=6", "dataset.synthetic.seconds=1"]
SMALL += ["dataset.synthetic.n_normal=2", "dataset.synthetic.n_anomaly=2", "fit.epochs=1"]

# What runs each script; a test of this file unless it says otherwise.
RUN_BY = {
    "aegan_scores.py": "test_every_score_of_aegan_s_authors_is_measured",
    "api_page.py": "tools/check.py, as the gate `api`",
    "augmentation.py": "tests/test_augmentation.py::test_the_effect_of_augmentation_is_measured",
    "benchmark.py": "tests/test_benchmark.py::test_rows_compare_ours_with_plain_code",
    "check.py": "whoever runs the gate, which it is",
    "domain_shift.py": "tests/test_domains.py::test_densities_are_compared_on_two_real_machines",
    "evidence.py": "test_log_mels_are_imported_and_evidence_is_found_in_them",
    "false_alarms.py": "test_false_alarms_are_counted",
    "fault_words.py": "test_words_about_known_faults_are_counted",
    "feature_variants.py": "tests/test_feature_variants.py::test_the_effect_of_variants_is_measured",
    "fleet.py": "tests/test_fleet.py::test_the_tool_replaces_a_machine_under_clients",
    "floor.py": "test_jobs_of_the_benchmark_run_by_themselves",
    "gpu_training.py": "test_training_is_measured_on_whatever_device_there_is",
    "golden_detectors.py": "test_a_golden_is_packed_once",
    "import_logmel.py": "test_log_mels_are_imported_and_evidence_is_found_in_them",
    "listing.py": "test_listings_of_many_clips_are_measured",
    "long_clips.py": "tests/test_long_clips.py::test_memory_for_long_clips_is_bounded",
    "measure.py": "test_what_was_measured_becomes_tables",
    "networks.py": "test_networks_are_compared_with_none",
    "process_memory.py": "test_jobs_of_the_benchmark_run_by_themselves",
    "recording_faults.py": "test_faults_of_recordings_are_measured",
    "reference.py": "tests/test_benchmark.py::test_rows_compare_ours_with_plain_code",
    "rooms.py": "test_rooms_and_arrows_are_counted",
    "scaling.py": "tests/test_ray.py::test_costs_and_gains_are_measured",
    "scorer_selection.py": "test_false_alarms_are_counted",
    "search_objectives.py": "test_trials_of_a_search_are_measured_by_all_objectives",
    "selection.py": "test_evidence_is_compared_with_the_true_areas",
    "serving_load.py": "test_an_exported_model_stands_a_second_of_load",
    "serving_many.py": "tests/test_benchmark.py::test_of_many_models_only_so_many_are_in_memory",
    "small_data.py": "test_how_few_recordings_a_network_needs_is_measured",
    "speed_jobs.py": "test_jobs_of_the_benchmark_run_by_themselves",
    "start.py": "test_start_runs_a_command_where_everything_is_installed",
    "tables.py": "test_what_was_measured_becomes_tables",
    "versions.py": "tests/test_versions.py::test_a_python_that_is_not_there_is_said",
}


def run(name, *arguments, cwd, **environment):
    """A script in a process of its own, in another folder; what it prints."""
    command = [sys.executable, str(TOOLS / name), *map(str, arguments)]
    settings = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=600, env=settings)
    assert done.returncode == 0, f"{name}\n{done.stdout}\n{done.stderr}"
    return done.stdout


WITH_OPTIONS = [
    path.name
    for path in sorted(TOOLS.glob("*.py"))
    if any(word in path.read_text() for word in ("argparse", "parser_of"))
]
ASKING = """
import contextlib, io, json, pathlib, runpy, sys
found = {}
sys.path[0] = sys.argv[1]
for name in sys.argv[2:]:
    sys.argv = [name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        runpy.run_path(str(pathlib.Path(sys.path[0]) / name), run_name="__main__")
    found[name] = text.getvalue()
print(json.dumps(found))
"""


@functools.cache
def help_texts():
    """The output of each script with `--help`, by name; of one process, for TensorFlow's sake."""
    command = [sys.executable, "-c", ASKING, TOOLS, *WITH_OPTIONS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_script_is_run():
    assert RUN_BY.keys() == {path.name for path in TOOLS.glob("*.py")}
    for what in RUN_BY.values():
        path, _, name = what.rpartition("::")
        if name.startswith("test_"):
            assert f"def {name}(" in (ROOT / (path or "tests/test_tools.py")).read_text(), what


@pytest.mark.parametrize("name", WITH_OPTIONS)
def test_every_script_with_options_says_them(name):
    assert f"usage: {name}" in help_texts()[name]


@pytest.mark.slow
def test_log_mels_are_imported_and_evidence_is_found_in_them(real_data, tmp_path):
    """Real log-mels: of 30 normal clips, 24 of them known and 6 held out."""
    with np.load(real_data / "toycar_logmel" / "toycar_id01_id02.npz") as arrays:
        names = arrays["names"]
        chosen = [number for number, name in enumerate(names) if name.startswith("normal_id_01")][:30]
        np.savez(tmp_path / "few.npz", names=names[chosen], logmel_db=arrays["logmel_db"][chosen])
    settings = ["--set", "dataset.name=imported", "cache_directory=cache", "dev_directory=cache/dev", "fit.epochs=1"]
    config = ROOT / "yaml" / "spectrum_density.yaml"
    run("import_logmel.py", config, "--machine", "ToyCar", "--train-below", 10**8, "few.npz", *settings, cwd=tmp_path)
    printed = run("evidence.py", config, "--machine", "ToyCar", *settings, cwd=tmp_path)
    assert printed.count("24 normal clips, 6 held out") == 3
    steady = printed.partition("steady, -6 dB")[2].partition("bursts")[0]
    cells = [cell.split(" / ") for line in steady.splitlines()[4:] for cell in line.strip("| ").split(" | ")[1:]]
    areas = np.array([cell for cell in cells if len(cell) == 2], float)
    assert areas.shape == (36, 2)  # six poolings, six densities
    assert areas[:, 0].max() > 50  # a sound that was added is heard by something


@pytest.mark.slow
def test_how_few_recordings_a_network_needs_is_measured(tmp_path):
    """Made-up log-mels, in which a band is louder where something is wrong."""
    names = [f"normal_id_01_{number:08d}" for number in [*range(8), *range(250, 254)]]
    names += [f"anomaly_id_01_{number:08d}" for number in range(4)]
    log_mels = np.random.default_rng(0).normal(-50, 3, [len(names), 20, 128])
    log_mels[-4:, :, 40] += 10
    np.savez(tmp_path / "few.npz", names=names, logmel_db=log_mels)
    small = ["--sizes", 6, "--seeds", 2, "--draws", 1, "--set", "fit.epochs=1", "fit.min_steps=0"]
    small += ["ensemble.members.ganomaly.model.hidden=[8]", "selection.scorers=[{pooling: gwrp}]"]
    first = run("small_data.py", "out", "--npz", "few.npz", *small, cwd=tmp_path)
    cells = first.splitlines()[-1].strip("| ").split(" | ")
    assert cells[:2] == ["6", "1 x 2"]
    assert cells[3] == "100.0 ± 0.0 (+0.0)"  # no network, no seed
    assert run("small_data.py", "out", "--npz", "few.npz", *small, cwd=tmp_path) == first  # nothing is measured again
    small[3] = 1
    selected = run("small_data.py", "selected", "--selected", "--npz", "few.npz", *small, cwd=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "selected" / "areas.jsonl").read_text().splitlines()]
    assert [row["weights"] for row in rows] == [[0, 1]]  # a network of one epoch has learned nothing
    assert selected.splitlines()[0].endswith("| ensemble | selected |")
    assert [row["selected"] for row in rows] == [row["SpectrumDensity"] for row in rows]


@pytest.mark.slow
def test_every_score_of_aegan_s_authors_is_measured(real_data, tmp_path):
    """Real log-mels: 6 clips for training, 6 normal ones and 6 anomalies for the test."""
    with np.load(real_data / "toycar_logmel" / "toycar_id01_id02.npz") as arrays:
        names, log_mels = arrays["names"], arrays["logmel_db"]
    ranges = {"normal_id_01": 12, "anomaly_id_01": 6}
    chosen = [n for kind, count in ranges.items() for n in np.flatnonzero(np.char.startswith(names, kind))[:count]]
    np.savez(tmp_path / "few.npz", names=names[chosen], logmel_db=log_mels[chosen])
    config = ROOT / "yaml" / "aegan.yaml"
    settings = ["--set", "dataset.name=imported", "cache_directory=cache", "dev_directory=cache/dev", "fit.epochs=1"]
    settings += [
        "feature.n_mels=128",
        "feature.n_fft=1024",
        "fit.min_steps=0",
        "model.base=2",
        "model_directory=model",
        "scorer.neighbors=1",
    ]
    run("import_logmel.py", config, "--machine", "ToyCar", "--train-below", 6, "few.npz", *settings, cwd=tmp_path)
    command = [sys.executable, "-m", "ganad_tf", "train", config, "--dev", *settings]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    printed = run("aegan_scores.py", config, "--machine", "ToyCar", *settings, cwd=tmp_path)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines() if "_" in line]
    assert len(rows) == 19
    areas = {name: (float(area), float(partial)) for name, area, partial, _ in rows}
    assert all(0 <= area <= 100 for both in areas.values() for area in both)
    (oracle,) = (name for name, *_, mark in rows if mark == "oracle")
    assert sum(areas[oracle]) == pytest.approx(max(map(sum, areas.values())), abs=0.11)


@pytest.mark.slow
def test_evidence_is_compared_with_the_true_areas(tmp_path):
    few = ["dataset.synthetic.n_ids=1", "dataset.synthetic.n_train=12", "dataset.synthetic.n_normal=4"]
    few += ["dataset.synthetic.n_anomaly=4", "dataset.synthetic.seconds=1", "fit.epochs=1", "fit.min_steps=0"]
    few += ["dev_directory=data", "cache_directory=cache"]
    chosen = ["out", "--machine", "fan", "--detectors", "spectrum_density", "baseline", "--set", *few]
    first = run("selection.py", ROOT / "yaml" / "demo.yaml", *chosen, cwd=tmp_path)
    machine, n_candidates, rank, choice, best, regret, _ = first.splitlines()[-1].strip("| ").split(" | ")
    assert (machine, n_candidates) == ("fan", "33")
    assert -1 <= float(rank) <= 1
    true = float(choice.split()[0])
    assert 0 <= true <= float(best) <= 100
    assert float(regret) == pytest.approx(float(best) - true, abs=0.11)
    assert run("selection.py", ROOT / "yaml" / "demo.yaml", *chosen, cwd=tmp_path) == first  # nothing is measured again


def test_objectives_of_a_search_are_compared_with_the_true_area(monkeypatch):
    """Of recorded trials; the tool itself by `-m slow`."""
    monkeypatch.syspath_prepend(TOOLS)
    tool = importlib.import_module("search_objectives")
    losses, pseudo, true = [0.1, 0.2, 0.3, 0.4], [0.9, 0.7, 0.8, 0.6], [0.9, 0.95, 0.8, 0.7]
    found = [
        tool.Record(number, 0, {}, "finished", {"val_loss": loss, "pseudo_auc": area, "dev_auc": auc})
        for number, (loss, area, auc) in enumerate(zip(losses, pseudo, true, strict=True))
    ]
    found.append(tool.Record(4, 0, {}, "failed"))
    # Spearman's 1 - 6 sum d^2 / (n (n^2 - 1)) by hand: squared differences of ranks 2 and 4 + 1 + 1.
    assert tool.rows("fan", found) == [
        "| fan | val_loss | 4 | 0.80 | 90.0 | 95.0 |",
        "| fan | pseudo_auc | 4 | 0.40 | 90.0 | 95.0 |",
    ]
    assert np.isnan(tool.rank_correlation(np.ones(3), np.arange(3)))


@pytest.mark.slow
def test_trials_of_a_search_are_measured_by_all_objectives(tmp_path):
    few = [*SMALL, "dataset.name=synthetic", "dev_directory=data", "cache_directory=cache", "feature.n_mels=16"]
    few += ["search.space={scorer.pooling: [mean, max]}", "model={name: SpectrumDensity}", "fit.validation_split=0.3"]
    few += ["dataset.synthetic.n_train=8"]
    chosen = [ROOT / "yaml" / "baseline.yaml", "out", "--machine", "fan", "--set", *few]
    printed = run("search_objectives.py", *chosen, cwd=tmp_path)
    assert [line.split(" | ")[1:3] for line in printed.splitlines()[2:]] == [["val_loss", "2"], ["pseudo_auc", "2"]]


@pytest.mark.slow
def test_networks_are_compared_with_none(tmp_path):
    few = ["dataset.synthetic.n_ids=2", "dataset.synthetic.n_train=6", "dataset.synthetic.n_normal=4"]
    few += ["dataset.synthetic.n_anomaly=4", "dataset.synthetic.seconds=1", "fit.epochs=1", "fit.min_steps=0"]
    few += ["dev_directory=data", "cache_directory=cache"]
    chosen = ["out", "--machine", "fan", "--detectors", "spectrum_density", "baseline", "--clips", 5, "--set", *few]
    first = run("networks.py", ROOT / "yaml" / "demo.yaml", *chosen, cwd=tmp_path)
    without, network = ([cell.strip() for cell in line.split("|")[1:-1]] for line in first.splitlines()[-2:])
    assert (without[:2], network[:2]) == (["fan", "spectrum_density"], ["fan", "baseline"])
    assert without[3] == without[6] == ""
    for difference, area in ((3, 2), (6, 5)):
        gain, low, high = (float(value) for value in re.findall(r"[+-]\d+\.\d", network[difference]))
        assert gain == pytest.approx(float(network[area]) - float(without[area]), abs=0.11)
        assert low <= gain <= high
    assert run("networks.py", ROOT / "yaml" / "demo.yaml", *chosen, cwd=tmp_path) == first  # nothing is measured again


def test_the_paired_interval_of_a_certain_difference_is_that_difference(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    networks = importlib.import_module("networks")
    arrays = {
        "scores": np.array([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0], [1.0, 3.0, 2.0, 3.0]]),
        "labels": np.array([0, 0, 1, 1]),
        "machine_ids": np.array(["00"] * 4),
    }
    assert [networks.area(arrays, number) for number in range(3)] == [1.0, 0.0, (1 + 1 + 0 + 0.5) / 4]
    right, wrong, some = (networks.wins_by_id(arrays, number) for number in range(3))
    assert networks.paired_interval(right, wrong) == (1.0, 1.0)
    low, high = networks.paired_interval(right, some)
    assert 0 <= low < 3 / 8 < high <= 1


@pytest.mark.slow
def test_false_alarms_are_counted(tmp_path):
    few = ["dataset.synthetic.n_ids=1", "dataset.synthetic.n_train=12", "dataset.synthetic.n_normal=6"]
    few += ["dataset.name=synthetic", "threshold.method=conformal", "dataset.synthetic.seconds=1"]
    chosen = ["--machine", "fan", "--clips", 10, "--repetitions", 2]
    few += ["selection.scorers=[{pooling: mean}, {density: mahalanobis}]"]
    chosen += ["--selected", "--set", *few]
    printed = run("false_alarms.py", ROOT / "yaml" / "spectrum_density.yaml", *chosen, cwd=tmp_path)
    (line,) = (line for line in printed.splitlines() if "conformal" in line)  # 10 clips allow 0.1, and nothing lower
    name, machine_id, count, rate, _, alarms, *_, detected = line.split()
    assert (name, machine_id, count, rate) == ("fan", "00", "10", "0.1")
    assert 0 <= float(alarms) <= 100 and 0 <= float(detected) <= 100
    cut = [*chosen[:3], 9, *chosen[4:-1], "audio={clip_seconds: 0.5}"]
    printed = run("false_alarms.py", ROOT / "yaml" / "spectrum_density.yaml", *cut, cwd=tmp_path)
    lines = [line.split() for line in printed.splitlines() if line.startswith("fan")]
    rates = {(method, line[3]) for line in lines for method in ("conformal", "per") if method in line}
    assert rates == {("conformal", "0.1"), ("per", "0.1")}  # nine recordings, eighteen clips


def test_false_alarms_of_few_recordings_are_simulated(monkeypatch, capsys):
    monkeypatch.syspath_prepend(TOOLS)
    tool = importlib.import_module("false_alarms")
    options = ["--recordings", "6", "4", "--rates", "0.05", "0.25", "--repetitions", "200"]
    monkeypatch.setattr(sys, "argv", ["false_alarms.py", *options])
    assert tool.main() == 0
    too_low, possible = (line.split() for line in capsys.readouterr().out.splitlines()[1:])
    assert (too_low[:3], possible[:3]) == (["6", "4", "0.05"], ["6", "4", "0.25"])
    assert len(too_low) == 4 and float(too_low[3]) > 8  # six recordings do not allow 5 %
    assert float(possible[3]) > 20 > float(possible[4])
    with pytest.raises(SystemExit):
        monkeypatch.setattr(sys, "argv", ["false_alarms.py"])
        tool.main()


@pytest.mark.slow
def test_words_about_known_faults_are_counted(tmp_path):
    few = ["--machines", "fan", "--train", "12", "--clips", "1", "--seconds", "3"]
    printed = run("fault_words.py", *few, cwd=tmp_path)
    assert "| healthy | 0 | 0 | 0 | 0 | 0 | 3 | 100.0 % |" in printed
    share = float(printed.partition("faults right: ")[2].partition(" %")[0])
    assert share >= 80  # of 15


@pytest.mark.slow
def test_what_was_measured_becomes_tables(tmp_path):
    detectors = ["--detectors", "SpectrumDensity", "--seeds", "0", "--jobs", "1", "--scorers", "paper", "mean-knn"]
    measured = run("measure.py", "synthetic", "out", *detectors, "--set", *SMALL, cwd=tmp_path)
    assert measured.endswith("done\n")
    table = run("tables.py", "synthetic", "out", "--scorers", "paper", "mean-knn", cwd=tmp_path)
    rows = [line for line in table.splitlines() if line.startswith("| SpectrumDensity")]
    assert len(rows) == 2
    assert all(row.count(" / ") == 7 for row in rows)  # six machine types and their mean
    for name in ("SpectrumDensity", "MPDR"):  # a network with the same scores gains nothing
        shutil.copytree(tmp_path / "out" / "SpectrumDensity", tmp_path / "toycar" / "20" / name)
    costs = run("tables.py", "toycar", "toycar", "--scorers", "paper", "--costs", cwd=tmp_path)
    of_mpdr = [line for line in costs.splitlines() if line.startswith("| MPDR")][-1].strip("| ").split(" | ")
    assert of_mpdr[3:5] == ["+0.0 [+0.0, +0.0]", "0"]
    assert float(of_mpdr[5]) > 0
    assert float(of_mpdr[6]) > 0


@pytest.mark.slow
def test_faults_of_recordings_are_measured(tmp_path):
    small = ["--machines", "pump", "--clips", "7", "--train", "5", "--repeats", "1", "--seconds", "1"]
    lines = run("recording_faults.py", *small, cwd=tmp_path).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    shares = {name.strip("*"): (count, refused, named) for name, count, refused, named, _ in rows}
    assert len(shares) == 7 + 3
    assert shares["dead microphone"] == ("2", "100.00 %", "100.00 %")
    assert shares["all faults"][0] == "14"
    assert shares["healthy machine"][:2] == ("2", "0.00 %")


def test_rooms_and_arrows_are_counted(tmp_path):
    package = tmp_path / "house"
    (package / "inner").mkdir(parents=True)
    for name in ("__init__", "inner/__init__", "inner/deep", "last"):
        (package / f"{name}.py").touch()
    (package / "first.py").write_text("from house import last\nfrom house.inner import deep\n")
    (package / "inner" / "deep.py").write_text("import house.last\n\n\ndef f(config, listing, mode): ...\n")
    layers = "[importlinter:contract:layers]\nlayers =\n    house.first\n    house.inner\n    house.last\n"
    (tmp_path / "setup.cfg").write_text(layers)
    assert run("rooms.py", package, cwd=tmp_path).splitlines() == [
        "rooms: 3 (1 folders, 2 files)",
        "arrows between rooms: 3",
        "ranks: 3",
        "functions with 3 or more of config, listing, machine, mode: 1",
    ]


@pytest.mark.slow
def test_a_golden_is_packed_once(tmp_path):
    run("golden_detectors.py", "new.zip", "--detectors", "SpectrumDensity", cwd=tmp_path)
    with zipfile.ZipFile(tmp_path / "new.zip") as archive:
        assert archive.namelist() == ["SpectrumDensity.keras", "expected.json"]
        facts = json.loads(archive.read("expected.json"))
    windows = np.array(facts["windows"])
    assert facts["SpectrumDensity"]["scores"] == pytest.approx(np.mean(windows**2, axis=1), rel=1e-5)
    command = [sys.executable, TOOLS / "golden_detectors.py", tmp_path / "new.zip"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 2


@pytest.mark.slow
def test_jobs_of_the_benchmark_run_by_themselves(tmp_path):
    make = "import pathlib, sys; sys.path.insert(0, sys.argv[1]); import speed_jobs; "
    make += "speed_jobs.recordings(pathlib.Path('.'), 2)"
    subprocess.run([sys.executable, "-c", make, TOOLS], cwd=tmp_path, check=True)
    jobs = [("fft", ""), ("products", "numpy"), ("train", "bare", "EGBAD", "16"), ("step", "ours", "DenseAE", "512")]
    jobs += [("fleet", "apart", "DenseAE", "2")]
    for name, side, *more in jobs:
        printed = run("speed_jobs.py", name, side, ".", *more, cwd=tmp_path, EPOCHS="2")
        assert json.loads(printed.splitlines()[-1])["seconds"] > 0, name


@pytest.mark.slow
def test_training_is_measured_on_whatever_device_there_is(tmp_path):
    rows = ["--rows", "DenseAE-512", "streamed", "weights"]
    *rates, weights = run("gpu_training.py", "--clips", "2", "--epochs", "2", *rows, cwd=tmp_path).splitlines()
    for line, side in zip(rates, ("ours", "streamed"), strict=True):
        assert line.startswith(f"DenseAE, batch 512, windows/s: {side} ")
        assert float(line.rpartition(" ")[2]) > 0
    assert weights == "two deterministic trainings of GANomaly: equal weights"


@pytest.mark.slow
def test_an_exported_model_stands_a_second_of_load(tmp_path):
    model = ["--model", ROOT / "exported_models" / "demo", "--seconds", "1", "--json"]
    rows = json.loads(run("benchmark.py", "serve", *model, cwd=tmp_path))
    assert rows["in process, batch 32: clips/s"] > 0
    assert rows["HTTP, 8 clients: answers by status"].keys() == {"200"}
    assert rows["HTTP, the next one after the crowd: status, ms"][0] == 200


@pytest.mark.slow
def test_listings_of_many_clips_are_measured(tmp_path):
    (row,) = run("listing.py", "out", "--clips", "3", cwd=tmp_path).splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[0] == "3"
    assert all(float(cell.split()[0]) >= 0 for cell in cells[1:])
    assert float(cells[-1].split()[0]) > 0  # a manifest: all steps before it were taken
    assert (tmp_path / "out/3/cache/dev/machine0/train/manifest.json").exists()


def test_start_runs_a_command_where_everything_is_installed(tmp_path):
    """Installing itself is what everybody begins with, in an environment of their own; here it is only asked for."""
    done = subprocess.run(
        [sys.executable, TOOLS / "start.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "python3 tools/start.py COMMAND" in done.stderr


def test_every_detector_has_a_golden():
    names: set[str] = set()
    for path in (ROOT / "tests" / "goldens").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            names |= set(archive.namelist())
    assert {f"{name}.keras" for name in UNLABELLED} <= names
