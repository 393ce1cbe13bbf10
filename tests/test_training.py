import dataclasses
import json
import logging

import keras
import numpy as np
import pytest
from conftest import write_machine

from ganad_tf import clips, datasets, pipeline, preparation, records, scoring, trained, training
from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError, TrainingError
from ganad_tf.features import stack_frames
from ganad_tf.models import DETECTORS
from ganad_tf.sections import Model


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
    assert len(model.train_scores) == 10
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
    detector = training.build(dataclasses.replace(config, seed=7))
    assert detector.seed == 7
    for optimizer in (detector.optimizer, detector.discriminator_optimizer):
        assert isinstance(optimizer, keras.optimizers.Adam)
        assert float(optimizer.learning_rate) == pytest.approx(3e-4)
        assert optimizer.beta_1 == 0.5


def test_a_loss_that_is_no_number_ends_training():
    with pytest.raises(TrainingError, match="`encoder_loss` became inf in epoch 3; nothing was saved"):
        training.StopAtNaN().on_epoch_end(2, {"loss": 1.0, "encoder_loss": float("inf")})


def test_every_reset_of_the_discriminator_is_logged(caplog):
    report = training.ReportResets()
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
    model = Model(name, {"hidden": [16], "latent": 4})
    fit = dataclasses.replace(config.fit, epochs=2, memory_budget_mb=budget_mb)
    config = dataclasses.replace(config, model=model, fit=fit)
    listing = prepared(config)
    assert training.train(config, listing, "dev")
    scoring.score(config, listing, "dev")
    scores = [score.score for score in clips.read_scores(config.score_path("fan", "00"))]
    assert len(set(scores)) == 6
    assert min(scores) > 0


def test_a_detector_that_lacks_a_centre_says_so_before_training(config):
    feature = dataclasses.replace(config.feature, frames=4)
    config = dataclasses.replace(config, model=Model("IDNN", {}), feature=feature)
    with pytest.raises(
        ConfigError, match=r"`feature.frames: 4`: IDNN needs an odd number of frames.*Received: frames=4"
    ):
        training.build(config)


def test_paired_batches_are_the_same_windows_in_another_order(config):
    listing = prepared(config)
    entries = preparation.current_cache(config, listing, "dev", "train").entries
    source = pipeline.Source(config.cache_path("dev", "fan", "train"), entries, 128, 5, None)
    for budget_mb in (64, 0):
        pairs = list(pipeline.windows(source, batch_size=64, seed=1, memory_budget_mb=budget_mb, pairs=True))
        first, second = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        assert len(first) == len(second) == source.n_windows
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(np.sort(first[:, 0]), np.sort(second[:, 0]), rtol=1e-6)
