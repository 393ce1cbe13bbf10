import dataclasses
import json
import logging
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import gate_takes, write_machine
from small_detectors import UNLABELLED, arguments

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import records
from ganad_tf.cache import windows as pipeline
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cache.spectra import KeptSpectra
from ganad_tf.config.sections import Model, Scorer
from ganad_tf.errors import ConfigError, DataError, TrainingError
from ganad_tf.features import stack_frames, windows_of
from ganad_tf.results import score_files
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.scoring.score import score_clips
from ganad_tf.training import build, fused_steps, guards, train
from ganad_tf.training.checkpoint import Checkpoint
from ganad_tf.training.fused_steps import FusedSteps
from ganad_tf.training.programs import Program
from ganad_tf.training.train import train_detector

AUTOENCODER = Model("DenseAE", {"hidden": [16], "latent": 4})  # for what is the same for all and soon traced


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Recordings of a fan; their log-mels come beside them."""
    folder = tmp_path_factory.mktemp("recordings")
    write_machine(folder / "data", "fan", ids=("00",), n_train=10)
    return folder


def project(folder, recordings):
    """A small GANomaly's configuration with directories of its own, but for the cache."""
    mapping = {
        "dev_directory": str(recordings / "data"),
        "cache_directory": str(recordings / "cache"),
        "model_directory": str(folder / "model"),
        "result_directory": str(folder / "result"),
        "feature": {"standardize": True},
        "model": {"name": "GANomaly", "hidden": [16], "latent": 4, "score": "combined"},
        "fit": {"epochs": 3, "batch_size": 32, "compile": {"learning_rate": 3e-4, "beta_1": 0.5}},
    }
    return configuration.from_mapping(mapping, source="test")


@pytest.fixture
def config(tmp_path, recordings):
    return project(tmp_path, recordings)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, recordings):
    """The configuration of a detector that is trained and has scored, and its clips, for tests that only look."""
    config = project(tmp_path_factory.mktemp("trained"), recordings)
    listing = prepared(config)
    assert train_detector(MachineRun(config, listing, "dev"))
    score_clips(MachineRun(config, listing, "dev"))
    return config, listing


@pytest.fixture
def copied(trained, tmp_path):
    """The same with copies of the detector and the scores, to be changed."""
    config, listing = trained
    places = {name: str(tmp_path / name) for name in ("model_directory", "result_directory")}
    for name, place in places.items():
        shutil.copytree(getattr(config, name), place)
    return dataclasses.replace(config, **places), listing


def prepared(config):
    (listing,) = datasets.list_clips(config, "dev")
    for split in ("train", "test"):
        prepare_cache(MachineRun(config, listing, "dev"), split)
    return listing


def test_a_trained_detector_keeps_what_made_it(trained):
    config, listing = trained
    record = json.loads((Path(config.model_directory, "dev", "fan") / "training.json").read_text())
    assert configuration.from_mapping(record["config"], source="record") == config
    assert record["n_clips"] == {"training": 9, "validation": 1}
    assert record["n_windows"] == {"training": 9 * 28, "validation": 28}
    assert {"loss", "val_loss", "discriminator_loss", "val_discriminator_loss"} <= record["history"].keys()
    assert all(len(curve) == 3 for curve in record["history"].values())
    found = Cache(MachineRun(config, listing, "dev"), "train").current()
    assert record["normalizer"]["mean"] == pytest.approx(found.statistics.mean)
    model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
    assert model.detector.get_config()["latent"] == 4
    paper = ModelDirectory(Path(config.model_directory, "dev", "fan")).load_scorer(Scorer())
    assert len(paper.train_scores) == 10
    assert not train_detector(MachineRun(config, listing, "dev"))


def test_a_clip_s_score_is_the_mean_over_its_standardised_windows(trained):
    config, listing = trained
    model = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
    written = dict(
        line.split(",")
        for line in Path(config.result_directory, "anomaly_score_fan_id_00.csv").read_text().splitlines()
    )
    mean, std = np.float32(model.record["normalizer"]["mean"]), np.float32(model.record["normalizer"]["std"])
    found = Cache(MachineRun(config, listing, "dev"), "test").current()
    assert len(found.entries) == len(written) == 6
    for entry, log_mel in records.read(Path(config.cache_directory, "dev", "fan", "test"), found.entries):
        windows = stack_frames(((log_mel - mean) / std)[np.newaxis], 5)[0]
        expected = np.mean(model.detector.anomaly_score(windows))
        assert float(written[entry.clip.name]) == pytest.approx(expected, rel=1e-4)


def test_both_optimizers_and_the_seed_are_as_the_yaml_says(config):
    detector = build.build(dataclasses.replace(config, seed=7))
    assert detector.seed == 7
    for optimizer in (detector.optimizer, detector.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert float(optimizer.learning_rate) == pytest.approx(3e-4)
        assert optimizer.beta_1 == 0.5


def test_a_loss_that_is_no_number_ends_training_and_keeps_the_last_good_weights(config):
    listing = prepared(config)
    compiled = dataclasses.replace(config.fit.compile, optimizer="sgd", learning_rate=1e30, beta_1=None)
    config = dataclasses.replace(config, fit=dataclasses.replace(config.fit, compile=compiled))
    with pytest.raises(TrainingError, match=r"`\w+_loss` became (nan|inf) at step 2 of epoch 1; .*learning_rate"):
        train_detector(MachineRun(config, listing, "dev"))
    directory = Path(config.model_directory, "dev", "fan")
    assert not directory.exists()
    kept = keras.models.load_model(directory.with_name("fan.last_good.keras"))
    assert np.isfinite(kept.anomaly_score(np.zeros([2, 640], np.float32))).all()


def test_a_detector_is_itself_again_after_training(config, tmp_path):
    config = dataclasses.replace(config, model=AUTOENCODER)
    listing = prepared(config)
    entries = Cache(MachineRun(config, listing, "dev"), "train").current().entries
    source = pipeline.Source(KeptSpectra(Path(config.cache_directory, "dev", "fan", "train")), entries, 128, 5, None)
    detector = build.build(config)
    train.fit(Program(detector), config, source, source, (), Checkpoint(tmp_path / "unfinished.npz", {}))
    assert not {"train_step", "test_step", "make_train_function"} & vars(detector).keys()
    assert not detector.run_eagerly
    windows = np.random.default_rng(0).normal(size=[7, 640]).astype(np.float32)
    history = detector.fit(windows, validation_data=(windows,), batch_size=5, verbose=0).history
    assert np.isfinite(history["val_loss"]).all()


class Rising(keras.callbacks.Callback):
    """Makes one loss infinite from an epoch on."""

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        if epoch == 1:
            self.model.w_enc = float("inf")
            self.model.make_train_function(force=True)  # for it is a constant of the graph


def test_the_weights_kept_are_those_before_the_bad_epoch_and_the_loss_is_named(config):
    listing = prepared(config)
    seen = []

    class Remember(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
            seen.append(self.model.get_weights())

    with pytest.raises(TrainingError, match=r"`loss` became (nan|inf) at step 1 of epoch 2"):
        train_detector(MachineRun(config, listing, "dev"), callbacks=(Remember(), Rising()))
    kept = keras.models.load_model(Path(config.model_directory, "dev", "fan").with_name("fan.last_good.keras"))
    for mine, theirs in zip(kept.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_weights_spoilt_by_the_very_last_step_are_not_saved_as_a_detector(config):
    listing = prepared(config)
    config = dataclasses.replace(config, model=AUTOENCODER)
    fit = dataclasses.replace(config.fit, epochs=1, validation_split=0.0)

    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            weight = self.model.trainable_weights[0]
            weight.assign(weight * float("nan"))

    with pytest.raises(TrainingError, match="the weights became NaN or infinite at the end of epoch 1"):
        train_detector(MachineRun(dataclasses.replace(config, fit=fit), listing, "dev"), callbacks=(Spoil(),))
    directory = Path(config.model_directory, "dev", "fan")
    assert not directory.exists()
    kept = directory.with_name("fan.last_good.keras")
    assert np.isfinite(keras.models.load_model(kept).anomaly_score(np.zeros([2, 640], np.float32))).all()
    assert train_detector(MachineRun(config, listing, "dev"))
    assert not kept.exists()


def test_a_mean_that_overflows_without_a_bad_batch_ends_training_too():
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    watch = guards.StopAtNaN(Path("unused.keras"))
    watch.set_model(model)
    watch.on_epoch_begin(0)
    watch._stop = lambda what: (_ for _ in ()).throw(TrainingError(what))
    with pytest.raises(TrainingError, match="`loss` became inf in epoch 1"):
        watch.on_train_batch_end(0, {"loss": float("inf")})


def test_every_reset_of_the_discriminator_is_logged(caplog):
    report = guards.ReportResets()
    with caplog.at_level(logging.WARNING):
        for epoch, count in enumerate([0, 2, 2, 3]):
            report.on_epoch_end(epoch, {"discriminator_resets": count})
    assert [record.getMessage() for record in caplog.records] == [
        "the discriminator was re-initialised 2 times in epoch 2",
        "the discriminator was re-initialised 1 times in epoch 4",
    ]


def scored(config):
    """The scores of the test clips, as they are written."""
    path = Path(config.result_directory, "anomaly_score_fan_id_00.csv")
    return [score.score for score in score_files.read_scores(path)]


# Of windows, of pairs of them, and in stages; the others take their batches as the first does.
@pytest.mark.parametrize("name", gate_takes(["DenseAE", "EGBAD", "FAnoGAN"], "DenseAE"))
def test_every_kind_of_detector_trains_streamed_from_the_cache(config, name):
    model = Model(name, arguments(name))
    fit = dataclasses.replace(config.fit, epochs=2, memory_budget_mb=0)
    config = dataclasses.replace(config, model=model, fit=fit)
    listing = prepared(config)
    assert train_detector(MachineRun(config, listing, "dev"))
    score_clips(MachineRun(config, listing, "dev"))
    assert len(set(scored(config))) == 6
    assert min(scored(config)) > 0


@pytest.mark.parametrize("name", gate_takes(UNLABELLED, "DenseAE", "GANomaly", "SpectrumDensity"))
def test_every_detector_scores_a_corrupted_clip_higher_than_its_original(copied, name):
    config, listing = copied
    model = Model(name, arguments(name))
    density = Scorer(name="density", density="knn", whiten=True, pooling="lulls")
    if name != config.model.name:  # that one is trained
        config = dataclasses.replace(config, model=model, model_directory=f"{config.model_directory} of {name}")
    config = dataclasses.replace(config, scorer=density)
    assert train_detector(MachineRun(config, listing, "dev")) == (name != "GANomaly")
    score_clips(MachineRun(config, listing, "dev"))
    assert len(set(scored(config))) == 6
    assert min(scored(config)) > 0
    directory = ModelDirectory(Path(config.model_directory, "dev", "fan"))
    detector = directory.load()
    cached = Cache(MachineRun(config, listing, "dev"), "test").current().entries
    normal = [entry for entry in cached if entry.clip.label == 0]
    rng = np.random.default_rng(0)
    for scorer in (density, Scorer()):
        score = clip_values.scorer_function(detector, directory.load_scorer(scorer))
        for _, original in records.read(Path(config.cache_directory, "dev", "fan", "test"), normal):
            corrupted = original + 12 * np.abs(rng.normal(size=original.shape)).astype(np.float32)
            windows = (windows_of(log_mel, 5, detector.normalizer)[np.newaxis] for log_mel in (original, corrupted))
            before, after = (float(score(of_clip)[0]) for of_clip in windows)
            assert after > before


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="compiled on GPUs")
@pytest.mark.parametrize(
    ("name", "is_compiled"), [("DenseAE", True), pytest.param("TIAE", False, marks=pytest.mark.slow)]
)
def test_long_trainings_are_compiled_but_for_convolutions(config, monkeypatch, name, is_compiled):
    asked = []

    def uncompiled(*arguments, jit_compile, **how):
        asked.append(jit_compile)
        return FusedSteps(*arguments, jit_compile=False, **how)

    monkeypatch.setattr(fused_steps, "WORTH_COMPILING", 1)
    monkeypatch.setattr(train, "FusedSteps", uncompiled)
    fit = dataclasses.replace(config.fit, epochs=1)
    config = dataclasses.replace(config, model=Model(name, arguments(name)), fit=fit)
    assert train_detector(MachineRun(config, prepared(config), "dev"))
    assert asked == [is_compiled]


@pytest.mark.slow
def test_early_stopping_waits_for_the_epochs_whose_validation_loss_counts(config):
    model = Model("FAnoGAN", arguments("FAnoGAN"))
    fit = dataclasses.replace(config.fit, epochs=6, patience=1, restore_best=True)
    config = dataclasses.replace(config, model=model, fit=fit)
    assert train_detector(MachineRun(config, prepared(config), "dev"))
    trained = ModelDirectory(Path(config.model_directory, "dev", "fan")).load()
    assert len(trained.record["history"]["loss"]) > trained.detector.warm_up(6) == 4
    assert int(trained.detector.stage) == 2


def test_another_scorer_is_fitted_without_training_again(copied):
    config, listing = copied
    directory = Path(config.model_directory, "dev", "fan")
    before = (directory / "detector.keras").read_bytes()
    for settings in (Scorer(name="density"), Scorer(name="density", pooling="max", density="gmm", regularization=0.1)):
        own = dataclasses.replace(config, scorer=settings)
        with pytest.raises(DataError, match="run `ganad train`, which fits it without training the detector again"):
            score_clips(MachineRun(own, listing, "dev"))
        assert not train_detector(MachineRun(own, listing, "dev"))
        score_clips(MachineRun(own, listing, "dev"))
    assert (directory / "detector.keras").read_bytes() == before
    kinds = sorted(path.name.partition("-")[0] for path in directory.iterdir() if path.is_dir())
    assert kinds == ["gmm", "mahalanobis", "paper"]


def test_a_density_s_scores_are_written_with_the_paper_s_beside_them(copied):
    config, listing = copied
    paper = score_files.read_scores(Path(config.result_directory, "anomaly_score_fan_id_00.csv"))
    density = dataclasses.replace(config, scorer=Scorer(name="density"))
    train_detector(MachineRun(density, listing, "dev"))
    score_clips(MachineRun(density, listing, "dev"))
    beside = density.with_paper_score()
    assert Path(beside.result_directory, "anomaly_score_fan_id_00.csv").parent.name == "paper"
    assert score_files.read_scores(Path(beside.result_directory, "anomaly_score_fan_id_00.csv")) == paper
    assert score_files.read_scores(Path(density.result_directory, "anomaly_score_fan_id_00.csv")) != paper
    assert len(score_files.read_scores(Path(density.result_directory, "train_score_dev_fan.csv"))) == 10
    assert not Path(beside.result_directory, "decision_result_fan_id_00.csv").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"density": "gmm", "components": 11},
            r"at least 13 .* of fan for `scorer.density: gmm` with `scorer.components: 11`. Received: 10",
        ),
        ({"density": "knn", "neighbors": 10}, r"at least 12 .* with `scorer.neighbors: 10`. Received: 10"),
    ],
)
def test_too_few_clips_for_a_density_are_refused_before_training(config, settings, message):
    listing = prepared(config)
    own = dataclasses.replace(config, scorer=Scorer(name="density", **settings))
    with pytest.raises(DataError, match=message):
        train_detector(MachineRun(own, listing, "dev"))
    assert not Path(config.model_directory, "dev", "fan").exists()


def test_a_detector_that_lacks_a_centre_says_so_before_training(config):
    feature = dataclasses.replace(config.feature, frames=4)
    config = dataclasses.replace(config, model=Model("IDNN", {}), feature=feature)
    with pytest.raises(
        ConfigError, match=r"`feature.frames: 4`: IDNN needs an odd number of frames.*Received: frames=4"
    ):
        build.build(config)


def test_paired_batches_are_the_same_windows_in_another_order(config):
    listing = prepared(config)
    entries = Cache(MachineRun(config, listing, "dev"), "train").current().entries
    source = pipeline.Source(KeptSpectra(Path(config.cache_directory, "dev", "fan", "train")), entries, 128, 5, None)
    for budget_mb in (64, 0):
        pairs = list(pipeline.window_batches(source, batch_size=64, seed=1, memory_budget_mb=budget_mb, pairs=True))
        first, second = (np.concatenate([pair[side] for (pair,) in pairs]) for side in (0, 1))
        assert len(first) == len(second) == source.n_windows
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(np.sort(first[:, 0]), np.sort(second[:, 0]), rtol=1e-6)
