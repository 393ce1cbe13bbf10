"""Ensembles whose members are configurations: what they inherit, and one command for everything."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import write_machine

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.errors import ConfigError
from ganad_tf.exporting import trained_system
from ganad_tf.results import decisions, score_files
from ganad_tf.run import machine_runs

MAPPING = {
    "seed": 7,
    "feature": {"standardize": True, "n_mels": 32},
    "fit": {"epochs": 3},
    "scorer": {"pooling": "lulls"},
    "threshold": {"method": "quantile"},
    "machines": {"valve": {"scorer": {"pooling": "gwrp"}, "fit": {"batch_size": 8}}},
    "ensemble": {
        "members": [
            {"model": {"name": "GANomaly", "latent": 4}, "machines": {"valve": {"scorer": {"pooling": "max"}}}},
            {"name": "other", "model": {"name": "DenseAE"}, "fit": {"epochs": 5}, "scorer": {"neighbors": 3}},
            {"model": {"name": "SpectrumDensity"}, "feature": {"n_mels": 16}, "seed": 8},
            "elsewhere",
        ]
    },
}


def members_of(mapping=MAPPING, machine=None, *overrides):
    config = configuration.from_mapping(mapping, source="test", overrides=overrides)
    return (config.for_machine(machine) if machine else config).member_configs()


def test_a_member_has_from_the_outer_file_what_it_does_not_say():
    found = members_of()
    assert list(found) == ["ganomaly", "other", "spectrumdensity"]
    assert [config.seed for config in found.values()] == [7, 7, 8]
    assert [config.fit.epochs for config in found.values()] == [3, 5, 3]
    assert [config.feature.n_mels for config in found.values()] == [32, 32, 16]
    assert [config.scorer.neighbors for config in found.values()] == [1, 3, 1]
    assert {(config.scorer.name, config.scorer.pooling) for config in found.values()} == {("density", "lulls")}
    assert all(config.feature.standardize for config in found.values())
    assert not any(config.ensemble.members for config in found.values())
    assert found["other"].result_directory == "result/members/other"
    assert found["other"].model_directory == "model/members/other"
    caches = [config.cache_directory for config in found.values()]
    assert caches == ["./cache", "./cache", "cache/members/spectrumdensity"]  # one per set of features
    config = configuration.from_mapping(MAPPING, source="test")
    assert config.member_directories()[2:] == ["result/members/spectrumdensity", "elsewhere"]
    assert configuration.from_mapping(configuration.to_dict(config), source="test") == config


def test_machine_types_win_over_members_and_the_members_over_those():
    found = members_of(MAPPING, "valve")
    assert [config.scorer.pooling for config in found.values()] == ["max", "gwrp", "gwrp"]
    assert {config.fit.batch_size for config in found.values()} == {8}
    assert found["other"].fit.epochs == 5
    assert members_of(MAPPING, "fan") == members_of({**MAPPING, "machines": {}}, "fan")


def test_the_command_line_wins_over_all_and_can_name_a_member():
    found = members_of(MAPPING, "valve", "scorer.pooling=mean", "fit.epochs=9", "ensemble.members.other.fit.epochs=1")
    assert {config.scorer.pooling for config in found.values()} == {"mean"}
    assert [config.fit.epochs for config in found.values()] == [9, 1, 9]
    assert members_of(MAPPING, None, "ensemble.members.ganomaly.model.latent=2")["ganomaly"].model.arguments == {
        "latent": 2
    }
    outer = {"model": {"name": "DenseAE", "hidden": [8]}, "ensemble": {"members": [{"name": "a"}, {"name": "b"}]}}
    found = members_of(outer, None, "model.hidden=[4]")
    assert {tuple(config.model.arguments["hidden"]) for config in found.values()} == {(4,)}


@pytest.mark.parametrize(
    ("changed", "overrides", "sentence"),
    [
        ([{"model": {"name": "IDNN"}}] * 2, [], "another `name` for each member. Received: 'idnn' twice"),
        ([{"name": "../x"}, "b"], [], r"`name` of letters, digits and `_.-` for each member. Received: '../x'"),
        ([{"epoch": 1}, "b"], [], r"unknown key `ensemble.members\[0\].epoch`"),
        ([{"name": "a", "fit": {"epoch": 1}}, "b"], [], r"test: ensemble.members.a: .*`fit.epoch`; did you mean"),
        ([{"name": "a"}], [], "two result directories or configurations or more"),
        (None, ["model.latent=3"], r"Expected `--set ensemble.members.NAME.model.latent=3` with the name of a member"),
        (None, ["ensemble.members.ganomal.seed=3"], r"no member `ganomal`; did you mean `ganomaly`\?"),
        ([{"name": "a", "model": 3}, "b"], [], r"ensemble.members.a: expected a section with keys .* Received: 3"),
        ([{"name": "a", "machines": ["fan"]}, "b"], ["ensemble.members.a.fit.epochs=1"], "for `machines`. Received"),
        (["$NOWHERE/a.yaml", "b"], [], "the environment variable `NOWHERE` is not set"),
        (["both.yaml", "b"], [], "Can't read the configuration both.yaml: No such file"),
    ],
)
def test_one_sentence_names_the_member(changed, overrides, sentence):
    mapping = {**MAPPING, "ensemble": {"members": changed}} if changed else MAPPING
    with pytest.raises(ConfigError, match=sentence):
        members_of(mapping, None, *overrides)


def test_other_settings_of_a_member_are_other_settings_of_the_ensemble():
    config, other = (
        configuration.from_mapping(MAPPING, source="test", overrides=[f"ensemble.members.other.fit.epochs={number}"])
        for number in (5, 6)
    )
    here, there = config.score_settings(), other.score_settings()
    assert [key for key in here if here[key] != there[key]] == ["members.other.fit.epochs"]


def test_the_recommendation_is_the_two_files_and_their_ensemble():
    load = configuration.load
    yaml = Path(__file__).parents[1] / "yaml"
    recommended = load(yaml / "recommended.yaml")
    for machine in ("fan", "valve"):
        for name, file in (("ganomaly", "ganomaly_density"), ("spectrum_density", "spectrum_density")):
            member, alone = recommended.for_machine(machine).member_configs()[name], load(yaml / f"{file}.yaml")
            assert member.score_settings() == alone.for_machine(machine).score_settings()
    assert recommended.ensemble.combine == load(yaml / "ensemble.yaml").ensemble.combine


SYSTEM = """
dev_directory: ./dev
model_directory: ./model/{name}
result_directory: ./result/{name}
feature: {{n_mels: 16, frames: 2, standardize: true}}
model: {{name: SpectrumDensity}}
fit: {{epochs: 1}}
scorer: {{pooling: {name}}}
"""
ENSEMBLE = "dev_directory: ./dev\nthreshold: {{method: quantile}}\nensemble: {{members: [{}]}}\n{}"


@pytest.fixture(scope="module")
def project(tmp_path_factory, ganad):
    """Two systems and their ensemble, and the same as one configuration."""
    place = tmp_path_factory.mktemp("members")
    write_machine(place / "dev", ids=("00",), n_train=8)
    for name in ("mean", "max"):
        (place / f"{name}.yaml").write_text(SYSTEM.format(name=name))
    (place / "both.yaml").write_text(
        ENSEMBLE.format("./result/mean, ./result/max", "result_directory: ./result/both\n")
    )
    (place / "one.yaml").write_text(ENSEMBLE.format("mean.yaml, max.yaml", ""))
    for name in ("mean", "max", "both"):
        ganad("run", f"{name}.yaml", "-q", cwd=place)
    shutil.rmtree(place / "cache")
    return place, ganad("run", "one.yaml", cwd=place)


@pytest.mark.slow
def test_one_command_gives_the_scores_of_the_three(project):
    place, done = project
    assert done.stderr.count("fan train: 8 clips prepared") == done.stderr.count("prepared") / 2 == 1
    for name in ("mean", "max"):
        assert f"fan {name}: trained on 7 clips" in done.stderr
        assert f"fan {name}: scored 6 clips" in done.stderr
    for folder in (".", "members/mean", "members/max"):
        twin = {".": "both", "members/mean": "mean", "members/max": "max"}[folder]
        paths = sorted((place / "result" / twin).glob("*.csv"))
        assert len(paths) == 4
        for path in paths:
            if "decision" in path.name and folder != ".":
                continue  # by the ensemble's method of the threshold
            assert (place / "result" / folder / path.name).read_text() == path.read_text(), path


@pytest.mark.slow
def test_the_verbs_do_it_one_by_one_too(project, ganad):
    place, done = project
    before = (place / "result" / "anomaly_score_fan_id_00.csv").read_bytes()
    for verb in ("prepare", "train", "score"):
        said = ganad(verb, "one.yaml", cwd=place).stderr
        assert verb != "train" or "fan max: already trained with this configuration, in model/members/max/" in said
    assert (place / "result" / "anomaly_score_fan_id_00.csv").read_bytes() == before
    assert ganad("evaluate", "one.yaml", cwd=place).stdout == done.stdout
    assert "fan" in ganad("list", "one.yaml", cwd=place).stdout
    changed = ganad("evaluate", "one.yaml", "--set", "ensemble.members.max.seed=1", cwd=place, check=2)
    assert "The score file of fan max was made with `seed: 0`, this configuration has `seed: 1`" in changed.stderr
    changed = ganad("train", "one.yaml", "--set", "fit.epochs=2", cwd=place, check=2)
    assert "model/members/mean/dev/fan was made with `fit.epochs: 1`" in changed.stderr


@pytest.mark.slow
def test_it_is_exported_as_the_ensemble_is(project, monkeypatch):
    place, _ = project
    monkeypatch.chdir(place)
    gathered = []
    for name in ("one.yaml", "both.yaml"):
        config = configuration.load(name)
        (run,) = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
        gathered.append(trained_system.gather(run))
    one, both = gathered
    assert one.threshold == both.threshold
    assert one.train_scores().tolist() == both.train_scores().tolist()
    assert one.config.feature == both.config.feature
    assert [member.fitted.settings.pooling for member in one.members] == ["mean", "max"]


@pytest.mark.slow
def test_its_report_names_the_members(project, ganad):
    place, _ = project
    ganad("report", "result", "--clips", "1", cwd=place)
    assert "Ensemble of mean and max." in (place / "result" / "report" / "report.html").read_text()
    origin = json.loads((place / "result" / "score_origin_dev_fan.json").read_text())
    assert list(origin["members"]) == ["mean", "max"]
    path = place / "result" / "members" / "max" / "train_score_dev_fan.csv"
    kept = path.read_text()
    score_files.write_scores(path, score_files.read_scores(path)[:-1])
    assert "The scores of fan in max are not those that were" in ganad("report", "result", cwd=place, check=2).stderr
    path.write_text(kept)


@pytest.mark.parametrize(("n_alarms", "is_said"), [(2, False), (3, True)])
def test_too_many_alarms_among_clips_that_are_not_anomalies(tmp_path, caplog, n_alarms, is_said):
    """Six normal clips and six anomalies, which are called so, of two machine IDs."""
    write_machine(tmp_path / "dev", n_test=3)
    mapping = {"dev_directory": str(tmp_path / "dev"), "result_directory": str(tmp_path / "result")}
    config = configuration.from_mapping(mapping, source="test")
    (run,) = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
    clips = run.listing.clips_of("test")
    called = {clip for clip in clips if clip.label} | set([clip for clip in clips if not clip.label][:n_alarms])
    for machine_id in ("00", "02"):
        rows = [(clip.name, int(clip in called)) for clip in clips if clip.machine_id == machine_id]
        score_files.write_rows(tmp_path / "result" / f"decision_result_fan_id_{machine_id}.csv", rows)
    decisions.warn_of_scored([run])
    said = "3 of 6 test clips of fan that are not labelled as anomalies are called anomalous; if the machine is healthy"
    assert [record.message.startswith(said) for record in caplog.records] == [True] * is_said


def test_a_share_of_few_clips_says_nothing(caplog):
    decisions.warn("recordings", [True] * 5)
    decisions.warn("recordings", [True] * 2 + [False] * 4)
    assert not caplog.records
