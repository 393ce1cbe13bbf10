"""A training in TensorBoard, read back from TensorBoard itself; watching changes nothing."""

import contextlib
import dataclasses
import json
import logging
import re
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import gate_takes, tone, write_machine
from small_detectors import ADVERSARIAL, LOSS, WITH_BOTTLENECK, WITH_DROPOUT, arguments
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from ganad_tf import config as configuration
from ganad_tf import datasets, runtime
from ganad_tf.cache import manifest
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.errors import ConfigError
from ganad_tf.features import LogMel
from ganad_tf.files.throttle import Throttle
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.score import score_clips
from ganad_tf.tensorboard import (
    LossCurves,
    ScoreSummaries,
    Sounds,
    SpectrogramImages,
    TrainingHealth,
    WeightHistograms,
    experiment,
    scalars,
    sounds,
)
from ganad_tf.training import checkpoint
from ganad_tf.training.train import train_detector

SMALL = {"hidden": [16], "latent": 4}
PLUGINS = ("scalars", "images", "audio", "histograms", "pr_curves")  # whose tags are asked for


@pytest.fixture(autouse=True, scope="module")
def deterministic():
    """Operations as the command line has them."""
    runtime.deterministic()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_machine(folder / "data", "fan", ids=("00", "02"), n_train=10)
    return folder


def project(folder, recordings, name="GANomaly", **changes):
    """A configuration with directories of its own, and the clips in the cache."""
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(recordings / "cache"),
        "model_directory": str(folder / "model"),
        "result_directory": str(folder / "result"),
        "feature": {"standardize": True},
        "model": {"name": name, **arguments(name)},
        "fit": {"epochs": 3, "batch_size": 32, "compile": {"learning_rate": 3e-4}},
        "tensorboard": {"directory": str(folder / "logs"), "clips": 2, "every": 2},
    }
    config = configuration.from_mapping(mapping | changes, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    for split in ("train", "test"):
        prepare_cache(MachineRun(config, listing, "dev"), split)
    return config, listing


def events(folder):
    """The summaries below a folder, `(tag, step)`, in the order in which they were written."""
    found = []
    for path in sorted(folder.rglob("events.out.tfevents.*")):
        for event in EventFileLoader(str(path)).Load():
            found += [(value.tag, event.step) for value in event.summary.value]
    return found


def steps(folder, tag):
    return [step for found, step in events(folder) if found == tag]


@pytest.fixture(scope="module")
def watched(tmp_path_factory, recordings):
    """Two experiments that were trained and scored, logs in one directory."""
    folder = tmp_path_factory.mktemp("watched")
    for name, latent in (("DenseAE", 4), ("GANomaly", 3)):
        model = {"name": name, **SMALL, "latent": latent}
        config, listing = project(folder, recordings, model=model, model_directory=str(folder / f"model{latent}"))
        run = MachineRun(config, listing, "dev")
        train_detector(run)
        result = score_clips(run)
        experiment.show_scores(run, result.model, result.fitted, scored=result.scores)
    return config


@pytest.fixture(scope="module")
def read(watched):
    """Asks the real TensorBoard."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", watched.tensorboard.directory]
    command += ["--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        found = (re.search(r" at (http://127.0.0.1:\d+)", line) for line in process.stderr)
        address = next(match[1] for match in found if match)

        def ask(path, body=None):
            data = json.dumps(body).encode() if body is not None else None
            request = urllib.request.Request(f"{address}/data/{path}", data, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read()

        wait_until_all_is_read(ask, Path(watched.tensorboard.directory))
        yield ask
        process.terminate()


def wait_until_all_is_read(ask, folder):
    """Waits until TensorBoard knows every run below a folder, and nothing comes any more."""
    runs = {str(path.parent.relative_to(folder)) for path in folder.rglob("events.out.tfevents.*")}
    deadline = time.monotonic() + 60
    tags = None
    while time.monotonic() < deadline:
        before, tags = tags, [json.loads(ask(f"plugin/{name}/tags")) for name in PLUGINS]
        if tags == before and all(tags) and runs <= set(json.loads(ask("runs"))):
            return
        time.sleep(1)
    raise AssertionError(f"not all runs of {runs}")


def tags_of(ask, plugin, run):
    """The tags of a run."""
    return set(json.loads(ask(f"plugin/{plugin}/tags"))[run])


@pytest.mark.slow
def test_tensorboard_shows_every_tag(watched, read):
    run = f"dev/fan/{log_dir(watched).name}"
    losses = {"loss", "adversarial_loss", "contextual_loss", "encoder_loss", "discriminator_loss"}
    curves_of_losses = {f"losses/{name}" for name in losses}
    assert tags_of(read, "scalars", f"{run}/validation") == curves_of_losses
    assert tags_of(read, "scalars", f"{run}/train") == curves_of_losses | {
        "learning rate/optimizer",
        "learning rate/discriminator_optimizer",
        "discriminator_resets",
        "gradient norm/generator",
        "gradient norm/discriminator",
        "discriminator accuracy/real",
        "discriminator accuracy/fake",
        "active latent units",
    }
    test = "dev test labels"
    assert tags_of(read, "scalars", f"{run}/scores") == {f"{test}/AUC id {name}" for name in ("00", "02")}
    pictures = tags_of(read, "images", f"{run}/train")
    assert len(pictures) == 2
    assert {tag.partition("/")[0] for tag in pictures} == {"spectrograms"}
    heard = {tag.replace("spectrograms", "sounds") for tag in pictures}
    assert tags_of(read, "audio", f"{run}/train") == heard | {f"{tag} reconstruction" for tag in heard}
    assert tags_of(read, "images", f"{run}/scores") == {f"{test}/ROC and precision-recall"}
    distributions = {"scores/normal training", "scores/validation", f"{test}/scores normal", f"{test}/scores anomaly"}
    assert tags_of(read, "histograms", f"{run}/scores") == distributions
    weights = tags_of(read, "histograms", f"{run}/train")
    assert len(weights) == 8  # dense layers
    assert all(re.fullmatch(r"weights/\w+/dense(_\d+)?/kernel", tag) for tag in weights)
    shown = tags_of(read, "pr_curves", f"{run}/scores")
    assert shown == {f"{test}/precision-recall id {name}/pr_curves" for name in ("00", "02")}


@pytest.mark.slow
def test_tensorboard_shows_values_pictures_and_sounds_as_they_are(watched, read):
    run = f"dev/fan/{log_dir(watched).name}"
    history = ModelDirectory(Path(watched.model_directory, "dev", "fan")).record()["history"]
    for place, name in (("train", "loss"), ("validation", "val_loss")):
        curve = json.loads(read(f"plugin/scalars/scalars?tag=losses%2Floss&run={run}/{place}"))
        assert [step for _, step, _ in curve] == [1, 2, 3]
        assert [value for *_, value in curve] == pytest.approx(history[name])
    (tag, *_) = tags_of(read, "images", f"{run}/train")
    pictures = json.loads(read(f"plugin/images/images?tag={tag}&run={run}/train&sample=0"))
    assert [picture["step"] for picture in pictures] == [1, 2, 3]
    assert read(f"plugin/images/individualImage?{pictures[-1]['query']}").startswith(b"\x89PNG")
    tag = tag.replace("spectrograms", "sounds")
    (sound,) = json.loads(read(f"plugin/audio/audio?tag={tag}%20reconstruction&run={run}/train&sample=0"))
    content = read(f"plugin/audio/individualAudio?{sound['query']}")
    samples, rate = tf.audio.decode_wav(content)
    assert int(rate) == 16000
    assert float(tf.math.reduce_std(samples)) > 0.001


@pytest.mark.slow
def test_hparams_compare_the_trainings(read):
    asked = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "sliceSize": 10}
    for _ in range(30):
        found = json.loads(read("plugin/hparams/session_groups", asked)).get("sessionGroups", [])
        if len(found) == 2 and all(group.get("metricValues") for group in found):
            break
        time.sleep(1)
    assert {group["hparams"]["model.latent"] for group in found} == {3.0, 4.0}
    assert {group["hparams"]["machine"] for group in found} == {"fan"}
    metrics = {(value["name"]["group"], value["name"]["tag"]) for group in found for value in group["metricValues"]}
    assert {("train", "losses/loss"), ("validation", "losses/loss"), ("scores", "dev test labels/AUC id 00")} <= metrics


@pytest.mark.slow
def test_the_projector_has_a_vector_of_each_clip_with_its_id_and_label(watched, read):
    run = f"dev/fan/{log_dir(watched).name}/scores"
    assert run in json.loads(read("plugin/projector/runs"))
    (embedding,) = json.loads(read(f"plugin/projector/info?run={run}"))["embeddings"]
    assert embedding["tensorShape"] == [32, 3]  # 20 for training, 12 for the test
    name = urllib.request.quote(embedding["tensorName"])
    vectors = np.frombuffer(read(f"plugin/projector/tensor?run={run}&name={name}"), np.float32).reshape(32, 3)
    assert np.isfinite(vectors).all()
    heading, *rows = read(f"plugin/projector/metadata?run={run}&name={name}").decode().splitlines()
    assert heading == "clip\tmachine ID\tpart\tlabel"
    assert "anomaly_id_02_00000001.wav\t02\ttest\tanomaly" in rows
    assert sum("\ttraining\t" in row for row in rows) == 18


@pytest.mark.slow
def test_logs_are_small(watched):
    files = [path for path in log_dir(watched).rglob("*") if path.is_file()]
    assert 10_000 < sum(path.stat().st_size for path in files) < 2_000_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["DenseAE", "EGBAD", "FAnoGAN", "GANomaly", "GMADE", "MPDR", "SpectrumDensity", "TIAE"]
)
def test_watching_changes_no_weight_and_needs_no_other_training(tmp_path, recordings, name):
    finals = []
    fit = {"epochs": 2, "batch_size": 32}
    for folder, logs in (("watched", {}), ("unwatched", {"tensorboard": {}})):
        config, listing = project(tmp_path / folder, recordings, name, fit=fit, **logs)
        train_detector(MachineRun(config, listing, "dev"))
        model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
        finals.append((model.detector.get_weights(), model.record["history"]))
        assert (tmp_path / folder / "logs").exists() == (folder == "watched")
    for mine, theirs in zip(*(weights for weights, _ in finals), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert finals[0][1] == finals[1][1]
    on = dataclasses.replace(config, tensorboard=dataclasses.replace(config.tensorboard, directory=str(tmp_path)))
    assert not train_detector(MachineRun(on, listing, "dev"))


class KilledError(Exception):
    """Stands for a kill."""


class Kill(keras.callbacks.Callback):
    """Ends training in the third epoch."""

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        if epoch == 2:
            raise KilledError


@pytest.mark.slow
def test_a_training_that_goes_on_writes_on_and_a_fresh_one_anew(tmp_path, recordings, monkeypatch):
    # A checkpoint after every epoch.
    monkeypatch.setattr(checkpoint, "Throttle", partial(Throttle, max_share_of_time=1e9))
    config, listing = project(tmp_path, recordings)
    with contextlib.suppress(KilledError):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(Kill(),))
    place = log_dir(config)
    assert steps(place / "train", "losses/loss") == [1, 2]
    train_detector(MachineRun(config, listing, "dev"))
    assert list(place.parent.iterdir()) == [place]
    assert steps(place / "train", "losses/loss") == [1, 2, 3]
    train_detector(MachineRun(config, listing, "dev"), fresh=True)
    assert steps(place / "train", "losses/loss") == [1, 2, 3]


def test_without_labels_or_recordings_the_rest_is_shown(tmp_path, recordings, caplog):
    config, _ = project(tmp_path, recordings, "SpectrumDensity")
    changes = {"dataset": {"name": "imported"}, "dev_directory": str(recordings / "cache" / "dev")}
    mapping = configuration.to_dict(config) | changes
    config = configuration.from_mapping(mapping, source="test")
    (listing,) = datasets.list_clips(config, "dev")
    cache = Path(config.cache_directory, "dev", "fan", "train")
    found = manifest.load(cache)
    try:
        manifest.save(cache, dataclasses.replace(found, source=""))  # as an import writes it
        with caplog.at_level(logging.INFO, "ganad_tf"):
            train_detector(MachineRun(config, listing, "dev"))
    finally:
        manifest.save(cache, found)
    tags = {tag for tag, _ in events(log_dir(config))}
    assert {"losses/loss", "scores/normal training", "scores/validation"} <= tags
    assert not [tag for tag in tags if tag.startswith(("sounds/", "dev test labels/", "active", "gradient"))]
    for said in ("no recordings to be heard", "no latent vectors", "once they are scored"):
        assert said in caplog.text


def test_in_a_script_of_one_s_own(tmp_path):
    """Nothing but Keras and these callbacks; the model is anybody's."""
    features = LogMel(n_fft=256, hop_length=128, n_mels=32)
    waveforms = {"first": tone(0.5, seed=1), "second": tone(0.5, seed=2)}
    clips = {name: features(samples[np.newaxis])[0].numpy() for name, samples in waveforms.items()}
    windows = np.random.default_rng(0).normal(size=[64, 96]).astype(np.float32)
    model = keras.Sequential([keras.Input([96]), keras.layers.Dense(4), keras.layers.Dense(96)])
    model.compile("adam", "mse")
    like = {"log_mel": features, "frames": 3}
    watching = [
        LossCurves(tmp_path),
        WeightHistograms(tmp_path, every=2),
        SpectrogramImages(tmp_path, clips, every=2, **like),
        Sounds(tmp_path, waveforms, **like),
    ]
    model.fit(windows, windows, validation_data=(windows, windows), epochs=5, verbose=0, callbacks=watching)
    assert steps(tmp_path / "train", "losses/loss") == steps(tmp_path / "validation", "losses/loss") == [1, 2, 3, 4, 5]
    assert steps(tmp_path, "spectrograms/first") == [1, 2, 4, 5]
    assert steps(tmp_path, "sounds/second reconstruction") == [5]
    assert len({tag for tag, _ in events(tmp_path) if tag.startswith("weights/")}) == 2
    with pytest.raises(TypeError, match=r"Expected a Detector to look at\. Received: Sequential"):
        model.fit(windows, windows, verbose=0, callbacks=[TrainingHealth(tmp_path, windows)])


def test_early_stopping_s_last_pictures_are_of_the_weights_that_stay(tmp_path):
    model = keras.Sequential([keras.Input([96]), keras.layers.Dense(96)])
    model.compile("sgd", "mse")
    windows = np.ones([8, 96], np.float32)
    stop = keras.callbacks.EarlyStopping("loss", mode="max", patience=1, restore_best_weights=True)
    model.fit(windows, windows, epochs=9, verbose=0, callbacks=[stop, WeightHistograms(tmp_path, every=2)])
    assert [step for _, step in events(tmp_path)] == [1, 2]


def log_dir(config):
    (listing,) = datasets.list_clips(config, "dev", ["fan"])
    return experiment.log_directory(MachineRun(config.for_machine("fan"), listing, "dev"))


def small(name, **changes):
    keras.utils.set_random_seed(1)
    detector = DETECTORS[name](input_dim=24, **arguments(name, frames=3), **changes)
    detector.compile("adam", **LOSS[name])
    return detector


@pytest.mark.parametrize("name", gate_takes(WITH_BOTTLENECK, "DenseAE", "EGBAD", "GANomaly"))
def test_measuring_a_detector_changes_nothing_and_comes_out_the_same(name):
    detector = small(name, **({"dropout": 0.1} if name in WITH_DROPOUT else {}))
    windows = tf.constant(np.random.default_rng(0).normal(size=[32, 24]), tf.float32)
    before = [np.array(variable) for variable in detector.variables]
    first, second = scalars.measure(detector, windows), tf.function(scalars.measure)(detector, windows)
    for old, new in zip(before, detector.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    for tag, value in first.items():
        assert float(value) == pytest.approx(float(second[tag]), rel=1e-4)
        assert float(value) > 0 or tag.startswith("discriminator")
    sides = {"generator", "discriminator"} if name in ADVERSARIAL else {"loss"}
    assert {f"gradient norm/{side}" for side in sides} <= first.keys()
    classifies = name in ADVERSARIAL and name not in ("AEGAN", "FAnoGAN")  # which have a critic
    assert ("discriminator accuracy/real" in first) == classifies
    assert detector.encode(windows).shape == (32, 4)
    assert first["active latent units"] <= 4


def test_a_gradient_s_norm_and_the_accuracies_are_those_of_their_definition():
    detector = small("GANomaly")
    windows = tf.constant(np.random.default_rng(0).normal(size=[32, 24]), tf.float32)
    facts = scalars.measure(detector, windows)
    with tf.GradientTape() as tape:
        loss = detector.compute_losses(windows, training=False)["discriminator_loss"]
    gradients = tape.gradient(loss, detector.discriminator_variables)
    squares = sum(float(np.sum(np.square(gradient))) for gradient in gradients if gradient is not None)
    assert float(facts["gradient norm/discriminator"]) == pytest.approx(squares**0.5, rel=1e-4)
    real, fake = (
        detector.discriminator_logit(detector.discriminator_features(batch)) for batch in (windows, detector(windows))
    )
    assert float(facts["discriminator accuracy/real"]) == pytest.approx(np.mean(np.asarray(real) > 0))
    assert float(facts["discriminator accuracy/fake"]) == pytest.approx(np.mean(np.asarray(fake) <= 0))


def test_the_middle_of_an_autoencoder_is_what_its_latent_vector_is():
    detector = small("DenseAE")
    windows = tf.constant(np.random.default_rng(0).normal(size=[8, 24]), tf.float32)
    middle = keras.Model(detector.autoencoder.inputs, detector.autoencoder.layers[5].output)  # second block's ReLU
    np.testing.assert_allclose(detector.encode(windows), middle(windows), rtol=1e-5)


@pytest.mark.parametrize("log", ["baseline", "relative_80db"])
@pytest.mark.parametrize(("n_fft", "hop_length"), [(1024, 512), (1000, 300), (1000, 1000)])
def test_a_waveform_made_of_its_log_mel_is_the_tone_that_it_was(log, n_fft, hop_length):
    samples = tone(1.0, hz=1000)
    features = LogMel(n_fft=n_fft, hop_length=hop_length, n_mels=64, log=log)
    again = sounds.waveform_of(features(samples[np.newaxis])[0].numpy(), features)
    assert len(again) == len(samples) // hop_length * hop_length
    assert np.isfinite(again).all()
    spectrum = np.abs(np.fft.rfft(again))
    assert np.argmax(spectrum) * 16000 / len(again) == pytest.approx(1000, abs=20)
    if log == "baseline":
        assert np.std(again) == pytest.approx(np.std(samples), rel=0.3)
    np.testing.assert_array_equal(again, sounds.waveform_of(features(samples[np.newaxis])[0].numpy(), features))


@pytest.mark.slow
def test_a_training_with_spectra_of_any_even_length_ends_with_sounds(tmp_path, recordings):
    feature = {"n_fft": 1000, "hop_length": 1000}
    config, listing = project(tmp_path, recordings, feature=feature, cache_directory=str(tmp_path / "cache"))
    train_detector(MachineRun(config, listing, "dev"))
    heard = [tag for tag, _ in events(tmp_path / "logs") if tag.endswith(" reconstruction")]
    assert len(heard) == 2


def test_scores_of_one_class_have_a_histogram_and_no_curve(tmp_path):
    summaries = ScoreSummaries(tmp_path, step=7)
    summaries.write_labelled({"00": ([0, 0], [1.0, 2.0])})
    summaries.close()
    assert events(tmp_path) == [("dev test labels/scores normal", 7)]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"every": 0}, "`tensorboard.every` from 1 to below"),
        ({"clips": -1}, "`tensorboard.clips` from 0 to below 101"),
        ({"folder": "x"}, "unknown key `tensorboard.folder`"),
    ],
)
def test_a_section_that_means_nothing_is_refused(section, message):
    with pytest.raises(ConfigError, match=message):
        configuration.from_mapping({"tensorboard": section}, source="test")
