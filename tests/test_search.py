"""`ganad search`: which trials there are, what is kept after a kill, and what comes out."""

import csv
import random
import re
import sys
import time

import numpy as np
import optuna
import pytest
import yaml
from conftest import ROOT, write_machine
from processes import Command
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ganad_tf import config as configuration
from ganad_tf.cli.main import main
from ganad_tf.errors import ConfigError
from ganad_tf.search import records
from ganad_tf.search.records import Record, Records
from ganad_tf.search.space import Range, Space, read_space
from ganad_tf.search.study import JOURNAL, Study

MIXED = Space(
    {"fit.epochs": (1, 2), "fit.compile.learning_rate": Range(1e-4, 1e-1, log=True), "model.latent": Range(2, 64)}
)


@pytest.fixture(autouse=True, scope="module")
def quiet():
    """Optuna as the command line has it."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def space_of(**search):
    config = configuration.from_mapping({"search": search}, source="search.yaml")
    return read_space(config, ["hidden", "latent"])


def test_the_paper_s_grid_has_41472_combinations_in_a_fixed_order():
    config = configuration.load(ROOT / "yaml" / "search.yaml")
    space = read_space(config, ["latent", "dropout", "kernel_initializer", "hidden", "w_adv", "w_con", "w_enc"])
    assert space.size == space.n_trainings == 41472
    assert space.combination(0) == space.first()
    assert space.combination(1) == {**space.first(), "fit.batch_size": 16}
    assert space.combination(6) == {**space.first(), "model.w_enc": 50}
    assert space.combination(41471) == {key: values[-1] for key, values in space.values.items()}
    assert len({str(space.combination(number)) for number in range(0, 41472, 100)}) == 415


def test_keys_that_only_score_vary_fastest():
    space = space_of(space={"scorer.pooling": ["mean", "gwrp"], "feature.n_mels": [16, 32]}, objective="pseudo_auc")
    parts = [space.trained_part(space.combination(number)) for number in range(space.size)]
    assert parts[0] == parts[1] != parts[2] == parts[3]
    assert (space.scoring_keys, space.n_trainings) == (("scorer.pooling",), 2)


def test_augmentation_needs_a_training():
    """So `val_loss` can rank its trials, and trials with other augmentation share no training."""
    space = space_of(space={"augmentation.gain_db": [0, 3]})
    assert (space.scoring_keys, space.n_trainings) == ((), 2)
    assert space.trained_part({"augmentation.gain_db": 0}) != space.trained_part({"augmentation.gain_db": 3})


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, r"under `search\.space`, such as `feature\.frames: \[1, 5\]`\. Received: none\."),
        (
            {"space": {"featur.frames": [1], "model.hiden": [1]}},
            r"`featur\.frames` .*did you mean `feature\.frames`\?\n.*`model\.hiden` .* `model\.hidden`\?",
        ),
        ({"space": {"dev_directory": ["a", "b"]}}, r"Unknown setting `dev_directory`"),
        ({"space": {"fit.epochs": []}}, r"list of different values .* for `fit\.epochs` .*Received: \[\]"),
        ({"space": {"fit.epochs": [1, 1]}}, r"list of different values"),
        ({"space": {"fit.epochs": 3}}, r"list of different values .*Received: 3"),
        ({"space": {"fit.epochs": {"low": 5, "high": 1}}}, r"`low` below `high`"),
        ({"space": {"model.latent": {"low": 0, "high": 4, "log": True}}}, r"above 0 with `log: true`"),
        ({"space": {"model.latent": {"low": 1, "high": 4}}}, r"grid`\. Received: ranges of model\.latent\."),
        ({"space": {"fit.epochs": [1, 2]}, "strategy": "halving", "trials": 3}, r"no `fit\.epochs`"),
        ({"space": {"scorer.whiten": [True, False]}}, r"`val_loss`, which does not depend on scorer\.whiten"),
        ({"space": {"model.latent": [1]}, "strategy": "tpe"}, r"number of `search\.trials`"),
        ({"space": {"model.latent": [1]}, "objective": ["val_loss", "dev_auc"]}, r"val_loss or pseudo_auc or dev_auc"),
        ({"space": {"model.latent": [1]}, "seeds": [1, 1]}, r"different `search\.seeds`"),
        ({"space": {"model.latent": [1]}, "trials": 0}, r"`search\.trials` from 1"),
    ],
)
def test_what_can_t_be_searched_is_said(search, message):
    with pytest.raises(ConfigError, match=message):
        space_of(**search)


def run_study(directory, strategy, *, n_trials=12, is_killed=False):
    """Parameters of trials whose value is known; `is_killed` opens the study anew for each and leaves rubbish."""
    found, study = [], None
    for number in range(n_trials):
        if study is None or is_killed:
            study = Study(directory, MIXED, strategy, 7, minimizes=True)
            again = [study.parameters(earlier) for earlier in range(number)]
            assert again == found
        found.append(study.parameters(number))
        if is_killed:
            study = Study(directory, MIXED, strategy, 7, minimizes=True)
            assert study.parameters(number) == found[-1]  # it was not told a value
        study.finish(number, abs(found[-1]["model.latent"] - 20) if number % 5 else None)
        if is_killed:
            study.finish(number, 1e9)  # a second time, after a kill right before; it has its value
            journal = directory / JOURNAL
            lines = journal.read_bytes().splitlines(keepends=True)
            with journal.open("ab") as stream:
                stream.write(lines[1])  # a trial that is being drawn, without any values
                stream.write(lines[2][:20])  # a line that is being written
            journal.with_name(f"{JOURNAL}.lock").touch()
    return found


@pytest.mark.parametrize("strategy", ["random", "tpe"])
def test_a_search_that_was_killed_draws_the_same_parameters(tmp_path, strategy):
    uninterrupted = run_study(tmp_path / "one", strategy)
    assert run_study(tmp_path / "other", strategy, is_killed=True) == uninterrupted
    assert len({str(parameters) for parameters in uninterrupted}) == len(uninterrupted)
    for parameters in uninterrupted:
        assert isinstance(parameters["model.latent"], int) and 2 <= parameters["model.latent"] <= 64
        assert 1e-4 <= parameters["fit.compile.learning_rate"] <= 1e-1
        assert parameters["fit.epochs"] in (1, 2)


@pytest.mark.slow
def test_tpe_learns_from_values_and_they_show_what_mattered(tmp_path):
    far = {}
    for strategy in ("random", "tpe"):
        study = Study(tmp_path / strategy, MIXED, strategy, 1, minimizes=True)
        distances = []
        for number in range(40):
            distances.append(abs(study.parameters(number)["model.latent"] - 20))
            study.finish(number, distances[-1])
        far[strategy] = np.mean(distances[20:])
        assert next(iter(study.importances())) == "model.latent"
    assert far["tpe"] < 0.6 * far["random"]


def test_trials_are_ranked_by_the_mean_over_seeds(tmp_path):
    kept = Records(tmp_path)
    for number, values in enumerate([(0.5, 0.7), (0.9, None), (0.6, 0.6), (0.8, 0.2)]):
        for seed, value in enumerate(values):
            state, found = ("failed", {}) if value is None else ("finished", {"dev_auc": value})
            kept.write(
                Record(number, seed, {"model.hidden": [number]}, state, found, 1.0, "" if found else "no, never")
            )
    best = records.ranked(list(kept.all()), "dev_auc", 2, minimizes=False)
    assert [(trial.records[0].number, trial.value) for trial in best] == [
        (0, pytest.approx(0.6)), (2, pytest.approx(0.6)), (3, pytest.approx(0.5)),
    ]  # fmt: skip
    assert best[0].deviation == pytest.approx(0.02**0.5)
    head, *rows = csv.reader(records.as_csv({"fan": list(kept.all())}, ["dev_auc"], ["model.hidden"]).splitlines())
    assert head == ["machine", "trial", "seed", "state", "oracle_dev_auc", "seconds", "error", "model.hidden"]
    assert rows[3] == ["fan", "1", "1", "failed", "", "1.0", "no, never", "[1]"]


def test_a_damaged_result_is_none(tmp_path):
    kept = Records(tmp_path)
    kept.write(Record(0, 0, {}, "finished", {"val_loss": 0.5}))
    [path] = tmp_path.rglob("*.json")
    path.write_text(path.read_text().replace("0.5", "0.4"))
    assert kept.read(0, 0) is None


def test_without_optuna_one_sentence_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in ("ganad_tf.cli.searching", "ganad_tf.search.search", "ganad_tf.search.study"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert main(["search", str(tmp_path / "any.yaml")]) == 2
    assert "`ganad search` needs optuna; install the extra: pip install 'ganad_tf[search]'." in capsys.readouterr().err


def write_config(folder, **changes):
    """An experiment with tiny recordings of two machine types."""
    content = {
        "dev_directory": "dev",
        "feature": {"n_mels": 16, "frames": 1},
        "model": {"name": "SpectrumDensity"},
        "scorer": {"density": "mahalanobis"},
        "fit": {"epochs": 1, "verbose": 0},
        **changes,
    }
    path = folder / "search.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def table_of(folder):
    """Rows of `trials.csv` without the seconds, which no two runs have in common."""
    with (folder / "result" / "search" / "trials.csv").open(newline="") as stream:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(stream)]


SCORERS = {"scorer.neighbors": [1, 50], "scorer.density": ["knn", "mahalanobis"]}  # too few clips for 50 neighbours


def test_a_search_from_recordings_to_settings(tmp_path, ganad):
    write_machine(tmp_path / "dev", ids=("00",), n_train=4, n_test=2)
    write_config(tmp_path, search={"space": SCORERS, "objective": "dev_auc"})
    wrong = "search.space={feature.n_mels: [-1, 16], scorer.decay: [2.0], fit.epochs: [many]}"
    refused = ganad("search", "search.yaml", "--set", wrong, cwd=tmp_path, check=2).stderr
    for key, value in (("feature.n_mels", "-1"), ("scorer.decay", "2"), ("fit.epochs", "many")):
        assert f"`{key}: {value}` in `search.space`: " in refused
    assert len(refused.splitlines()) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dev", "search.yaml"]

    first = ganad("search", "search.yaml", cwd=tmp_path)
    assert "fan: 3 finished, 1 failed" in first.stdout
    assert "oracle_dev_auc" in first.stdout and "\noracle: " in first.stdout
    assert first.stderr.count("trained on") == 1
    assert [row["state"] for row in table_of(tmp_path)] == ["finished", "failed", "finished", "finished"]
    failed = table_of(tmp_path)[1]
    assert (failed["scorer.neighbors"], failed["scorer.density"], failed["oracle_dev_auc"]) == ("50", "knn", "")
    assert "`scorer.density: knn` with `scorer.neighbors: 50`" in failed["error"]
    assert failed["error"] in first.stderr
    again = ganad("search", "search.yaml", cwd=tmp_path)
    assert again.stdout == first.stdout
    assert "trial" not in again.stderr

    folder = tmp_path / "result" / "search"
    assert (folder / "parallel_fan.png").read_bytes().startswith(b"\x89PNG")
    text = (folder / "best_oracle.yaml").read_text()
    assert "\n# Oracle: " in text
    assert yaml.safe_load(text)["machines"] == {"fan": {"scorer": {"neighbors": 1, "density": "knn"}}}
    assert configuration.load(folder / "best_oracle.yaml").for_machine("fan").scorer.density == "knn"
    assert not (folder / "best.yaml").exists()
    both = "ensemble.members=[{model: {name: SpectrumDensity}}, {name: b, model: {name: SpectrumDensity}}]"
    ensemble = ganad("search", "search.yaml", "--set", both, cwd=tmp_path, check=2).stderr
    assert "Expected one system to search settings for. Received: an ensemble" in ensemble
    ids = ["search.objective=pseudo_auc", "search.space={model.name: [IDClassifier, SpectrumDensity]}"]
    labels = ganad("search", "search.yaml", "--set", *ids, cwd=tmp_path, check=2).stderr
    assert labels.startswith("ganad: `model.name: IDClassifier` in `search.space`: Expected ")
    other = ganad("search", "search.yaml", "--set", "search.objective=pseudo_auc", cwd=tmp_path, check=2).stderr
    assert "was made with `search.measured: ['dev_auc']`" in other and "--fresh" in other


@pytest.mark.slow
def test_a_search_of_two_machine_types(tmp_path, ganad):
    for machine in ("fan", "pump"):
        write_machine(tmp_path / "dev", machine, ids=("00",))
    space = {"feature.n_mels": [16, 20], "scorer.density": ["knn", "mahalanobis"]}
    write_config(tmp_path, search={"space": space, "objective": "dev_auc"}, tensorboard={"directory": "logs"})
    planned = ganad("search", "search.yaml", "--dry-run", "--machine", "fan", cwd=tmp_path).stdout
    assert re.fullmatch(r"fan: 4 trials, about \S+ hours \(\S+ s for one of 1 epochs, \S+ s of it .*\)\n", planned)
    assert not (tmp_path / "result").exists()
    ganad("search", "search.yaml", "--machine", "fan", "-q", "--set", "search.trials=3", cwd=tmp_path)
    three = table_of(tmp_path)
    rest = ganad("search", "search.yaml", cwd=tmp_path).stderr
    assert re.findall(r"(\w+): trial (\d)", rest) == [("fan", "3"), *(("pump", f"{number}") for number in range(4))]
    assert rest.count("pump: trained on") == 2  # once for each number of mel bands
    assert table_of(tmp_path)[:3] == three
    assert [row["machine"] for row in table_of(tmp_path)] == ["fan"] * 4 + ["pump"] * 4
    folder = tmp_path / "result" / "search"
    assert {path.name for path in folder.glob("parallel_*.png")} == {"parallel_fan.png", "parallel_pump.png"}
    shown = [EventAccumulator(str(path)).Reload() for path in (tmp_path / "logs" / "search" / "fan").iterdir()]
    assert [row.Tags()["tensors"] for row in shown] == [["_hparams_/session_start_info", "oracle_dev_auc"]] * 4
    best = yaml.safe_load((folder / "best_oracle.yaml").read_text())
    assert best["machines"].keys() == {"fan", "pump"} and "search" not in best
    ganad("train", folder / "best_oracle.yaml", "--machine", "fan", "-q", cwd=tmp_path)
    assert (folder / "best_oracle" / "model" / "dev" / "fan" / "detector.keras").exists()
    again = ganad("search", "search.yaml", "--machine", "fan", "--fresh", "--set", "search.trials=1", cwd=tmp_path)
    assert "fan: trial 0," in again.stderr
    assert [row["machine"] for row in table_of(tmp_path)] == ["fan"] + ["pump"] * 4


NETWORK = {
    "model": {"name": "DenseAE", "hidden": [8], "latent": 2},
    "fit": {"epochs": 3, "batch_size": 64, "verbose": 0, "validation_split": 0.3},
}


@pytest.mark.slow
def test_killed_again_and_again_a_search_ends_as_if_it_had_not_been(tmp_path, ganad):
    space = {
        "model.latent": {"low": 2, "high": 6},
        "fit.compile.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    }
    search = {"space": space, "strategy": "random", "trials": 3, "seeds": [1]}
    for name in ("once", "killed"):
        write_machine(tmp_path / name / "dev", ids=("00",))
        write_config(tmp_path / name, search=search, **NETWORK)
    ganad("search", "search.yaml", "-q", cwd=tmp_path / "once")
    killed, moments = tmp_path / "killed", random.Random(0)
    n_kills, finished = 0, set()
    while n_kills < 3:
        command = Command("search", "search.yaml", "-q", cwd=killed)
        time.sleep(moments.uniform(1.0, 3.5))
        command.kill()
        command.rest_of_log()
        if command.returncode == 0:
            break
        n_kills += 1
        there = {path: path.read_bytes() for path in (killed / "result").rglob("trials/*-*.json")}
        assert finished <= set(there.items())  # none is repeated
        finished = set(there.items())
    assert n_kills >= 2
    ganad("search", "search.yaml", "-q", cwd=killed)
    assert table_of(killed) == table_of(tmp_path / "once")
    files = [path / "result" / "search" / "best.yaml" for path in (killed, tmp_path / "once")]
    assert files[0].read_text() == files[1].read_text()


@pytest.mark.slow
def test_halving_goes_on_with_the_better_third(tmp_path, ganad):
    write_machine(tmp_path / "dev", ids=("00",))
    space = {"fit.compile.learning_rate": {"low": 1e-5, "high": 1e-1, "log": True}}
    search = {"space": space, "strategy": "halving", "trials": 3}
    write_config(tmp_path, search=search, **NETWORK)
    done = ganad("search", "search.yaml", cwd=tmp_path)
    results = list(Records(tmp_path / "result" / "search" / "machines" / "fan").all())
    assert sorted(record.state for record in results) == ["finished", "pruned", "pruned"]
    assert "fan: 1 finished, 2 pruned" in done.stdout
    [best] = (record for record in results if record.state == "finished")
    assert best.curve["1"] == min(record.curve["1"] for record in results)
    assert {tuple(record.curve) for record in results if record is not best} == {("1",)}
    alone = ["search.strategy=grid", "search.trials=null", "search.directory=alone"]
    alone.append(f"search.space={{fit.compile.learning_rate: [{best.parameters['fit.compile.learning_rate']!r}]}}")
    ganad("search", "search.yaml", "-q", "--set", *alone, cwd=tmp_path)
    [whole] = Records(tmp_path / "alone" / "machines" / "fan").all()
    assert whole.values == best.values  # a training that paused is the same to the last digit


@pytest.mark.slow
def test_scorers_share_the_trainings_of_the_selection_without_labels(tmp_path, ganad):
    write_machine(tmp_path / "dev", ids=("00",), n_train=12)
    space = {"scorer.pooling": ["mean", "gwrp", "lulls"]}
    write_config(tmp_path, search={"space": space, "objective": "pseudo_auc"})
    done = ganad("search", "search.yaml", cwd=tmp_path)
    assert done.stderr.count("trained on") == 1
    values = {row["scorer.pooling"]: float(row["pseudo_auc"]) for row in table_of(tmp_path)}
    assert len(set(values.values())) == 3 and all(0 < value < 1 for value in values.values())
    best = yaml.safe_load((tmp_path / "result" / "search" / "best.yaml").read_text())
    assert best["machines"]["fan"]["scorer"]["pooling"] == max(values, key=values.get)
    assert not list((tmp_path / "result" / "search" / "machines" / "fan" / "models").iterdir())
    ganad("run", "result/search/best.yaml", "-q", cwd=tmp_path)
    ganad("report", "result/search/best/result", "-q", cwd=tmp_path)
    page = (tmp_path / "result" / "search" / "best" / "result" / "report" / "report.html").read_text()
    assert page.count("Settings that were tried") == 2  # alternative text and caption
