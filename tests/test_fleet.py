"""Fleets: one exported model of many machines scores as the models of single machines, and refuses other machines."""

import dataclasses
import json
import re
import urllib.error
import urllib.request

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import tone, write_machine
from serving_process import ServingProcess

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ExportError
from ganad_tf.exporting import fleet
from ganad_tf.exporting.fleet_graph import FleetScorer, arrays_of
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import Normalizer
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring import densities
from ganad_tf.scoring.compound_densities import AveragedDensity
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.serving.models.artifact import Artifact

FEATURE = {"n_mels": 16, "frames": 3, "n_fft": 256, "hop_length": 128}
SCORER = {"name": "density", "pooling": "lulls", "whiten": True, "density": "knn", "neighbors": 2}
MACHINES = ("fan 1", "fan 2", "pump")
CONFIG = configuration.from_mapping({"feature": FEATURE, "scorer": SCORER}, source="test")


def member_of(number: int) -> Member:
    """A detector with weights, standardisation and neighbours of its own."""
    keras.utils.set_random_seed(number)
    random = np.random.default_rng(number)
    detector = DETECTORS["DenseAE"](input_dim=48, hidden=[12, 8], latent=4)
    normalizer = Normalizer(random.normal(-40, 5, 16), random.uniform(5, 9, 16))
    parts = [densities.fit(random.normal(size=[9, 16]), Scorer(**SCORER), 0) for _ in range(2)]
    scorer = FittedScorer(Scorer(**SCORER), AveragedDensity(tuple(parts)), ())
    return Member(TrainedDetector(detector, normalizer, 3, 16, {}), scorer)


def test_a_fleet_scores_and_decides_as_its_machines_do():
    members = [member_of(number) for number in range(len(MACHINES))]
    calibration = [[900.0 + number, 1.0 + number, 60.0 + number, 20.0 + number] for number in range(len(MACHINES))]
    arrays = [arrays_of(CONFIG, members[number], 10.0 * number, calibration[number]) for number in range(len(MACHINES))]
    functions = FleetScorer(CONFIG, members[1], MACHINES, arrays).functions
    clips = tf.constant([tone(hz=440), tone(hz=900), tone(hz=440)], tf.float32)
    names = tf.constant(["pump", "fan 1", "fan 2"])
    scored = functions["score_waveform"](clips, names)
    assert len({float(score) for score in scored["anomaly_score"]}) == len(MACHINES)
    for row, number in ((0, 2), (1, 0)):
        alone = SoundScorer(CONFIG, [members[number]], 10.0 * number, calibration=calibration[number])
        for output, values in alone.functions["score_waveform"](clips[row : row + 1]).items():
            np.testing.assert_allclose(scored[output][row], values[0], rtol=1e-6, err_msg=output)
    decided = functions["decide_waveform"](clips, tf.constant([0.4, 0.2, 0.6]), names)
    assert decided["threshold"].numpy().tolist() == [62.0, 900.0, 21.0]  # the 2nd, 1st and 3rd from the top of 4
    assert "explain" not in functions
    with pytest.raises(tf.errors.InvalidArgumentError, match="machine: expected a machine of this fleet"):
        functions["score_waveform"](clips, tf.constant(["pump", "vent", "pump"]))


def test_machines_of_other_settings_are_refused_before_anything_is_read(tmp_path):
    config = dataclasses.replace(CONFIG, export_directory=str(tmp_path / "exported"))
    other = dataclasses.replace(config, scorer=Scorer(name="density"))
    configs = {"fan": config, "pump": other, "valve": config, "slider": other}
    runs = [MachineRun(own, Listing(machine, tmp_path, ()), "dev") for machine, own in configs.items()]
    with pytest.raises(ExportError, match="other settings than for fan for pump, slider; export them as another fleet"):
        fleet.export(runs, "plant")
    assert not (tmp_path / "exported").exists()


YAML = """
dev_directory: dev
feature: {n_mels: 16, frames: 3, n_fft: 256, hop_length: 128}
model: {name: SpectrumDensity}
fit: {epochs: 1, validation_split: 0}
scorer: {name: density, density: knn, neighbors: 2}
threshold: {method: quantile}
"""


@pytest.mark.slow
def test_a_fleet_is_exported_served_and_asked_by_the_name_of_the_machine(tmp_path, ganad):
    for machine, n_train in (("fan", 4), ("pump", 4), ("valve", 5)):
        write_machine(tmp_path / "dev", machine, n_train=n_train, n_test=1)
    (tmp_path / "plant.yaml").write_text(YAML)
    ganad("prepare", "plant.yaml", "-q", cwd=tmp_path)
    ganad("train", "plant.yaml", "-q", cwd=tmp_path)
    refused = ganad("export", "plant.yaml", "--fleet", "plant", "-q", cwd=tmp_path, check=2)
    assert "Expected machines of a fleet with equally many training clips" in refused.stderr
    assert "for valve" in refused.stderr and not (tmp_path / "exported_models").exists()
    few = ("--machine", "fan", "pump")
    ganad("export", "plant.yaml", "--fleet", "plant", "-q", *few, cwd=tmp_path)
    ganad("export", "plant.yaml", "--name", "one", "-q", *few, cwd=tmp_path)
    exported = tmp_path / "exported_models"
    assert Artifact(exported / "plant").machines == ["fan", "pump"]
    clip = next((tmp_path / "dev" / "fan" / "test").glob("anomaly*.wav"))
    predicted = ganad("predict", "exported_models/plant", "--machine", "pump", clip, "--json", cwd=tmp_path)
    single = ganad("predict", "exported_models/one_pump", clip, "--json", cwd=tmp_path)
    assert json.loads(predicted.stdout)[0]["anomaly_score"] == pytest.approx(
        json.loads(single.stdout)[0]["anomaly_score"], rel=1e-6
    )
    missing = ganad("predict", "exported_models/plant", clip, cwd=tmp_path, check=2)
    assert "--machine: expected a machine of the fleet" in missing.stderr
    server = ServingProcess(exported)
    try:
        url = f"http://127.0.0.1:{server.port}/v1/models/plant:predict"
        waveform = tone(seed=3).astype(float).tolist()
        for machine, status in (("fan", 200), ("vent", 400)):
            body = json.dumps({"instances": [{"waveform": waveform, "machine": machine}]}).encode()
            try:
                with urllib.request.urlopen(urllib.request.Request(url, body), timeout=60) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                assert error.code == status
                assert re.search("machine: expected a machine of this fleet, received vent", error.read().decode())
    finally:
        assert server.stop() == 0
