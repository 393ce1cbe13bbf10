"""Fleets of ensembles: machines with weights of their own, and members that do not count for some of them."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.config import Config
from ganad_tf.config.ensemble import Ensemble
from ganad_tf.errors import ExportError
from ganad_tf.exporting import fleet_arrays, fleet_settings
from ganad_tf.exporting.fleet_graph import FleetScorer
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import Normalizer
from ganad_tf.models import DETECTORS
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector

MODELS = {"network": {"hidden": [6], "latent": 2}, "second": {"hidden": [5], "latent": 3}}
WEIGHTS = {"fan": None, "pump": [0.0, 1.0], "valve": [0.25, 0.75]}


def config_of(machine: str, combine: str = "mean") -> Config:
    members = [{"name": name, "model": {"name": "DenseAE", **sizes}} for name, sizes in MODELS.items()]
    ensemble = {"members": members, "combine": combine, "weights": WEIGHTS[machine]}
    return configuration.from_mapping({"feature": {"n_mels": 8, "frames": 2}, "ensemble": ensemble}, source="test")


def member_of(machine: str, name: str) -> Member:
    random = np.random.default_rng([*WEIGHTS].index(machine))
    detector = DETECTORS["DenseAE"](input_dim=16, **MODELS[name])
    scores = tuple(ClipScore(str(number), score) for number, score in enumerate(random.uniform(0.2, 2, 7)))
    fitted = FittedScorer(configuration.from_mapping({}, source="test").scorer, None, scores)
    normalizer = Normalizer(random.normal(-40, 5, 8), random.uniform(5, 9, 8))
    return Member(TrainedDetector(detector, normalizer, 2, 8, {}), fitted)


@pytest.fixture(scope="module")
def members() -> dict[str, list[Member]]:
    """Trained members of each machine: none of weight 0."""
    keras.utils.set_random_seed(0)
    names = {machine: config_of(machine).ensemble.labels() for machine in WEIGHTS}
    return {machine: [member_of(machine, name) for name in of] for machine, of in names.items()}


@pytest.mark.parametrize("combine", ["p_value", pytest.param("mean", marks=pytest.mark.slow)])
def test_each_machine_has_its_own_weights_and_scales(members, combine):
    arrays = [
        fleet_arrays.of_machine(config_of(machine, combine), [None] * (2 - len(own)) + own, 1.0, [])
        for machine, own in members.items()
    ]
    assert "0.weight.0" not in arrays[1]  # the pump's network was not trained
    fleet_arrays.lend(arrays)
    graph = FleetScorer(config_of("fan", combine), members["fan"], list(WEIGHTS), arrays)
    log_mel = tf.constant(np.random.default_rng(9).normal(-40, 8, [9, 8]), tf.float32)
    scores = {}
    for machine, own in members.items():
        alone = SoundScorer(config_of(machine, combine), own, 1.0).score_clip(log_mel, tf.constant(""))
        scores[machine] = float(graph.score_clip(log_mel, tf.constant(machine)))
        assert scores[machine] == pytest.approx(float(alone), rel=1e-6), machine
    assert len(set(scores.values())) == len(WEIGHTS)


def runs_of(*configs: Config) -> list[MachineRun]:
    return [
        MachineRun(config, Listing(machine, "", ()), "dev") for machine, config in zip(WEIGHTS, configs, strict=False)
    ]


def test_members_that_no_machine_needs_are_left_out():
    assert fleet_settings.labels_in_use(runs_of(*map(config_of, WEIGHTS))) == ["network", "second"]
    assert fleet_settings.labels_in_use(runs_of(config_of("pump"), config_of("pump"))) == ["second"]
    fleet_settings.refuse_others(runs_of(*map(config_of, WEIGHTS)))


def test_ensembles_that_do_not_fit_into_one_model_are_refused():
    fan = config_of("fan")
    with pytest.raises(ExportError, match="other settings than for fan for pump; export them as another fleet"):
        fleet_settings.refuse_others(runs_of(fan, config_of("fan", "rank")))
    in_folders = dataclasses.replace(fan, ensemble=Ensemble(["result/a", "result/b"]))
    with pytest.raises(ExportError, match="Received: result directories as members for fan, pump"):
        fleet_settings.refuse_others(runs_of(in_folders, in_folders))
    without_first = dataclasses.replace(fan.ensemble, combine="max", weights=[0, 1])
    largest = [Ensemble(fan.ensemble.members, "max"), without_first]
    runs = runs_of(*(dataclasses.replace(fan, ensemble=ensemble) for ensemble in largest))
    with pytest.raises(ExportError, match=r"max`. Received: weights of 0 of other members than for fan for pump"):
        fleet_settings.refuse_others(runs)
