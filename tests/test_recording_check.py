"""The recording check: what is measured of a clip, which faults are named, and that no command scores such a clip."""

import csv
import json
import re

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from conftest import SAMPLE_RATE, write_wav

from ganad_tf import config as configuration
from ganad_tf.config.sections import Audio, Feature
from ganad_tf.datasets.synthetic import SyntheticData, recording
from ganad_tf.errors import InputError
from ganad_tf.features import LogMel
from ganad_tf.files import checksummed
from ganad_tf.recording_check import statistics
from ganad_tf.recording_check.limits import RecordingLimits, absolute
from ganad_tf.scoring.recordings import verdict_function
from ganad_tf.serving.models import bad_clip
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.warming import warm

SOUND = SyntheticData(seconds=2.0)
LOG_MEL = LogMel()


def pump(number: int, fault: str | None = None) -> np.ndarray:
    """A recording with a level between -40 and -28 dB."""
    return recording("pump", 0, fault, (0, number), SOUND) / 2


def resampled(clip: np.ndarray, rate: int) -> np.ndarray:
    """The clip, recorded at another rate and resampled."""
    return scipy.signal.resample(scipy.signal.resample(clip, len(clip) * rate // SAMPLE_RATE), len(clip))


def background(level_db: float) -> np.ndarray:
    """Pink noise."""
    spectrum = np.random.default_rng(1).normal(size=(2, SAMPLE_RATE + 1)) / np.sqrt(np.arange(SAMPLE_RATE + 1) + 1)
    noise = np.fft.irfft(spectrum[0] + 1j * spectrum[1])
    return noise / noise.std() * 10 ** (level_db / 20)


# By the reason that they should be given: changes of a healthy clip.
FAULTS = {
    "dead microphone": lambda clip: np.full_like(clip, 0.25),
    "clipped": lambda clip: clip * 60,
    "constant offset": lambda clip: clip - 0.2,
    "band limited to": lambda clip: resampled(clip, 8000),
    "level .* above": lambda clip: clip / clip.std() * 0.1,
    "level .* below": lambda clip: clip / clip.std() * 0.001,
    "machine not running": lambda _: background(-56),
}


def in_16_bits(clip: np.ndarray) -> np.ndarray:
    return np.clip(np.round(clip * 32768), -32768, 32767).astype(np.float32) / 32768


def measured(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    waveform = in_16_bits(clip)
    return statistics.of_waveform(waveform).numpy(), statistics.of_log_mel(LOG_MEL(waveform[None])[0]).numpy()


@pytest.fixture(scope="module")
def limits() -> RecordingLimits:
    sounds, bands = map(np.stack, zip(*(measured(pump(number)) for number in range(8)), strict=True))
    return RecordingLimits.fit(sounds, bands, Audio(), Feature())


def test_statistics_by_hand():
    waveform = np.array([0.5, 0.5, 0.5, 0.5, -0.25, 0.5, 0.25, -0.5] * 2 + [0.0] * 4, np.float32)
    # The value 0.5 ten times and -0.5 twice, of 20; in threes twice in either run of four, and so four.
    power = np.mean((waveform - waveform.mean()) ** 2)
    expected = [12 / 20, 4 / 20, waveform.mean(), 10 * np.log10(power)]
    for at_once in (None, 3, 7, 20):
        values = statistics.of_waveform(waveform, at_once=at_once).numpy()
        if at_once is None:
            assert values == pytest.approx(expected, rel=1e-6)
        assert values[1:] == pytest.approx(expected[1:], rel=1e-5)
    assert statistics.of_waveform(waveform / 8).numpy()[:2].tolist() == [0, 0]  # nothing is clipped so low
    assert statistics.of_waveform(np.full(9, 0.3, np.float32)).numpy()[2:] == pytest.approx([0.3, -200])
    log_mel = tf.constant([[0.0, -300.0], [-10.0, -300.0]])
    assert statistics.of_log_mel(log_mel).numpy() == pytest.approx([10 * np.log10(1.1 / 2), -300], abs=1e-4)


def test_relative_log_mels_get_their_level_back():
    bands = np.array([[0.0, -10.0, -20.0]])
    (levels,) = absolute(bands, [-30.0])
    assert 10 * np.log10(np.sum(10 ** (levels / 10))) == pytest.approx(-30)
    assert levels - levels[0] == pytest.approx(bands[0])


@pytest.mark.parametrize("reason", FAULTS)
def test_faults_of_the_recording_are_named(limits, reason):
    judge = verdict_function(RecordingLimits.from_json(json.loads(json.dumps(limits.to_json()))))
    verdicts = [judge(*measured(FAULTS[reason](pump(number)))) for number in range(20, 23)]
    for verdict in verdicts:
        assert re.match(reason, verdict), verdicts
    if reason == "band limited to":
        edges = [float(verdict.split()[-2]) for verdict in verdicts]
        assert edges == pytest.approx([4.0] * 3, abs=0.25)
    if reason == "level .* below":
        lowest = limits.level_db[0]
        assert verdicts[0] == f"level {lowest - 20 * np.log10(0.001):.0f} dB below the training recordings"


@pytest.mark.parametrize("fault", [None, "leak", "missed stroke", "cavitation"])
def test_machines_healthy_or_broken_are_judged(limits, fault):
    judge = verdict_function(limits)
    assert [judge(*measured(pump(number, fault))) for number in range(30, 40)] == [""] * 10


def test_a_silent_training_clip_widens_no_limit(limits):
    sounds, bands = map(np.stack, zip(*(measured(pump(number)) for number in range(8)), strict=True))
    dead = measured(np.zeros(SAMPLE_RATE))
    with_dead = RecordingLimits.fit(np.vstack([sounds, dead[0]]), np.vstack([bands, dead[1]]), Audio(), Feature())
    assert with_dead == limits


def test_the_challenge_wants_a_score_for_each_clip():
    defaults = {
        name: configuration.from_mapping({"dataset": {"name": name}}, source="test").checks_recordings
        for name in ("dcase2020", "folder", "synthetic", "imported")
    }
    assert defaults == {"dcase2020": False, "folder": True, "synthetic": True, "imported": False}
    settings = {"recording_check": {"enabled": True}}
    assert configuration.from_mapping(settings, source="test").checks_recordings
    settings = {"dataset": {"name": "folder"}, "machines": {"fan": {"recording_check": {"enabled": False}}}}
    config = configuration.from_mapping(settings, source="test")
    assert (config.checks_recordings, config.for_machine("fan").checks_recordings) == (True, False)


CONFIG = """
dev_directory: ./pump
eval_directory: ./new
dataset: {name: folder, folder: {test_split: 0.25}}
feature: {n_mels: 64, frames: 3, standardize: true}
model: {name: SpectrumDensity}
fit: {epochs: 1, verbose: 0}
scorer: {name: density}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, ganad):
    """A detector of healthy pumps, and recordings that can't be judged, in the test and among new ones."""
    root = tmp_path_factory.mktemp("recordings")
    for number in range(16):
        write_wav(root / "pump" / "normal" / f"{number:02}.wav", np.clip(pump(number), -1, 1))
    for number in range(3):
        write_wav(root / "pump" / "anomaly" / f"leak{number}.wav", pump(number, "leak"))
    write_wav(root / "pump" / "anomaly" / "silent.wav", np.zeros(SAMPLE_RATE))
    write_wav(root / "new" / "pump" / "healthy.wav", pump(30))
    write_wav(root / "new" / "pump" / "resampled.wav", resampled(pump(30), 8000))
    write_wav(root / "new" / "pump" / "silent.wav", np.zeros(SAMPLE_RATE))
    (root / "pump.yaml").write_text(CONFIG)
    ganad("run", "pump.yaml", cwd=root)
    ganad("export", "pump.yaml", "--name", "pump", "-q", cwd=root)
    return root


@pytest.mark.slow
def test_clips_that_are_not_judged_have_a_reason_and_no_score(project, ganad):
    done = ganad("run", "pump.yaml", "--eval", cwd=project)
    assert "2 of 3 test clips are not judged and have no score" in done.stderr
    with (project / "result" / "not_judged_eval_pump.csv").open(newline="") as stream:
        reasons = dict(csv.reader(stream))
    assert reasons.keys() == {"resampled.wav", "silent.wav"}
    assert reasons["silent.wav"] == "dead microphone"
    assert reasons["resampled.wav"].startswith("band limited to 4.")
    for name in ("anomaly_score", "decision_result"):
        rows = (project / "result" / f"{name}_pump_id_new.csv").read_text().splitlines()
        assert [row.partition(",")[0] for row in rows] == ["healthy.wav"]

    done = ganad("evaluate", "pump.yaml", cwd=project)
    assert "1 of 8 test clips are not judged and count in no result" in done.stderr
    assert done.stdout.splitlines()[1].split()[4:6] == ["4", "3"]  # normal clips, and anomalies without the silent one
    ganad("report", "result", "-q", cwd=project)
    report = (project / "result" / "report" / "report.md").read_text()
    assert "| silent.wav | dead microphone |" in report.partition("pump, eval: not judged")[2]
    page = (project / "result" / "report" / "report.html").read_text()
    assert "recordings without a score" in page


@pytest.mark.slow
def test_caches_and_detectors_of_earlier_versions_are_completed(project, ganad):
    """Without statistics in the manifest, recordings are read; without limits, all is judged, after a warning."""
    settings = ["--set", "cache_directory=old_cache", "model_directory=old_model", "result_directory=old"]
    ganad("run", "pump.yaml", *settings, "recording_check.enabled=false", "-q", cwd=project)
    assert not (project / "old" / "not_judged_dev_pump.csv").exists()
    assert "anomaly/silent.wav" in (project / "old" / "anomaly_score_pump_id_00.csv").read_text()
    warned = ganad("score", "pump.yaml", *settings, cwd=project).stderr
    assert "trained without `recording_check`" in warned
    for path in (project / "old_cache").rglob("manifest.json"):
        body = json.loads(path.read_text())["manifest"]
        for entry in body["entries"]:
            del entry["sound"]
        path.write_text(checksummed.dump("manifest", body))
    ganad("run", "pump.yaml", *settings, "-q", cwd=project)
    for name in ("not_judged_dev_pump.csv", "anomaly_score_pump_id_00.csv"):
        assert (project / "old" / name).read_text() == (project / "result" / name).read_text()


def _score_of_healthy(project) -> float:
    ((_, score),) = csv.reader((project / "result" / "anomaly_score_pump_id_new.csv").read_text().splitlines())
    return float(score)


@pytest.mark.slow
def test_an_exported_model_gives_the_reason_in_place_of_a_score(project, ganad):
    table = ganad("predict", "exported_models/pump", "new/pump", cwd=project).stdout.splitlines()
    assert float(table[1].split()[1]) == pytest.approx(_score_of_healthy(project), rel=1e-4)
    assert table[2].split("not judged: ")[1].startswith("band limited to 4.")
    assert table[3].split() == ["new/pump/silent.wav", "-", "-", "-", "not", "judged:", "dead", "microphone"]
    rows = json.loads(ganad("predict", "exported_models/pump", "new/pump", "--json", "--explain", cwd=project).stdout)
    assert rows[0]["not_judged"] is None
    assert rows[2] == {
        "file": "new/pump/silent.wav",
        "anomaly_score": None,
        "is_anomaly": None,
        "threshold": None,
        "p_value": None,
        "not_judged": "dead microphone",
        "findings": [],
        "explanation": "",
    }
    assert rows[0].keys() == rows[1].keys() == rows[2].keys()
    lines = ganad("predict", "exported_models/pump", "new/pump", "--csv", cwd=project).stdout.splitlines()
    assert lines[0] == "file,anomaly_score,is_anomaly,threshold,p_value,not_judged"
    assert lines[3] == "new/pump/silent.wav,,,,,dead microphone"


@pytest.mark.slow
def test_a_server_names_the_clip_that_it_does_not_judge(project):
    model = Artifact(project / "exported_models" / "pump")
    assert model.metadata["input"]["recording_check"]
    warm(model)  # with silence, which it does not judge
    healthy, silent = in_16_bits(pump(30)), np.zeros(2 * SAMPLE_RATE, np.float32)
    assert model("score_waveform", {"waveform": healthy[None]})["anomaly_score"].shape == (1,)
    for signature in ("score_waveform", "explain"):
        with pytest.raises(InputError, match=r"waveform\[1\]: not judged: dead microphone\."):
            bad_clip.call(model, signature, {"waveform": np.stack([healthy, silent])})


@pytest.mark.slow
def test_an_ensemble_leaves_out_what_a_member_does_not_judge(project, ganad):
    ganad("run", "pump.yaml", "-q", "--set", "result_directory=all", "recording_check.enabled=false", cwd=project)
    settings = "dev_directory: ./pump\ndataset: {name: folder, folder: {test_split: 0.25}}\nresult_directory: ./both\n"
    (project / "both.yaml").write_text(f"{settings}ensemble: {{members: [./all, ./result]}}\n")
    done = ganad("run", "both.yaml", cwd=project)
    assert "1 of 8 test clips are not judged" in done.stderr
    assert (project / "both" / "not_judged_dev_pump.csv").read_text() == "anomaly/silent.wav,dead microphone\n"
    assert "silent" not in (project / "both" / "anomaly_score_pump_id_00.csv").read_text()
