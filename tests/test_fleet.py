"""Fleets: one exported model of many machines scores as the models of single machines, and refuses other machines."""

import contextlib
import dataclasses
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import ROOT, tone, write_machine, write_wav
from test_serving import Server

from ganad_tf import config as configuration
from ganad_tf.cli import main
from ganad_tf.clips import Listing
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ExportError, InputError
from ganad_tf.exporting import fleet
from ganad_tf.exporting.fleet_arrays import of_machine
from ganad_tf.exporting.fleet_graph import FleetScorer
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import Normalizer, feature_layer
from ganad_tf.models import DETECTORS
from ganad_tf.recording_check import statistics
from ganad_tf.recording_check.limits import RecordingLimits
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import densities
from ganad_tf.scoring.compound_densities import AveragedDensity
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.serving.models.artifact import Artifact

FEATURE = {"n_mels": 16, "frames": 3, "n_fft": 256, "hop_length": 128}
SCORER = {"name": "density", "pooling": "lulls", "whiten": True, "density": "knn", "neighbors": 2}
MACHINES = ("fan 1", "fan 2", "pump")
CONFIG = configuration.from_mapping({"feature": FEATURE, "scorer": SCORER}, source="test")

QUIET = tone() / 30


def limits_of(*clips: np.ndarray) -> RecordingLimits:
    """Recording conditions of these clips."""
    log_mels = feature_layer(CONFIG.audio, CONFIG.feature)(np.stack(clips))
    sounds, bands = [statistics.of_waveform(clip) for clip in clips], map(statistics.of_log_mel, log_mels)
    return RecordingLimits.fit(np.stack(sounds), np.stack(list(bands)), CONFIG.audio, CONFIG.feature)


def member_of(number: int) -> Member:
    """A detector with weights, standardisation and neighbours of its own; the last machine may be quiet."""
    keras.utils.set_random_seed(number)
    random = np.random.default_rng(number)
    detector = DETECTORS["DenseAE"](input_dim=48, hidden=[12, 8], latent=4)
    normalizer = Normalizer(random.normal(-40, 5, 16), random.uniform(5, 9, 16))
    parts = [densities.fit(random.normal(size=[9, 16]), Scorer(**SCORER), 0) for _ in range(2)]
    scorer = FittedScorer(Scorer(**SCORER), AveragedDensity(tuple(parts)), ())
    tones = [tone(hz=440), tone(hz=900)]
    limits = limits_of(*tones) if number < 2 else limits_of(*tones, QUIET)
    return Member(TrainedDetector(detector, normalizer, 3, 16, {}), scorer, limits)


def test_a_fleet_scores_and_decides_as_its_machines_do():
    members = [member_of(number) for number in range(len(MACHINES))]
    calibration = [
        [ClipScore(str(score), score + number, "one" if number and score < 50 else "") for score in (900, 1, 60, 20)]
        for number in range(len(MACHINES))
    ]  # of the second and third machine, two clips are of one recording
    arrays = [
        of_machine(CONFIG, [members[number]], 10.0 * number, calibration[number]) for number in range(len(MACHINES))
    ]
    functions = FleetScorer(CONFIG, members[1:2], MACHINES, arrays).functions
    clips = tf.constant([tone(hz=440), tone(hz=900), tone(hz=440)], tf.float32)
    names = tf.constant(["pump", "fan 1", "fan 2"])
    scored = functions["score_waveform"](clips, names)
    assert len({float(score) for score in scored["anomaly_score"]}) == len(MACHINES)
    pump = SoundScorer(CONFIG, [members[2]], 20.0, calibration=calibration[2])
    for output, values in pump.functions["score_waveform"](clips[:1]).items():
        np.testing.assert_allclose(scored[output][0], values[0], rtol=1e-6, err_msg=output)
    decided = functions["decide_waveform"](clips, tf.constant([0.4, 0.2, 0.6]), names)
    assert decided["threshold"].numpy().tolist() == [902.0, 900.0, 61.0]  # p-values in quarters, of fan 1 in fifths
    assert "explain" not in functions
    functions["score_waveform"](QUIET[np.newaxis], tf.constant(["pump"]))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"waveform: not judged:.*level .*\d+ dB below"):
        functions["score_waveform"](QUIET[np.newaxis], tf.constant(["fan 1"]))
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
fit: {epochs: 1, validation_split: 0}
scorer: {name: density, density: knn, neighbors: 2}
threshold: {method: quantile}
recording_check: {enabled: true}
ensemble:
  members:
    - {name: network, model: {name: DenseAE, hidden: [8], latent: 2}}
    - {name: spectrum, model: {name: SpectrumDensity}}
machines: {pump: {ensemble: {weights: [0, 1]}}}
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory) -> Path:
    """Folder of a trained plant.yaml, in which the valve has more training clips than the others."""
    folder = tmp_path_factory.mktemp("plant")
    for machine, n_train in (("fan", 4), ("pump", 4), ("valve", 5)):
        write_machine(folder / "dev", machine, n_train=n_train, n_test=1)
    (folder / "plant.yaml").write_text(YAML)
    with contextlib.chdir(folder):
        assert main.main(["prepare", "plant.yaml", "-q"]) == main.main(["train", "plant.yaml", "-q"]) == 0
    return folder


@pytest.mark.slow
def test_a_fleet_is_exported_asked_over_http_and_one_machine_replaced(plant, monkeypatch, capsys):
    monkeypatch.chdir(plant)
    assert main.main(["export", "plant.yaml", "--fleet", "plant", "-q"]) == 2
    refused = capsys.readouterr().err
    assert "Expected machines of a fleet with equally many training clips" in refused and "for valve" in refused
    assert not Path("exported_models").exists()
    both = ["--machine", "fan", "pump"]
    assert main.main(["export", "plant.yaml", "--fleet", "plant", "-q", *both]) == 0
    fleet_of_two = Artifact(plant / "exported_models" / "plant")
    assert fleet_of_two.machines == ["fan", "pump"]
    with pytest.raises(InputError, match=r"^machine: expected a machine of this fleet, received vent\.$"):
        fleet_of_two.score(tf.constant(tone(), tf.float32), machine="vent")
    clip = str(write_wav(plant / "new.wav", tone()))
    sent = tf.constant(soundfile.read(clip, dtype="float32")[0])
    before = {
        machine: fleet_of_two.score(sent, machine=machine)["anomaly_score"][0] for machine in fleet_of_two.machines
    }

    shutil.rmtree("model/members/network/dev/fan")  # not needed to replace the pump
    write_wav(Path("dev/pump/train/normal_id_00_00000000.wav"), tone(hz=500))
    change = ["plant.yaml", "-q", "--machine", "pump"]
    assert main.main(["prepare", *change]) == main.main(["train", *change, "--fresh"]) == 0
    capsys.readouterr()
    assert main.main(["export", "plant.yaml", "--fleet", "plant", "--replace", "valve", "-q"]) == 2
    assert "to be replaced, fan, pump. Received: valve" in capsys.readouterr().err
    assert main.main(["export", "plant.yaml", "--fleet", "plant", "--replace", "pump", "-q"]) == 0
    server = Server(plant / "exported_models" / "plant")
    try:
        url = f"http://127.0.0.1:{server.port}/v1/models/plant"
        after = {}
        for machine in before:
            capsys.readouterr()
            assert main.main(["predict", url, "--machine", machine, clip, "--json"]) == 0
            after[machine] = json.loads(capsys.readouterr().out)[0]["anomaly_score"]
        assert main.main(["predict", url, "--machine", "vent", clip]) == 2
        assert "machine: expected a machine of this fleet, received vent" in capsys.readouterr().err
    finally:
        assert server.stop() == 0
    assert after["fan"] == pytest.approx(before["fan"], rel=1e-5)
    assert abs(after["pump"] / before["pump"] - 1) > 0.01


@pytest.mark.slow
def test_the_tool_replaces_a_machine_under_clients(plant):
    few = ("--copies", "2", "--singles", "1", "--clients", "3", "--seconds", "1")
    command = [sys.executable, ROOT / "tools" / "fleet.py", "plant.yaml", "--machine", "valve", *few]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=plant)
    assert re.search(r"largest relative difference \D*(0\.0|[0-9.]+e-0[789]|[0-9.]+e-1\d)$", done.stdout, re.M)
    assert re.search(r"answers to 3 clients .*\{'200': \d+\}$", done.stdout, re.M)
    assert re.search(r"m0000 by the first, by the second version +\[[1-9]\d*, 0\]$", done.stdout, re.M)
    assert re.search(r"m0001 by the first, by the second version +\[[1-9]\d*, [1-9]\d*\]$", done.stdout, re.M)
