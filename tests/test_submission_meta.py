"""The meta file of a submission, with results of development data alone, and parts of files that are refused."""

import dataclasses
import shutil

import pytest
import yaml
from conftest import write_wav
from test_official_scores import evaluate, runs_of

from ganad_tf import config as configuration
from ganad_tf.errors import DataError
from ganad_tf.results import compare, official_files, submission, submission_meta

LABEL = "Muster_INST_task2_1"


def description_of(**settings):
    config = configuration.from_mapping({"dataset": {"name": "dcase2023"}, **settings}, source="test")
    return submission_meta.content([config], 2023, LABEL)["system"]["description"]


@pytest.mark.parametrize(
    ("settings", "features"),
    [
        ({}, "log-mel energies"),
        ({"feature": {"kind": "mfcc"}}, "MFCC"),
        ({"feature": {"kind": "pcen"}}, "PCEN"),
        ({"feature": {"kind": "linear"}}, "log-magnitude spectrogram"),
        ({"feature": {"encoder": "/somewhere/net.onnx"}}, "raw waveform"),
    ],
)
def test_features_are_those_of_the_configuration(settings, features):
    assert description_of(**settings)["acoustic_features"] == features


def test_augmentation_is_named(tmp_path):
    write_wav(tmp_path / "noise" / "hall.wav", [0.0] * 16000)
    waveform = {"copies": 1, "speed": 0.1, "background": str(tmp_path / "noise")}
    augmentation = {"mixup": 0.2, "band_mask": 8, "waveform": waveform}
    named = description_of(augmentation=augmentation)["data_augmentation"]
    assert named == "mixup, frequency masking, time stretching, background noise"
    assert description_of()["data_augmentation"] is None


def test_an_ensemble_is_described_by_its_members(tmp_path, caplog):
    encoder = tmp_path / "beats.onnx"
    encoder.write_bytes(b"weights")
    members = [
        {"name": "one", "feature": {"encoder": str(encoder)}, "model": {"name": "SpectrumDensity"}},
        {"name": "two", "feature": {"kind": "mfcc"}, "augmentation": {"mixup": 0.2}},
        "elsewhere",
    ]
    described = description_of(ensemble={"members": members})
    assert described["embeddings"] == "beats.onnx"
    assert described["external_data_usage"] == "pre-trained model"
    assert described["acoustic_features"] == "raw waveform, MFCC"
    assert described["machine_learning_method"] == "SpectrumDensity, DenseAE"
    assert described["data_augmentation"] == "mixup"
    assert described["ensemble_method_subsystem_count"] == 3
    assert "will lack the systems whose scores are in elsewhere" in caplog.text
    elsewhere = description_of(ensemble={"members": ["here", "there"]})
    assert elsewhere["machine_learning_method"] is elsewhere["acoustic_features"] is None


def test_machine_types_of_other_settings_are_described_too():
    config = configuration.from_mapping({"machines": {"fan": {"model": {"name": "IDNN"}}}}, source="test")
    configs = [config.for_machine(machine) for machine in ("fan", "ToyCar")]
    described = submission_meta.content(configs, 2020, LABEL)["system"]["description"]
    assert described["machine_learning_method"] == "IDNN, DenseAE"


def development_results(runs, out):
    folder = submission.write(runs, LABEL, out)
    found = yaml.safe_load((folder / f"{LABEL}.meta.yaml").read_text())["results"]["development_dataset"]
    shutil.rmtree(folder)
    return found


@pytest.mark.parametrize("year", [2020, 2023])
def test_results_are_only_those_of_the_development_data(tmp_path, year, caplog):
    development = runs_of(tmp_path, f"dcase{year}")
    evaluation = [dataclasses.replace(run, mode="eval") for run in development]
    official_files.evaluate_runs(development, keep=False)
    assert development_results(evaluation, tmp_path).keys() == {"fan", "ToyCar"}
    fan = [run for run in evaluation if run.machine == "fan"]
    official_files.evaluate_runs(fan, keep=True)  # with labels that came later
    assert development_results(evaluation, tmp_path).keys() == {"ToyCar"}
    official_files.evaluate_runs(evaluation, keep=False)
    assert development_results(evaluation, tmp_path) is None
    official_files.evaluate_runs(development, keep=False)
    (tmp_path / "result" / "result_modes.json").unlink()  # a table from elsewhere
    caplog.clear()
    assert development_results(evaluation, tmp_path) is None
    assert "no results of the development data in" in caplog.text


def without_anomalies(run):
    clips = tuple(dataclasses.replace(clip, label=0) for clip in run.listing.clips)
    return dataclasses.replace(run, listing=dataclasses.replace(run.listing, clips=clips))


@pytest.mark.parametrize("year", [2020, 2021, 2022])
def test_a_machine_type_without_an_auc_is_null_and_the_others_stay_readable(tmp_path, year):
    runs = [without_anomalies(run) if run.machine == "fan" else run for run in runs_of(tmp_path, f"dcase{year}")]
    official_files.evaluate_runs(runs, keep=False)
    found = development_results(runs, tmp_path)
    assert set(found["fan"].values()) == {None}
    assert min(found["ToyCar"].values()) > 40
    with pytest.raises(DataError, match=r"Expected an AUC of fan in .*result\.csv\. Received: nan"):
        compare.read_systems([str(tmp_path / "result")])


def in_parts(run, **part):
    """The run with a second clip of the first test clip's file."""
    first = run.listing.clips[0]
    clips = (*run.listing.clips, dataclasses.replace(first, name=f"{first.name}#other", **part))
    return dataclasses.replace(run, listing=dataclasses.replace(run.listing, clips=clips))


@pytest.mark.parametrize("part", [{"channel": 1}, {"span": (10.0, 20.0)}])
def test_clips_that_are_parts_of_a_file_are_refused(tmp_path, part, capsys):
    runs = [in_parts(run, **part) for run in runs_of(tmp_path, "dcase2023")]
    for run in runs:
        file = next((tmp_path / "result").glob(f"anomaly_score_{run.machine}_id_00.csv"))
        file.write_text(file.read_text() + f"{run.listing.clips[-1].name},1.0\n")
    with pytest.raises(DataError, match=r"each file for a submission; .* of a file of .*fan.*, such as ToyCar/"):
        submission.write(runs, LABEL, tmp_path / "out")
    with pytest.raises(DataError, match="for the official scores of `dataset.name: dcase2023`"):
        official_files.evaluate_runs(runs, keep=False)
    assert not (tmp_path / "out").exists() and not (tmp_path / "result" / "result.csv").exists()
    assert evaluate("--scores", tmp_path / "result") == 0
    printed = capsys.readouterr().out
    assert "mean" in printed and "official" not in printed
