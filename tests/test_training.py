import dataclasses
import json
import logging
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import write_machine

from ganad_tf import (
    building,
    callbacks,
    clips,
    datasets,
    pipeline,
    preparation,
    records,
    scoring,
    trained,
    training,
)
from ganad_tf import config as configuration
from ganad_tf.checkpoints import Checkpoint
from ganad_tf.errors import ConfigError, DataError, TrainingError
from ganad_tf.features import stack_frames, windows_of
from ganad_tf.models import DETECTORS
from ganad_tf.sections import Model, Scorer


@pytest.fixture
def config(tmp_path):
    write_machine(tmp_path / "data", "fan", ids=("00",), n_train=10)
    mapping = {
        "dev_directory": str(tmp_path / "data"),
        "cache_directory": str(tmp_path / "cache"),
        "model_directory": str(tmp_path / "model"),
        "result_directory": str(tmp_path / "result"),
        "feature": {"standardize": True},
        "model": {"name": "GANomaly", "hidden": [16], "latent": 4, "score": "combined"},
        "fit": {"epochs": 3, "batch_size": 32, "compile": {"learning_rate": 3e-4, "beta_1": 0.5}},
    }
    return configuration.from_mapping(mapping, source="test")


def prepared(config):
    (listing,) = datasets.list_clips(config, "dev")
    for split in ("train", "test"):
        preparation.prepare(config, listing, "dev", split)
    return listing


def test_a_trained_detector_keeps_what_made_it(config):
    listing = prepared(config)
    assert training.train(config, listing, "dev")
    record = json.loads((config.model_path("dev", "fan") / "training.json").read_text())
    assert configuration.from_mapping(record["config"], source="record") == config
    assert record["n_clips"] == {"training": 9, "validation": 1}
    assert record["n_windows"] == {"training": 9 * 28, "validation": 28}
    assert {"loss", "val_loss", "discriminator_loss", "val_discriminator_loss"} <= record["history"].keys()
    assert all(len(curve) == 3 for curve in record["history"].values())
    found = preparation.current_cache(config, listing, "dev", "train")
    assert record["normalizer"]["mean"] == pytest.approx(found.statistics.mean)
    model = trained.load(config.model_path("dev", "fan"))
    assert model.detector.get_config()["latent"] == 4
    paper = trained.load_scorer(config.model_path("dev", "fan"), Scorer())
    assert len(paper.train_scores) == 10
    assert not training.train(config, listing, "dev")


def test_a_clip_s_score_is_the_mean_over_its_standardised_windows(config):
    listing = prepared(config)
    training.train(config, listing, "dev")
    scoring.score(config, listing, "dev")
    model = trained.load(config.model_path("dev", "fan"))
    written = dict(line.split(",") for line in config.score_path("fan", "00").read_text().splitlines())
    mean, std = np.float32(model.record["normalizer"]["mean"]), np.float32(model.record["normalizer"]["std"])
    found = preparation.current_cache(config, listing, "dev", "test")
    assert len(found.entries) == len(written) == 6
    for entry, log_mel in records.read(config.cache_path("dev", "fan", "test"), found.entries):
        windows = stack_frames(((log_mel - mean) / std)[np.newaxis], 5)[0]
        expected = np.mean(model.detector.anomaly_score(windows))
        assert float(written[entry.clip.name]) == pytest.approx(expected, rel=1e-4)


def test_both_optimizers_and_the_seed_are_as_the_yaml_says(config):
    detector = building.build(dataclasses.replace(config, seed=7))
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
        training.train(config, listing, "dev")
    directory = config.model_path("dev", "fan")
    assert not directory.exists()
    kept = keras.models.load_model(directory.with_name("fan.last_good.keras"))
    assert np.isfinite(kept.anomaly_score(np.zeros([2, 640], np.float32))).all()


def test_a_detector_is_itself_again_after_training(config, tmp_path):
    listing = prepared(config)
    entries = preparation.current_cache(config, listing, "dev", "train").entries
    source = pipeline.Source(config.cache_path("dev", "fan", "train"), entries, 128, 5, None)
    detector = building.build(config)
    training.fit(detector, config, source, source, (), Checkpoint(tmp_path / "unfinished.npz", {}))
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
        training.train(config, listing, "dev", callbacks=(Remember(), Rising()))
    kept = keras.models.load_model(config.model_path("dev", "fan").with_name("fan.last_good.keras"))
    for mine, theirs in zip(kept.get_weights(), seen[1], strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_spoilt_by_the_very_last_step_are_not_saved_as_a_detector(config):
    listing = prepared(config)
    fit = dataclasses.replace(config.fit, epochs=1, validation_split=0.0)

    class Spoil(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            weight = self.model.trainable_weights[0]
            weight.assign(weight * float("nan"))

    with pytest.raises(TrainingError, match="the weights became NaN or infinite at the end of epoch 1"):
        training.train(dataclasses.replace(config, fit=fit), listing, "dev", callbacks=(Spoil(),))
    directory = config.model_path("dev", "fan")
    assert not directory.exists()
    kept = directory.with_name("fan.last_good.keras")
    assert np.isfinite(keras.models.load_model(kept).anomaly_score(np.zeros([2, 640], np.float32))).all()
    assert training.train(config, listing, "dev")
    assert not kept.exists()


def test_a_mean_that_overflows_without_a_bad_batch_ends_training_too():
    model = keras.Sequential([keras.Input([1]), keras.layers.Dense(1)])
    watch = callbacks.StopAtNaN(Path("unused.keras"))
    watch.set_model(model)
    watch.on_epoch_begin(0)
    watch._stop = lambda what: (_ for _ in ()).throw(TrainingError(what))
    with pytest.raises(TrainingError, match="`loss` became inf in epoch 1"):
        watch.on_train_batch_end(0, {"loss": float("inf")})


def test_every_reset_of_the_discriminator_is_logged(caplog):
    report = callbacks.ReportResets()
    with caplog.at_level(logging.WARNING):
        for epoch, count in enumerate([0, 2, 2, 3]):
            report.on_epoch_end(epoch, {"discriminator_resets": count})
    assert [record.getMessage() for record in caplog.records] == [
        "the discriminator was initialised afresh 2 times in epoch 2",
        "the discriminator was initialised afresh 1 times in epoch 4",
    ]


@pytest.mark.parametrize("budget_mb", [64, 0], ids=["in memory", "streamed"])
@pytest.mark.parametrize("name", DETECTORS)
def test_every_detector_trains_and_scores_from_the_cache(config, name, budget_mb):
    model = Model(name, {"hidden": [16], "latent": 4} if name != "SpectrumDensity" else {})
    fit = dataclasses.replace(config.fit, epochs=2, memory_budget_mb=budget_mb)
    config = dataclasses.replace(config, model=model, fit=fit)
    listing = prepared(config)
    assert training.train(config, listing, "dev")
    scoring.score(config, listing, "dev")
    scores = [score.score for score in clips.read_scores(config.score_path("fan", "00"))]
    assert len(set(scores)) == 6
    assert min(scores) > 0


@pytest.mark.parametrize("name", DETECTORS)
def test_a_corrupted_clip_scores_higher_than_its_original(config, name):
    model = Model(name, {"hidden": [16], "latent": 4} if name != "SpectrumDensity" else {})
    density = Scorer(name="density", density="knn", whiten=True, pooling="lulls")
    config = dataclasses.replace(config, model=model, scorer=density)
    listing = prepared(config)
    training.train(config, listing, "dev")
    directory = config.model_path("dev", "fan")
    detector = trained.load(directory)
    cached = preparation.current_cache(config, listing, "dev", "test").entries
    normal = [entry for entry in cached if entry.clip.label == 0]
    rng = np.random.default_rng(0)
    for scorer in (density, Scorer()):
        score = scoring.scorer_function(detector, trained.load_scorer(directory, scorer))
        for _, original in records.read(config.cache_path("dev", "fan", "test"), normal):
            corrupted = original + 12 * np.abs(rng.normal(size=original.shape)).astype(np.float32)
            windows = (windows_of(log_mel, 5, detector.normalizer)[np.newaxis] for log_mel in (original, corrupted))
            before, after = (float(score(of_clip)[0]) for of_clip in windows)
            assert after > before


def test_another_scorer_is_fitted_without_training_again(config):
    listing = prepared(config)
    assert training.train(config, listing, "dev")
    directory = config.model_path("dev", "fan")
    before = (directory / "detector.keras").read_bytes()
    for settings in (Scorer(name="density"), Scorer(name="density", pooling="max", density="gmm")):
        own = dataclasses.replace(config, scorer=settings)
        with pytest.raises(DataError, match="run `ganad train`, which fits it without training the detector again"):
            scoring.score(own, listing, "dev")
        assert not training.train(own, listing, "dev")
        scoring.score(own, listing, "dev")
    assert (directory / "detector.keras").read_bytes() == before
    kinds = sorted(path.name.partition("-")[0] for path in directory.iterdir() if path.is_dir())
    assert kinds == ["gmm", "mahalanobis", "paper"]


def test_a_density_s_scores_are_written_with_the_paper_s_beside_them(config):
    listing = prepared(config)
    training.train(config, listing, "dev")
    scoring.score(config, listing, "dev")
    paper = clips.read_scores(config.score_path("fan", "00"))
    density = dataclasses.replace(config, scorer=Scorer(name="density"))
    training.train(density, listing, "dev")
    scoring.score(density, listing, "dev")
    beside = density.with_paper_score()
    assert beside.score_path("fan", "00").parent.name == "paper"
    assert clips.read_scores(beside.score_path("fan", "00")) == paper
    assert clips.read_scores(density.score_path("fan", "00")) != paper
    assert len(clips.read_scores(density.train_score_path("dev", "fan"))) == 10
    assert not beside.decision_path("fan", "00").exists()


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
        training.train(own, listing, "dev")
    assert not config.model_path("dev", "fan").exists()


def test_a_detector_that_lacks_a_centre_says_so_before_training(config):
    feature = dataclasses.replace(config.feature, frames=4)
    config = dataclasses.replace(config, model=Model("IDNN", {}), feature=feature)
    with pytest.raises(
        ConfigError, match=r"`feature.frames: 4`: IDNN needs an odd number of frames.*Received: frames=4"
    ):
        building.build(config)


def test_paired_batches_are_the_same_windows_in_another_order(config):
    listing = prepared(config)
    entries = preparation.current_cache(config, listing, "dev", "train").entries
    source = pipeline.Source(config.cache_path("dev", "fan", "train"), entries, 128, 5, None)
    for budget_mb in (64, 0):
        pairs = list(pipeline.windows(source, batch_size=64, seed=1, memory_budget_mb=budget_mb, pairs=True))
        first, second = (np.concatenate([pair[side] for (pair,) in pairs]) for side in (0, 1))
        assert len(first) == len(second) == source.n_windows
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(np.sort(first[:, 0]), np.sort(second[:, 0]), rtol=1e-6)
