"""`SoundAnomalyDetector` against the command line on the same recordings, and as scikit-learn uses its estimators."""

import copy
import csv
import dataclasses
import inspect
import pickle
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
import yaml
from conftest import tone, write_wav
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from ganad_tf import SoundAnomalyDetector, runtime
from ganad_tf import config as configuration
from ganad_tf.cli import terminal
from ganad_tf.cli.main import main
from ganad_tf.errors import ConfigError, DataError, InputError, ThresholdError, WriteError
from ganad_tf.estimator.recordings import list_training
from ganad_tf.estimator.settings import make_config
from ganad_tf.exporting import edge as exporting_edge
from ganad_tf.serving.predict import edge, local

SETTINGS = {
    "feature": {"n_mels": 16, "frames": 3},
    "model": {"name": "SpectrumDensity"},
    "fit": {"epochs": 1, "verbose": 0},
    "scorer": {"density": "mahalanobis"},
    "threshold": {"false_alarms": 0.1, "folds": 3},
}
YAML = """
dev_directory: my_fan
dataset: {name: folder}
deterministic: false
feature: {n_mels: 16, frames: 3, standardize: %s}
model: %s
fit: {epochs: 2, batch_size: 64, min_steps: 0, verbose: 0}
scorer: {density: %s}
threshold: {false_alarms: 0.1, folds: 3}
"""
HEALTHY = [tone(seed=seed) for seed in range(80, 84)]
BROKEN = [tone(hz=2000, seed=seed) for seed in range(90, 92)]


def rows(path):
    with path.open(newline="") as stream:
        return {name: float(value) for name, value in csv.reader(stream)}


def scored(folder, ganad, *settings):
    """A folder of recordings scored by the command line, and its training clips in another order than by name."""
    for number in range(15):
        write_wav(folder / "my_fan" / "normal" / f"{number}.wav", tone(seed=number))
    for number, samples in enumerate(BROKEN):
        write_wav(folder / "my_fan" / "anomaly" / f"{number}.wav", samples)
    (folder / "fan.yaml").write_text(YAML % settings)
    ganad("run", "fan.yaml", "-q", cwd=folder)
    names = list(rows(folder / "result" / "train_score_dev_my_fan.csv"))
    return folder, names[::-1]


def switches():
    """Settings of the whole process that a fit leaves as they are; Keras counts layers since its last reset."""
    count = int(keras.layers.Dense(1).name.partition("_")[2] or 0)
    return runtime.is_deterministic(), tf.config.experimental.tensor_float_32_execution_enabled(), count


@pytest.fixture(scope="module")
def project(tmp_path_factory, ganad):
    return scored(tmp_path_factory.mktemp("estimator"), ganad, "false", "{name: SpectrumDensity}", "mahalanobis")


@pytest.fixture(scope="module")
def detector(project):
    """Fitted to the command line's training clips, as paths."""
    folder, names = project
    return SoundAnomalyDetector(folder / "fan.yaml").fit([folder / "my_fan" / name for name in names])


@pytest.fixture(scope="module")
def of_arrays(project):
    """Fitted to the same clips in the order of their names, as arrays; and the process' switches around it."""
    folder, names = project
    clips = np.stack([soundfile.read(folder / "my_fan" / name, dtype="int16")[0] for name in names[::-1]])
    before = switches()
    fitted = SoundAnomalyDetector(SETTINGS).fit(clips)
    return fitted, before, switches()


def assert_as_the_command_line(detector, folder, names, rtol):
    results = folder / "result"
    calibration = rows(results / "calibration_score_dev_my_fan.csv")
    np.testing.assert_allclose(detector.decision_scores_, [calibration[name] for name in names], rtol=rtol)
    by_name = rows(results / "anomaly_score_my_fan_id_00.csv")
    paths = [folder / "my_fan" / name for name in by_name]
    np.testing.assert_allclose(detector.anomaly_scores(paths), list(by_name.values()), rtol=rtol)
    decisions = list(rows(results / "decision_result_my_fan_id_00.csv").values())
    assert (detector.predict(paths) == np.where(decisions, -1, 1)).all()
    assert -1 in detector.predict(paths)
    p_values = list(rows(results / "p_value_my_fan_id_00.csv").values())
    np.testing.assert_allclose(detector.p_values(paths), p_values, rtol=1e-12)


@pytest.mark.slow
def test_digits_of_the_command_line(project, detector):
    folder, names = project
    assert_as_the_command_line(detector, folder, names, rtol=0)


@pytest.mark.slow
def test_digits_of_the_command_line_with_a_network(tmp_path, ganad):
    model = "{name: GANomaly, hidden: [16], latent: 2}"
    folder, names = scored(tmp_path, ganad, "true", model, "knn, whiten: true")
    paths = [str(folder / "my_fan" / name) for name in names]
    network = SoundAnomalyDetector(str(folder / "fan.yaml")).fit(paths)
    assert_as_the_command_line(network, folder, names, rtol=1e-5)  # operations of that process may be deterministic


def test_arrays_are_the_recordings_they_were_read_from(detector, of_arrays):
    fitted, *_ = of_arrays
    # The statistics are summed in another order.
    np.testing.assert_allclose(fitted.decision_scores_, detector.decision_scores_[::-1], rtol=1e-4)
    assert fitted.threshold_ == pytest.approx(detector.threshold_, rel=1e-4)
    expected = detector.anomaly_scores(np.stack(HEALTHY))
    np.testing.assert_allclose(fitted.anomaly_scores(HEALTHY), expected, rtol=1e-4)


def test_directions(detector):
    scores = detector.anomaly_scores(HEALTHY + BROKEN)
    assert scores[:4].max() < scores[4:].min()
    assert (detector.score_samples(HEALTHY + BROKEN) == -scores).all()
    assert (detector.decision_function(HEALTHY + BROKEN) == detector.threshold_ - scores).all()
    assert (detector.decision_function(HEALTHY + BROKEN) == -scores - detector.offset_).all()
    assert (detector.predict(BROKEN) == -1).all()
    assert (detector.labels_ == (detector.decision_scores_ > detector.threshold_)).all()
    assert detector.labels_.sum() <= 0.1 * len(detector.labels_)
    expected = [(1 + (detector.calibration_scores_ >= score).sum()) / 13 for score in scores]
    np.testing.assert_allclose(detector.p_values(HEALTHY + BROKEN), expected, rtol=1e-12)


def test_a_fit_leaves_the_process_as_it_was(of_arrays):
    _, before, after = of_arrays
    assert before[:2] == after[:2]
    assert after[2] > before[2]


def test_parameters_are_those_of_scikit_learn(detector):
    copied = clone(detector.set_params(seed=None, false_alarms=None))
    assert copied.get_params() == detector.get_params()
    assert copied.set_params(seed=3, false_alarms=0.2).get_params()["seed"] == 3
    with pytest.raises(NotFittedError, match="not fitted yet"):
        copied.predict(HEALTHY)
    with pytest.raises(NotFittedError):
        SoundAnomalyDetector().export("x")
    with pytest.raises(ValueError, match="Invalid parameter"):
        copied.set_params(contamination=0.1)


def test_a_pipeline(of_arrays):
    """With a threshold by the training scores, which need no folds and give no p-values."""
    settings = SETTINGS | {"threshold": {"method": "quantile"}}
    pipeline = Pipeline([("detector", clone(of_arrays[0]).set_params(settings=settings, sample_rate=16000))])
    quantile = pipeline.fit([tone(seed=seed) for seed in range(12)]).named_steps["detector"]
    assert (pipeline.predict(BROKEN) == -1).all()
    assert pipeline.score_samples(BROKEN).max() < pipeline.score_samples(HEALTHY).min()
    assert quantile.threshold_ == pytest.approx(np.quantile(quantile.decision_scores_, 0.9))
    assert quantile.calibration_scores_.size == 0
    with pytest.raises(ConfigError, match="conformal` for p-values. Received: quantile"):
        quantile.p_values(HEALTHY)


def test_ensembles_of_p_values_and_of_ranks(detector, of_arrays):
    members = [detector, of_arrays[0]]
    mean = np.mean([member.p_values(HEALTHY + BROKEN) for member in members], axis=0)
    assert mean[:4].mean() > mean[4:].max() == pytest.approx(1 / 13)
    ranks = [np.searchsorted(np.sort(member.decision_scores_), member.anomaly_scores(BROKEN)) for member in members]
    assert np.mean(ranks) == 12  # PyOD's names and direction


@pytest.mark.slow
def test_the_weighted_mean_of_an_ensembles_members(tmp_path):
    clips, new = [tone(seed=seed) for seed in range(12)], HEALTHY + BROKEN
    scorers = {"near": {"density": "knn"}, "far": {"density": "mahalanobis"}}
    members = [{"name": name, "scorer": scorer} for name, scorer in scorers.items()]
    settings = SETTINGS | {"scorer": {}, "ensemble": {"members": members, "weights": [1, 3]}}
    both = SoundAnomalyDetector(settings).fit(clips)
    z_scores, unseen = [], []
    for scorer in scorers.values():
        single = SoundAnomalyDetector(SETTINGS | {"scorer": scorer}).fit(clips)
        training = np.array([clip.score for clip in single._fitted.normal_scores.training])
        z_scores.append((single.anomaly_scores(new) - training.mean()) / training.std())
        unseen.append((single.decision_scores_ - training.mean()) / training.std())
    np.testing.assert_allclose(both.anomaly_scores(new), np.average(z_scores, axis=0, weights=[1, 3]), rtol=1e-6)
    np.testing.assert_allclose(both.decision_scores_, np.average(unseen, axis=0, weights=[1, 3]), rtol=1e-6)
    assert (both.predict(BROKEN) == -1).all()
    both.save(tmp_path / "saved")
    loaded = SoundAnomalyDetector.load(tmp_path / "saved")
    assert (loaded.anomaly_scores(new) == both.anomaly_scores(new)).all()
    again = SoundAnomalyDetector(loaded.settings_).fit(clips)
    np.testing.assert_allclose(again.anomaly_scores(new), both.anomaly_scores(new), rtol=1e-6)


@pytest.mark.slow
def test_without_settings_it_is_the_detector_of_a_folder(tmp_path, monkeypatch):
    """Scorer and weights are selected by both, from the same recordings; the recommended networks, but small."""
    small = configuration.recommended() | {"feature": {"n_mels": 16, "standardize": True}, "threshold": {"folds": 3}}
    small["ensemble"]["members"][0] |= {"model": {"name": "GANomaly", "hidden": [8], "latent": 2}}
    small["ensemble"]["members"][0] |= {"fit": {"epochs": 5, "min_steps": 0}}
    small["selection"] = {"scorers": [{"pooling": "mean"}, {"local_density": 2}]}
    monkeypatch.setattr(configuration, "recommended", lambda: copy.deepcopy(small))
    monkeypatch.chdir(tmp_path)
    for number in range(20):
        write_wav(tmp_path / "my_fan" / f"{number:02}.wav", tone(seed=number))
    assert main(["run", "my_fan", "-q"]) == 0
    exported = tmp_path / "my_fan-ganad" / "exported" / "my_fan"
    training = rows(tmp_path / "my_fan-ganad" / "result" / "train_score_dev_my_fan.csv")
    paths = [tmp_path / "my_fan" / name.removeprefix("my_fan/") for name in training]
    detector = SoundAnomalyDetector(machine="my_fan").fit(paths)
    selected = yaml.safe_load((tmp_path / "my_fan-ganad" / "config.yaml").read_text())["machines"]["my_fan"]
    assert detector.settings_["ensemble"]["weights"] == selected["ensemble"]["weights"]
    new = [write_wav(tmp_path / "new" / f"{number}.wav", samples) for number, samples in enumerate(HEALTHY + BROKEN)]
    expected = [prediction.anomaly_score for prediction in local.predict(exported, new)]
    np.testing.assert_allclose(detector.anomaly_scores(new), expected, rtol=1e-4)


def test_copies_pickles_and_folders_give_the_same_scores(detector, tmp_path):
    detector.save(tmp_path / "saved")
    detector.save(tmp_path / "saved")
    loaded = SoundAnomalyDetector.load(tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved")
    assert loaded.settings == str(detector.settings)
    scores = detector.anomaly_scores(HEALTHY + BROKEN)
    for copied in (loaded, copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))):
        assert (copied.anomaly_scores(HEALTHY + BROKEN) == scores).all()
        assert (copied.decision_scores_ == detector.decision_scores_).all()
        assert copied.threshold_ == detector.threshold_


def test_a_damaged_or_foreign_folder_is_refused(detector, tmp_path):
    detector.save(tmp_path / "saved")
    text = (tmp_path / "saved" / "estimator.json").read_text()
    (tmp_path / "saved" / "estimator.json").write_text(text.replace("0.1", "0.2"))
    with pytest.raises(DataError, match="can't be read .*checksum does not match"):
        SoundAnomalyDetector.load(tmp_path / "saved")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(WriteError, match="Expected a new folder"):
        detector.save(tmp_path / "mine")
    with pytest.raises(DataError, match="Expected a saved estimator in .*mine"):
        SoundAnomalyDetector.load(tmp_path / "mine")


def test_the_current_directory_is_not_replaced_but_takes_versions(detector, tmp_path, monkeypatch):
    (tmp_path / "fan").mkdir()
    monkeypatch.chdir(tmp_path / "fan")
    for folder in (".", "..", tmp_path / "fan"):
        with pytest.raises(WriteError, match="Expected a folder other than the current directory and those above"):
            detector.save(folder)
    assert detector.export(".") == tmp_path / "fan" / "1"


def test_what_is_not_judged_is_named_and_never_called_normal(detector, tmp_path):
    dead = write_wav(tmp_path / "dead.wav", np.zeros(16000))
    good = write_wav(tmp_path / "good.wav", HEALTHY[0])
    loud = 8 * HEALTHY[0]
    assert detector.not_judged([dead, good, loud]).tolist() == [
        "dead microphone",
        "",
        "level 18 dB above the training recordings",
    ]
    sentence = (
        r"2 of 3 recordings(.|\n)*dead.wav: not judged: dead microphone\.\n.*Recording 2: not judged: level 18 dB"
    )
    for method in (detector.predict, detector.score_samples, detector.p_values, detector.decision_function):
        with pytest.raises(DataError, match=sentence):
            method([dead, good, loud])
    for method in (detector.explain, detector.explain_in_words):
        with pytest.raises(DataError, match="dead.wav: not judged: dead microphone"):
            method(dead)
    with pytest.raises(DataError, match=r"1 of 2 recordings(.|\n)*nowhere.wav"):
        detector.not_judged([good, tmp_path / "nowhere.wav"])


def test_words_are_those_of_the_clip(detector):
    assert "a tone at 2000 Hz, 29 dB louder than healthy" in detector.explain_in_words(BROKEN[0])
    assert detector.explain_in_words(HEALTHY[0]) == "unclear: nothing stands out from the healthy recordings"


def test_groups_of_files_are_guessed_as_on_the_command_line(tmp_path, caplog):
    caplog.set_level("INFO", logger="ganad_tf")
    paths = [write_wav(tmp_path / f"rec{n}_{part:03}.wav", tone(0.1)) for n in (12, 13) for part in (1, 2, 3)]
    config = make_config(SETTINGS, "machine", sample_rate=None, false_alarms=None, seed=None)

    def groups(recordings, given):
        _, clips = list_training(recordings, config, "machine", tmp_path / "written", given)
        return [clip.group for clip in clips]

    assert groups(paths[::-1], "auto") == ["rec13"] * 3 + ["rec12"] * 3
    assert "6 normal files are parts of 2 recordings" in caplog.text
    assert "which no split separates; if they are not, pass `groups=None`." in caplog.text
    caplog.clear()
    assert groups(paths, None) == groups([tone(0.1)] * 6, "auto") == [""] * 6
    assert groups(paths, list("aabbcc")) == list("aabbcc")
    assert caplog.text == ""
    with pytest.raises(DataError, match="group per recording, `auto` or None as `groups`. Received: name"):
        SoundAnomalyDetector(SETTINGS).fit(paths, groups="name")
    default = inspect.signature(SoundAnomalyDetector.fit).parameters["groups"].default
    assert default == "auto"


@pytest.mark.slow
def test_an_explanation_is_of_the_clip(detector, project):
    folder, _ = project
    explained = detector.explain(folder / "my_fan" / "anomaly" / "0.wav")
    assert explained["log_mel"].shape == explained["reconstruction"].shape == (32, 16)
    score = detector.anomaly_scores([folder / "my_fan" / "anomaly" / "0.wav"])[0]
    assert explained["anomaly_score"] == pytest.approx(score, rel=1e-5)


@pytest.mark.slow
def test_an_exported_model_gives_its_scores(detector, tmp_path):
    detector.save(tmp_path / "saved")
    version = SoundAnomalyDetector.load(tmp_path / "saved").export(tmp_path / "models" / "fan")
    assert version == tmp_path / "models" / "fan" / "1"
    path = write_wav(tmp_path / "new.wav", BROKEN[0])
    (prediction,) = local.predict(version.parent, [path], explain=True)
    assert prediction.anomaly_score == pytest.approx(detector.anomaly_scores([path])[0], rel=1e-4)
    assert prediction.is_anomaly
    assert prediction.as_dict()["explanation"] == detector.explain_in_words(path)


@pytest.mark.slow
def test_exported_models_count_recordings_as_the_estimator_does(tmp_path):
    """In all formats, of files whose names say that two each are pieces of one recording."""
    rng = np.random.default_rng(0)
    gains = rng.uniform(0.8, 1.2, 10)  # what the pieces of a recording have in common
    pieces = [
        write_wav(tmp_path / "fan" / f"rec{n:02}_{part}.wav", gains[n] * tone(seed=2 * n + part))
        for n in range(10)
        for part in range(2)
    ]
    pieces.append(write_wav(tmp_path / "fan" / "rec00_2.wav", gains[0] * tone(seed=30)))
    detector = SoundAnomalyDetector(SETTINGS | {"threshold": {"false_alarms": 0.2, "folds": 5}}).fit(pieces)
    run = detector._fitted.run
    run = run.with_config(dataclasses.replace(run.config, export_directory=str(tmp_path / "models")))
    new = [write_wav(tmp_path / f"{number}.wav", clip) for number, clip in enumerate([*HEALTHY, BROKEN[0]])]
    expected = detector.p_values(new)
    assert expected.min() == pytest.approx(1 / 11)
    models = {"": detector.export(tmp_path / "models" / "fan").parent}
    for form in ("onnx", "litert"):
        exported = exporting_edge.export(run, "fan", form, quietly=terminal.silenced)
        models[form] = edge.EdgeModel(edge.find(exported))
    for form, model in models.items():
        predict = edge.predict if form else local.predict
        predictions = list(predict(model, new))
        np.testing.assert_allclose([prediction.p_value for prediction in predictions], expected, rtol=1e-6)
        assert [prediction.is_anomaly for prediction in predictions] == (expected <= 0.2).tolist()
        of_rate = list(predict(model, new, false_alarms=0.5))
        assert [prediction.is_anomaly for prediction in of_rate] == (expected <= 0.5).tolist()
        with pytest.raises(InputError, match=r"1/11, which 10 normal recordings allow"):
            list(predict(model, new, false_alarms=0.06))  # 21 clips would allow it


def test_too_few_recordings_give_scores_but_no_decisions():
    few = SoundAnomalyDetector(SETTINGS | {"threshold": {"folds": 2}}, false_alarms=0.05)
    groups = np.arange(12) // 2  # two channels of six recordings
    few.fit([tone(seed=seed) for seed in range(12)], groups=groups)
    assert (few.threshold_, few.labels_) == (None, None)
    assert few.p_values(BROKEN) == pytest.approx([1 / 7, 1 / 7], rel=1e-12)
    with pytest.raises(ThresholdError, match=r"at least 19 normal recordings .* Received: 6 \(12 clips\)"):
        few.predict(BROKEN)


@pytest.mark.parametrize(
    ("recordings", "message"),
    [
        ([], "at least one recording"),
        ("a.wav", "list of recordings. Received: the path a.wav"),
        (7, "list of paths or arrays. Received: int"),
        (tone(), r"list of clips or an array \[clips, samples\]"),
        (["nowhere.wav"], "nowhere.wav: expected an audio file"),
        ([tone(), Path("a.wav")], "either paths or arrays"),
        ([(tone(), 16000)], "Recording 0: expected a path or an array. Received: tuple"),
        ([tone(), tone()[:100]], "Recording 1: expected at least 1024 samples, received 100"),
        ([tone(), np.full(16000, np.nan)], "Recording 1: expected numbers, but 16000 of 16000 samples are NaN"),
        ([tone() * 32768], "Recording 0: expected samples from -1 to 1, received up to"),
        ([np.arange(16000)], "Recording 0: expected floating-point samples .* Received: int64"),
        ([np.zeros([16000, 2])], r"Recording 0: expected an array \[samples\] of one channel"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_bad_recordings_are_one_sentence(recordings, message, detector):
    with pytest.raises(DataError, match=message):
        SoundAnomalyDetector(SETTINGS).fit(recordings)
    if not (isinstance(recordings, list) and any(isinstance(item, Path) for item in recordings)):
        with pytest.raises(DataError, match=message):
            detector.predict(recordings)


def test_bad_files_are_named_all(detector, tmp_path):
    slow = write_wav(tmp_path / "slow.wav", tone(), rate=8000)
    (tmp_path / "empty.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"2 of 3 recordings(.|\n)*slow.wav: .*16000 Hz, received 8000(.|\n)*empty.wav"):
        detector.predict([slow, HEALTHY[0], tmp_path / "empty.wav"])
    good = write_wav(tmp_path / "good.wav", tone())
    with pytest.raises(DataError, match="good.wav: expected each recording once"):
        SoundAnomalyDetector(SETTINGS).fit([good, good])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"settings": "nowhere.yaml"}, "Can't read the configuration nowhere.yaml"),
        ({"settings": 7}, "None, the path of a YAML file or a mapping"),
        ({"settings": {"modle": {}}}, "SoundAnomalyDetector: settings: unknown key `modle`; did you mean `model`"),
        ({"settings": {"ensemble": {"members": ["a", "b"]}}}, "configurations as .* Received: a, a result"),
        ({"false_alarms": 2.0}, "`threshold.false_alarms` between 0 and 1. Received: 2.0"),
        ({"sample_rate": "fast"}, "whole number for `audio.sample_rate`"),
        ({"machine": "../fan"}, "name without slashes"),
    ],
)
def test_bad_parameters_are_one_sentence(parameters, message):
    with pytest.raises(ConfigError, match=message):
        SoundAnomalyDetector(**parameters).fit([tone()])
