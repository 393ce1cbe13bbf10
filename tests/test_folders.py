"""`ganad run FOLDER` and `ganad predict FOLDER-ganad`, on real recordings through the real command line."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from conftest import tone, write_wav

from ganad_tf import config as configuration
from ganad_tf.cli import projects
from ganad_tf.cli.projects import Project
from ganad_tf.errors import ConfigError

TINY = [
    "feature.n_mels=16",
    "fit.epochs=1",
    "fit.min_steps=0",
    "threshold.folds=2",
    "ensemble.members.ganomaly.model.hidden=[8]",
]


def write_folder(folder: Path, *, n_anomaly: int = 2, rate: int = 16000, n_normal: int = 10) -> Path:
    for index in range(n_normal):
        write_wav(folder / "normal" / f"{index}.wav", tone(0.5, seed=index), rate)
    for index in range(n_anomaly):
        write_wav(folder / "anomaly" / f"{index}.wav", tone(0.5, hz=2000, seed=50 + index), rate)
    return folder


def read_scores(path: Path) -> dict[str, float]:
    return {name: float(score) for name, score in csv.reader(path.read_text().splitlines())}


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory, ganad):
    """A folder, the output of its run, and new recordings elsewhere."""
    home = tmp_path_factory.mktemp("folders")
    write_folder(home / "my fan")
    for index in range(4):
        write_wav(home / "new" / "deep" / f"normal {index}.wav", tone(0.5, seed=100 + index))
        write_wav(home / "new" / f"broken {index}.wav", tone(0.5, hz=2000, seed=200 + index))
    return home, ganad("run", "my fan/", "--set", *TINY, cwd=home)


@pytest.mark.slow
def test_one_command_and_then_the_next(folder_run, ganad):
    home, done = folder_run
    project = home / "my fan-ganad"
    chosen, *_, report, following = done.stdout.splitlines()
    assert chosen.startswith("my fan: ")
    table, row, *_ = "".join(done.stdout.partition("machine ")[1:]).splitlines()
    assert table.split()[:3] == ["machine", "training", "normal"]
    assert row.removeprefix("my fan").split()[::2] == ["8", "0", "2"]
    assert report == "report: my fan-ganad/report/report.html"
    assert "<audio" in (home / report.removeprefix("report: ")).read_text()
    assert "Without ganomaly, which has learned little: it was trained for " in done.stdout
    assert "my fan spectrum_density: scored 4 clips" in done.stderr
    assert done.stderr.count("my fan train: 8 clips prepared") == 1

    words = following.replace("'", "").removeprefix("new recordings: ganad predict ")
    assert words == "my fan-ganad NEW_RECORDINGS"
    elsewhere = home / "new" / "deep"
    predicted = ganad("predict", project, home / "new", "--json", cwd=elsewhere)
    rows = json.loads(predicted.stdout)
    scores = {kind: [row["anomaly_score"] for row in rows if kind in row["file"]] for kind in ("normal", "broken")}
    assert max(scores["normal"]) < min(scores["broken"])
    n_anomalies = sum(row["is_anomaly"] for row in rows)
    assert n_anomalies >= 4
    assert f"{n_anomalies} of 8 recordings are called anomalous; if the machine is healthy" in predicted.stderr

    test_clips = read_scores(project / "result" / "anomaly_score_my fan_id_00.csv")
    paths = [home / "my fan" / name for name in test_clips]
    again = json.loads(ganad("predict", "../../my fan-ganad", *paths, "--json", cwd=elsewhere).stdout)
    assert [row["anomaly_score"] for row in again] == pytest.approx(list(test_clips.values()), rel=1e-5)


@pytest.mark.slow
def test_the_configuration_says_it_all(folder_run, tmp_path, monkeypatch):
    home, _ = folder_run
    monkeypatch.chdir(tmp_path)
    config = configuration.load(home / "my fan-ganad" / "config.yaml")
    assert Path(config.dev_directory) == home / "my fan"
    assert (config.dataset.name, config.audio.resample, config.audio.sample_rate) == ("folder", True, 16000)
    members = config.member_configs()
    assert [(member.model.name, member.fit.epochs, member.feature.n_mels) for member in members.values()] == [
        ("GANomaly", 1, 16),
        ("SpectrumDensity", 1, 16),
    ]
    assert Path(members["ganomaly"].model_directory) == home / "my fan-ganad" / "model" / "members" / "ganomaly"


@pytest.mark.slow
def test_a_second_run_does_nothing_twice_and_other_recordings_or_settings_lose_nothing(folder_run, ganad, tmp_path):
    home, done = folder_run
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)  # the project may be moved
    project = tmp_path / "my fan-ganad"
    config = project / "config.yaml"
    config.write_text(config.read_text().replace(str(home), str(tmp_path)))
    before = config.read_text()
    again = ganad("run", "my fan", cwd=tmp_path)
    assert done.stdout.endswith(again.stdout)  # without the selection
    assert again.stdout.startswith("machine ")
    assert "my fan spectrum_density: already trained" in again.stderr
    assert "my fan: already exported" in again.stderr
    assert config.read_text() == before

    scores = read_scores(project / "result" / "anomaly_score_my fan_id_00.csv")
    shutil.rmtree(project / "model")
    assert "already" not in ganad("run", config, cwd=home).stderr
    assert read_scores(project / "result" / "anomaly_score_my fan_id_00.csv") == scores

    changed = ganad("run", "my fan", "--set", "fit.epochs=2", cwd=tmp_path, check=2)
    assert "fit.epochs: 1" in changed.stderr
    assert "--fresh begins again, --out DIR keeps both." in changed.stderr
    assert config.read_text() == before
    write_wav(tmp_path / "my fan" / "normal" / "more.wav", tone(0.5, seed=99))
    changed = ganad("run", "my fan", cwd=tmp_path, check=2)
    assert "was trained on other recordings than those of my fan now" in changed.stderr
    assert "--fresh begins again, --out DIR keeps both." in changed.stderr
    ganad("run", "my fan", "--fresh", "--set", "fit.epochs=2", cwd=tmp_path)
    assert "epochs: 2" in config.read_text()
    assert sorted(path.name for path in (project / "exported" / "my_fan").iterdir()) == ["1", "2"]


@pytest.mark.slow
def test_several_machines_without_anomalies_at_mixed_rates(ganad, tmp_path):
    write_folder(tmp_path / "halls" / "fan", n_anomaly=0, n_normal=12)
    write_folder(tmp_path / "halls" / "pump", n_anomaly=0, rate=22050)
    write_wav(tmp_path / "halls" / "pump" / "normal" / "fast.wav", tone(0.5, seed=70), 48000)
    done = ganad("run", ".", "--out", "../out", "--set", *TINY, cwd=tmp_path / "halls")
    assert "no AUC of fan, pump" in done.stdout
    assert done.stdout.splitlines()[-1] == "new recordings: ganad predict ../out --machine fan NEW_RECORDINGS"
    new = write_wav(tmp_path / "new" / "pump" / "x.wav", tone(0.5, seed=71), 22050)
    unclear = ganad("predict", "out", tmp_path / "halls" / "fan" / "normal", cwd=tmp_path, check=2)
    assert "Expected --machine M, or recordings in one folder of a machine's name" in unclear.stderr
    assert "has models of fan, pump." in unclear.stderr
    by_name = ganad("predict", "out", "new/pump", "--csv", cwd=tmp_path).stdout
    assert by_name == ganad("predict", "out", "--machine", "pump", new, "--csv", cwd=tmp_path).stdout.replace(
        str(tmp_path) + "/", ""
    )
    assert by_name != ganad("predict", "out", "--machine", "fan", "new/pump", "--csv", cwd=tmp_path).stdout
    assert "did you mean `pump`?" in ganad("predict", "out", "--machine", "pum", new, cwd=tmp_path, check=2).stderr
    assert "set another --out DIR" in ganad("run", "halls/fan", "--out", "out", cwd=tmp_path, check=2).stderr


@pytest.mark.slow
def test_what_can_t_be_run_gets_one_sentence_and_nothing_is_written(folder_run, ganad, tmp_path):
    home, _ = folder_run
    write_wav(tmp_path / "pump" / "a.wav", tone(0.5))
    (tmp_path / "empty" / "normal").mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    for name in ("a.txt", "b.aup3"):
        (tmp_path / "notes" / name).write_text("")
    write_folder(tmp_path / "many", n_normal=5)
    (tmp_path / "many-ganad").write_text("")
    write_folder(tmp_path / "broken", n_normal=0)
    write_folder(tmp_path / "few", n_normal=3)
    (tmp_path / "x.yaml").write_text("")
    (tmp_path / "made" / "cache").mkdir(parents=True)
    (tmp_path / "made" / "config.yaml").write_text("")
    refused = {
        ("run", home / "my fan-ganad"): "which `ganad run` has written; `ganad run",
        ("run", "empty"): "Expected recordings (WAV, FLAC, OGG, ...) in empty, but there are none.",
        ("run", "notes"): "but there are none. Other files in it: 2, such as notes/a.txt.",
        ("run", "broken"): "Expected recordings of the healthy machine in broken/normal, but there are only those of",
        ("run", "few"): "add recordings (1 of the 3 normal clips is for the test; 4 in all are enough).",
        ("run", "pump", "--eval"): "`ganad predict` judges new recordings by its exported model.",
        ("run", "many"): "many-ganad (File exists); choose another directory with --out DIR.",
        ("run", "pump", "--out", "pump/out"): "`cache_directory` outside of `dev_directory`",
        ("run", "x.yaml", "--out", "y"): "Expected a folder of recordings with --out. Received: x.yaml.",
        ("train", "pump"): "Received: pump, a folder, which `ganad run` and `ganad list` take",
        ("serve", "made"): "Expected exported models in made/exported, but",
        ("predict", "pump", "--machine", "m", "pump"): "Expected the output of `ganad run FOLDER` with --machine.",
    }
    for words, sentence in refused.items():
        last = ganad(*words, cwd=tmp_path, check=2).stderr.splitlines()[-1]
        assert sentence in last, words
        assert last.startswith("ganad: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("broken", "empty", "few", "made", "many", "many-ganad", "notes", "pump", "x.yaml")
    ]
    assert "pump" in ganad("list", "pump", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("machine,chosen\nfew,yes\n", "add recordings (1 of the 3 normal clips is for the test"),
        ('"machine\n' + "few,yes\n" * 20_000, "selection.csv (field larger than field limit (131072)); remove it"),
    ],
)
def test_a_project_whose_files_were_edited_begins_again_or_says_what_is_wrong(ganad, tmp_path, table, said):
    """There is no section `machines` any more."""
    write_folder(tmp_path / "few", n_normal=3)
    project = Project(tmp_path / "few-ganad")
    project.path.mkdir()
    settings = "dataset: {name: folder}\nselection: {scorers: [{pooling: max}]}\nscorer: {name: density}\n"
    project.config.write_text(f"dev_directory: {tmp_path}/few\n{settings}")
    project.selection.write_text(table)
    assert said in ganad("run", "few", "--fresh", cwd=tmp_path, check=2).stderr


def test_the_directory_beside_a_folder(tmp_path, monkeypatch):
    (tmp_path / "fan" / "normal").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "fan")
    monkeypatch.chdir(tmp_path / "fan")
    for folder in (".", "../fan/", "normal/..", tmp_path / "fan"):
        assert projects.beside(Path(folder)) == tmp_path / "fan-ganad"
    assert projects.beside(tmp_path / "link") == tmp_path / "link-ganad"
    assert projects.shown(tmp_path / "fan-ganad" / "x") == "../fan-ganad/x"
    with pytest.raises(ConfigError, match="set --out DIR"):
        projects.beside(Path("/"))


def test_the_output_of_a_run_is_no_machine(tmp_path):
    from ganad_tf import datasets

    write_folder(tmp_path / "fan")
    project = Project(projects.beside(tmp_path / "fan"))
    (project.path / "cache").mkdir(parents=True)
    project.config.write_text("")
    config = configuration.from_mapping({"dev_directory": str(tmp_path), "dataset": {"name": "folder"}}, source="test")
    assert [listing.machine for listing in datasets.list_clips(config, "dev")] == ["fan"]
