"""Conformal thresholds: hand arithmetic, the promise in numbers, folds that do not leak, a folder from end to end."""

import csv
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from conftest import tone, write_wav
from test_serving import Server

from ganad_tf import config as configuration
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import Clip
from ganad_tf.config.sections import Threshold
from ganad_tf.errors import ConfigError, ThresholdError
from ganad_tf.results import conformal, thresholds
from ganad_tf.scoring.folds import folds


def rank_by_hand(n_scores, false_alarms, confidence):
    """The least rank of which the promise holds, from the definition with exact or binomial arithmetic."""
    alpha = Fraction(str(false_alarms))
    for rank in range(1, n_scores + 1):
        holds = Fraction(n_scores + 1 - rank, n_scores + 1) <= alpha
        # The rate is at most alpha if at most rank - 1 of n uniform numbers lie below 1 - alpha.
        if confidence is not None:
            holds = holds and scipy.stats.binom.cdf(rank - 1, n_scores, float(1 - alpha)) >= confidence - 1e-9
        if holds:
            return rank
    return None


@pytest.mark.parametrize("confidence", [None, 0.5, 0.95])
@pytest.mark.parametrize("false_alarms", [0.01, 0.05, 0.07, 0.1, 0.29, 0.5])
def test_threshold_by_the_definition(false_alarms, confidence):
    fewest = conformal.fewest_recordings(false_alarms, confidence)
    for n_scores in {fewest - 1, fewest, 9, 10, 19, 20, 60, 99, 100, 250, 400} - {0}:
        scores = np.random.default_rng(n_scores).permutation(n_scores) + 1.0  # the score is its rank
        rank = rank_by_hand(n_scores, false_alarms, confidence)
        assert (rank is None) == (n_scores < fewest)
        if rank is None:
            with pytest.raises(ThresholdError, match=f"at least {fewest} normal clips .* Received: {n_scores}"):
                conformal.threshold(scores, false_alarms, confidence)
        else:
            assert conformal.threshold(scores, false_alarms, confidence) == rank


def test_a_confidence_that_few_recordings_can_never_give_is_refused():
    """The lowest rate of theirs would be rounded up to 1, with which nothing can be promised."""
    assert conformal.lowest_rate(1, confidence=0.9995) < 1
    with pytest.raises(ThresholdError, match=r"Expected at least 2 normal clips .* Received: 1"):
        conformal.threshold([1.0], None, confidence=0.9995)
    assert conformal.threshold([1.0, 2.0], None, confidence=0.9995) == 2.0


def test_decisions_and_p_values_are_one():
    random = np.random.default_rng(0)
    for n_scores, false_alarms in ((19, 0.05), (20, 0.1), (99, 0.29), (100, 0.07)):
        calibration = random.integers(0, 30, n_scores).astype(float)  # with ties
        scores = random.integers(-5, 40, 500).astype(float)
        p_values = conformal.p_values(scores, calibration)
        expected = [Fraction(1 + sum(value >= score for value in calibration), n_scores + 1) for score in scores]
        assert np.allclose(p_values, [float(value) for value in expected], rtol=0, atol=1e-12)
        assert p_values.min() > 0
        limit = conformal.threshold(calibration, false_alarms)
        assert ((scores > limit) == [value <= Fraction(str(false_alarms)) for value in expected]).all()


@pytest.mark.parametrize("n_recordings", [99, 23], ids=["clips", "recordings"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_graph_decides_by_the_rate_of_each_clip(dtype, n_recordings):
    from ganad_tf.exporting.deciding import Decider

    calibration = np.random.default_rng(1).integers(0, 30, 99).astype(np.float32)  # with ties
    names = [f"r{max(0, number - 76)}" for number in range(99)] if n_recordings == 23 else []  # one of 77 clips
    possible = [rate for rate in (0.01, 0.05, 0.1, 0.29, 0.3, 0.99) if rate >= 1 / (n_recordings + 1)]
    scores, rates = (part.ravel() for part in np.meshgrid(np.arange(-1.0, 32), possible))
    decider = Decider(5.0, calibration, dtype, names)
    decided = decider.decide_at(np.float32(scores), np.float32(rates))
    limits = [conformal.threshold(calibration, rate, recordings=names) for rate in rates]
    assert decided["threshold"].numpy().tolist() == limits
    assert decided["is_anomaly"].numpy().tolist() == (scores > limits).tolist()
    assert (decided["p_value"].numpy() == np.float32(conformal.p_values(scores, calibration, names))).all()
    unit = "recordings" if names else "clips"
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"1/{n_recordings + 1}, which {n_recordings} normal {unit}"
    ):
        decider.decide_at(np.float32([1]), np.float32([0.009]))


def test_the_promise_holds_over_many_calibrations():
    """False alarms of exchangeable scores of any distribution: in the mean, and with confidence in 95 of 100 sets."""
    random = np.random.default_rng(1)
    mean_rates, strict = [], []
    for _ in range(2000):
        calibration = random.gamma(0.5, size=60)
        limit = conformal.threshold(calibration, 0.1)
        mean_rates.append(scipy.stats.gamma.sf(limit, 0.5))
        strict.append(scipy.stats.gamma.sf(conformal.threshold(calibration, 0.1, 0.95), 0.5))
    assert np.mean(mean_rates) == pytest.approx(6 / 61, abs=0.003)
    assert np.mean(np.array(strict) > 0.1) < 0.065


def test_settings_that_do_not_tell_the_method():
    def method(**sections):
        return configuration.from_mapping(sections, source="test").threshold.method

    folder = {"dataset": {"name": "folder"}}
    assert method() == "gamma"  # the challenge's
    assert method(**folder) == "conformal"
    assert method(**folder, threshold={"quantile": 0.99}) == "gamma"
    assert method(**folder, threshold={"fixed": 3.5}) == "fixed"
    assert method(threshold={"false_alarms": 0.1}) == "conformal"
    machines = {"fan": {"threshold": {"fixed": 2.0}}}
    config = configuration.from_mapping({"threshold": {"quantile": 0.8}, "machines": machines}, source="test")
    assert thresholds.threshold([], config.for_machine("fan").threshold) == 2.0
    assert config.for_machine("pump").threshold == Threshold("gamma", 0.8)
    for bad in ({"method": "fixed"}, {"false_alarms": 1}, {"confidence": 0}, {"folds": 1}):
        with pytest.raises(ConfigError, match=r"threshold\."):
            method(threshold=bad)


def entries(*clips):
    """One entry per (machine ID, file, group, checksum)."""
    return [
        Entry(Clip(file, file, "fan", machine_id, "train", 0, 1, 1, group), "shard", index, 10, checksum)
        for index, (machine_id, file, group, checksum) in enumerate(clips)
    ]


def sides(all_folds, key):
    return [({key(e) for e in fold.training}, {key(e) for e in fold.held_out}) for fold in all_folds]


def test_folds_leave_out_whole_recordings():
    channels = [("00", f"r{number}_ch{channel}.wav", f"r{number}", "") for number in range(10) for channel in range(8)]
    made = folds(entries(*channels), 5, 1, seed=0)
    assert [len(fold.held_out) for fold in made] == [16] * 5
    assert all(not training & held_out for training, held_out in sides(made, lambda entry: entry.clip.group))
    together = sorted(entry.clip.file for fold in made for entry in fold.held_out)
    assert together == sorted(clip[1] for clip in channels)


def test_folds_of_blocks_twins_and_a_single_recording():
    series = [("00", f"{number:03}.wav", "", f"sha{number // 2}" if number < 4 else "") for number in range(40)]
    made = folds(entries(*series), 4, 1, seed=0)
    assert all(not training & held_out - {""} for training, held_out in sides(made, lambda entry: entry.sha256))
    made = folds(entries(*[(*clip[:3], "") for clip in series]), 4, 5, seed=0)
    blocks = sides(made, lambda entry: int(entry.clip.file[:3]) // 5)
    assert all(not training & held_out for training, held_out in blocks)
    one = [(machine_id, file, "rec", "") for machine_id, file, _, _ in series]
    for fold in folds(entries(*one), 4, 1, seed=0):
        numbers = sorted(int(entry.clip.file[:3]) for entry in fold.held_out)
        assert numbers == list(range(numbers[0], numbers[0] + 10))  # adjacent pieces
    assert folds(entries(*series[4:5]), 4, 1, seed=0) == []


def test_every_fold_has_its_share_of_each_machine_id():
    clips = [(machine_id, f"{machine_id}_{number}.wav", "", "") for machine_id in ("00", "02") for number in range(10)]
    for fold in folds(entries(*clips), 5, 1, seed=3):
        assert sorted(entry.clip.machine_id for entry in fold.held_out) == ["00", "00", "02", "02"]


FAN = """
dev_directory: my_fan
eval_directory: new
dataset: {name: folder}
model: {name: SpectrumDensity}
feature: {n_mels: 16, frames: 3}
fit: {epochs: 1, verbose: 0}
scorer: {name: density, density: mahalanobis}
threshold: {false_alarms: 0.1, folds: 3}
"""


def rows(path):
    with path.open(newline="") as stream:
        return {name: float(value) for name, value in csv.reader(stream)}


@pytest.fixture(scope="module")
def fan(tmp_path_factory, ganad):
    """A folder whose owner asks for one false alarm in ten."""
    folder = tmp_path_factory.mktemp("fan")
    for index in range(20):
        write_wav(folder / "my_fan" / "normal" / f"{index:02}.wav", tone(seed=index, noise=0.01 + 0.001 * index))
    for index in range(2):
        write_wav(folder / "my_fan" / "anomaly" / f"{index}.wav", tone(hz=2000, seed=50 + index))
    (folder / "fan.yaml").write_text(FAN)
    ganad("run", "fan.yaml", cwd=folder)
    return folder


def test_p_values_and_decisions_of_a_folder(fan):
    result = fan / "result"
    calibration = rows(result / "calibration_score_dev_my_fan.csv")
    assert calibration.keys() == rows(result / "train_score_dev_my_fan.csv").keys()
    assert len(calibration) == 16
    scores, p_values, decisions = (
        rows(result / f"{kind}_my_fan_id_00.csv") for kind in ("anomaly_score", "p_value", "decision_result")
    )
    assert scores.keys() == p_values.keys() == decisions.keys()
    for name, score in scores.items():
        assert p_values[name] == (1 + sum(value >= score for value in calibration.values())) / 17
        assert decisions[name] == (p_values[name] <= 0.1)
    assert all(p_values[f"anomaly/{index}.wav"] == 1 / 17 for index in range(2))


def test_calibration_scores_are_those_of_detectors_that_have_not_seen_the_clip(fan, monkeypatch):
    """Recomputed from the cached spectra by NumPy: clips of the fold have no part in the density that scores them."""
    from sklearn.covariance import LedoitWolf

    from ganad_tf import datasets
    from ganad_tf.cache import records
    from ganad_tf.cache.directory import Cache
    from ganad_tf.run import machine_runs

    monkeypatch.chdir(fan)
    config = configuration.load("fan.yaml")
    (run,) = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
    cache = Cache(run, "train")
    current = cache.current()
    vectors = {
        entry.clip: np.lib.stride_tricks.sliding_window_view(log_mel, 3, axis=0).mean(axis=(0, 2))  # as windows overlap
        for entry, log_mel in records.read(cache.path, current.entries)
    }
    expected = {}
    for fold in folds(current.entries, 3, 1, config.seed):
        seen = np.array([vectors[entry.clip] for entry in fold.training], np.float64)
        mean, deviation = seen.mean(axis=0), seen.std(axis=0)
        fitted = LedoitWolf().fit((seen - mean) / deviation)
        for entry in fold.held_out:
            z = (vectors[entry.clip] - mean) / deviation - fitted.location_
            expected[entry.clip.name] = float(z @ np.linalg.inv(fitted.covariance_) @ z)
    computed = rows(fan / "result" / "calibration_score_dev_my_fan.csv")
    assert computed == pytest.approx(expected, rel=1e-3)


def test_calibration_scores_of_a_version_that_counted_clips_are_made_again_without_a_training(tmp_path, ganad):
    for recording in range(8):
        for piece in range(2):
            sound = tone(seed=recording, noise=0.01 + 0.001 * recording + 0.0001 * piece)
            write_wav(tmp_path / "my_fan" / "normal" / f"rec{recording}_{piece:02}.wav", sound)
    (tmp_path / "fan.yaml").write_text(FAN.replace("0.1", "0.3"))
    for verb in ("prepare", "train"):
        ganad(verb, "fan.yaml", cwd=tmp_path)
    (scores,) = (tmp_path / "model").rglob("calibration-*/scores.csv")
    content, record = scores.read_text(), scores.with_name("calibration.json")
    assert all(line.split(",")[2].startswith("rec") for line in content.splitlines())
    as_before = record.read_text()
    record.write_text(as_before.replace("-by-recording", ""))
    scores.write_text("".join(f"{line.rpartition(',')[0]}\n" for line in content.splitlines()))
    (weights,) = (tmp_path / "model").rglob("detector.keras")
    trained = weights.stat().st_mtime_ns
    ganad("train", "fan.yaml", cwd=tmp_path)
    assert (scores.read_text(), record.read_text()) == (content, as_before)
    assert weights.stat().st_mtime_ns == trained


@pytest.mark.slow
def test_the_exported_model_gives_p_values(fan, ganad):
    ganad("export", "fan.yaml", "--name", "fan", cwd=fan)
    answers = json.loads(ganad("predict", "exported_models/fan", "my_fan", "--json", cwd=fan).stdout)
    p_values = rows(fan / "result" / "p_value_my_fan_id_00.csv")
    by_name = {answer["file"].removeprefix("my_fan/"): answer for answer in answers}
    for name, p_value in p_values.items():
        assert by_name[name]["p_value"] == pytest.approx(p_value, rel=1e-6)
        assert by_name[name]["is_anomaly"] == (p_value <= 0.1)
    assert "p-value  decision" in ganad("predict", "exported_models/fan", "my_fan/anomaly", cwd=fan).stdout
    of_rate = ganad("predict", "exported_models/fan", "my_fan", "--json", "--false-alarms", "0.5", cwd=fan).stdout
    calibration = [*rows(fan / "result" / "calibration_score_dev_my_fan.csv").values()]
    for answer in json.loads(of_rate):
        assert answer["is_anomaly"] == (answer["p_value"] <= 0.5)
        assert answer["threshold"] == pytest.approx(conformal.threshold(calibration, 0.5), rel=1e-6)
    refused = ganad("predict", "exported_models/fan", "my_fan", "--false-alarms", "0.05", cwd=fan, check=2)
    assert "--false-alarms: expected rates below 1 and at least 1/17, which 16 normal clips allow" in refused.stderr
    server = Server(fan / "exported_models")
    try:
        url = f"http://127.0.0.1:{server.port}/v1/models/fan"
        told = ganad("predict", url, "my_fan", "--json", "--false-alarms", "0.5", cwd=fan).stdout
        said = ganad("predict", url, "my_fan", "--false-alarms", "0.05", cwd=fan, check=2).stderr
        inputs = {"waveform": [tone().tolist(), tone(hz=2000).tolist()], "false_alarms": [0.5, 0.06]}
        body = {"signature_name": "decide_waveform", "inputs": inputs}
        _, answer = server.ask("POST", "/v1/models/fan:predict", body)
        body["inputs"]["false_alarms"] = [0.5]
        status, mismatch = server.ask("POST", "/v1/models/fan:predict", body)
    finally:
        assert server.stop() == 0
    sentence = "false_alarms: expected one entry per clip in all inputs. Received: "
    assert (status, mismatch["error"].startswith(sentence)) == (400, True), mismatch
    assert [row["is_anomaly"] for row in json.loads(told)] == [row["is_anomaly"] for row in json.loads(of_rate)]
    assert said == refused.stderr
    thresholds_of = [conformal.threshold(calibration, rate) for rate in (0.5, 0.06)]
    assert answer["outputs"]["threshold"] == pytest.approx(thresholds_of, rel=1e-6)
    metadata = json.loads((fan / "exported_models" / "fan" / "1" / "assets.extra" / "ganad.json").read_text())
    assert metadata["threshold"]["false_alarms"] == 0.1
    assert metadata["threshold"]["n_calibration_scores"] == 16


def test_another_rate_needs_no_training_and_too_low_a_rate_says_how_many_clips(fan, ganad):
    before = rows(fan / "result" / "anomaly_score_my_fan_id_00.csv")
    done = ganad("score", "fan.yaml", "--set", "threshold.false_alarms=0.5", cwd=fan)
    assert "trained" not in done.stderr
    limit = conformal.threshold([*rows(fan / "result" / "calibration_score_dev_my_fan.csv").values()], 0.5)
    decisions = rows(fan / "result" / "decision_result_my_fan_id_00.csv")
    assert decisions == {name: score > limit for name, score in before.items()}
    done = ganad("score", "fan.yaml", "--set", "threshold.false_alarms=0.01", cwd=fan)
    assert "Expected at least 99 normal clips" in done.stderr
    assert "Received: 16; add recordings, or set at least 0.059." in done.stderr
    assert not (fan / "result" / "decision_result_my_fan_id_00.csv").exists()
    assert rows(fan / "result" / "p_value_my_fan_id_00.csv")
    done = ganad("export", "fan.yaml", "--set", "threshold.false_alarms=0.01", cwd=fan, check=2)
    assert "needs a threshold" in done.stderr
    ganad("score", "fan.yaml", "--set", f"threshold.fixed={math.pi}", cwd=fan)
    decisions = rows(fan / "result" / "decision_result_my_fan_id_00.csv")
    assert decisions == {name: score > math.pi for name, score in before.items()}
    ganad("score", "fan.yaml", cwd=fan)
