"""Words about faults: each kind where it was put in, nothing in healthy clips, and `predict --explain`."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import SAMPLE_RATE, tone, write_wav
from scipy import signal

from ganad_tf.config.sections import Audio, Feature
from ganad_tf.features import log_mel_layer
from ganad_tf.findings import healthy, spectra
from ganad_tf.findings.explain import explain
from ganad_tf.findings.finding import Finding, in_words
from ganad_tf.findings.healthy import Healthy
from ganad_tf.findings.spectra import Peak
from ganad_tf.serving.predict import predictions
from ganad_tf.serving.predict.predictions import Prediction

SECONDS = 3.0
LOG_MEL = tf.function(log_mel_layer(Audio(), Feature()).in_pieces, input_signature=[tf.TensorSpec([None])])


def noise(seed: int) -> np.ndarray:
    """A healthy machine: pink-like noise and a hum at 100 Hz, at a random level."""
    rng = np.random.default_rng(seed)
    flow = signal.lfilter([1], [1, -0.9], rng.normal(size=round(SECONDS * SAMPLE_RATE)))
    sound = flow + np.sin(2 * np.pi * 100 * time() + rng.uniform(0, 6))
    return 0.02 * 10 ** (rng.uniform(-3, 3) / 20) * sound


def time() -> np.ndarray:
    return np.arange(round(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE


def band(low: float, high: float, sound: np.ndarray) -> np.ndarray:
    return signal.sosfiltfilt(signal.butter(8, [low, high], "bandpass", fs=SAMPLE_RATE, output="sos"), sound)


def blows(per_second: float) -> np.ndarray:
    """Short noises at a regular rate, 1 at their beginning."""
    since = (time() % (1 / per_second)) * SAMPLE_RATE
    return np.exp(-since / 60) * np.random.default_rng(5).normal(size=since.size)


def log_mel(sound: np.ndarray) -> np.ndarray:
    return LOG_MEL(np.float32(sound)).numpy()


@pytest.fixture(scope="module")
def known() -> Healthy:
    return Healthy.fit((("00", log_mel(noise(seed))) for seed in range(20)), Audio(), Feature())


def test_a_tone_is_named_with_its_overtones(known):
    sound = noise(100) + 0.01 * sum(np.sin(2 * np.pi * 1234 * k * time()) / k for k in (1, 2, 3))
    (found,) = explain(known, log_mel(sound), np.float32(sound))
    assert found.kind == "tone"
    assert found.frequency_hz == pytest.approx(1234, abs=1)
    assert found.harmonics == pytest.approx((1234, 2468, 3702), abs=2)
    assert found.sentence.startswith("a tone at 1234 Hz with 2 harmonics, ")


def test_a_tone_that_is_seen_only_in_a_log_mel_is_a_band(known):
    sound = noise(100) + 0.01 * np.sin(2 * np.pi * 1234 * time())
    found = explain(known, log_mel(sound))[0]
    assert (found.kind, found.frequency_hz) == ("band", None)
    assert found.from_hz < 1234 < found.to_hz < 1600


@pytest.mark.parametrize(("per_second", "has_samples"), [(2.5, True), (19, True), (2.5, False), (7, False)])
def test_bursts_are_counted(known, per_second, has_samples):
    sound = noise(101) + 0.3 * band(2000, 5000, blows(per_second))
    found = explain(known, log_mel(sound), np.float32(sound) if has_samples else None)[0]
    assert found.kind == "bursts"
    assert found.per_second == pytest.approx(per_second, rel=0.03)
    assert found.from_hz == pytest.approx(2000, rel=0.3)
    assert found.to_hz == pytest.approx(5000, rel=0.3)


@pytest.mark.parametrize("gain", [1, -0.9])
def test_a_band_is_louder_or_quieter(known, gain):
    healthy_sound = noise(102)
    part = band(1500, 3000, healthy_sound)
    sound = healthy_sound + gain * (3 * part if gain > 0 else part)
    found = explain(known, log_mel(sound), np.float32(sound))[0]
    assert found.kind == "band"
    assert found.db == pytest.approx(12.0 if gain > 0 else -20.0, abs=3)  # 4 and 0.1 times the amplitude
    assert (found.from_hz, found.to_hz) == pytest.approx((1500, 3000), rel=0.12)
    assert found.sentence.split(" Hz")[0].endswith(f"to {found.to_hz:.0f}")


def test_another_level_is_said_alone(known):
    sound = 10 * noise(103)
    (found,) = explain(known, log_mel(sound), np.float32(sound))
    assert found.kind == "level"
    assert found.db == pytest.approx(20, abs=4)  # the healthy level varies by 3 dB
    assert in_words([found]).startswith("the whole recording is ")


def test_healthy_clips_are_unclear(known):
    answers = [explain(known, log_mel(noise(seed)), np.float32(noise(seed))) for seed in range(200, 230)]
    assert [answer[0].kind for answer in answers].count("unclear") >= 29
    assert answers[0][0].as_dict() == {
        "kind": "unclear",
        "sentence": "unclear: nothing stands out from the healthy recordings",
    }


@pytest.mark.parametrize("sound", [np.zeros(8000), np.ones(600) * 0.1, tone(0.1, 3000)], ids=["silence", "dc", "short"])
def test_no_sound_is_too_odd_for_words(known, sound):
    found = explain(known, log_mel(sound), np.float32(sound))
    assert in_words(found)


def test_of_a_long_clip_the_loudest_stretch_is_looked_at(known, monkeypatch):
    monkeypatch.setattr("ganad_tf.findings.evidence.LONGEST_SECONDS", 1.0)
    late = np.where(time() > 1.2, 1.0, 0.0)
    sound = noise(104) + 0.03 * late * np.sin(2 * np.pi * 3000 * time())
    found = explain(known, log_mel(sound), np.float32(sound))
    assert (found[0].kind, found[0].frequency_hz) == ("tone", pytest.approx(3000, rel=0.003))


def test_a_description_survives_its_file_and_no_change_of_it(known):
    text = known.dump()
    again = Healthy.load(text)
    sound = noise(100) + 0.01 * np.sin(2 * np.pi * 1234 * time())
    assert explain(again, log_mel(sound), np.float32(sound)) == explain(known, log_mel(sound), np.float32(sound))
    with pytest.raises(ValueError, match="checksum"):
        Healthy.load(text.replace("0.5", "0.6", 1))


def test_few_clips_describe_nothing_and_small_machines_go_together():
    clips = [(f"{number:02d}", log_mel(noise(number))) for number in range(4)]
    assert Healthy.fit(clips[:2], Audio(), Feature()) is None
    assert list(Healthy.fit(clips, Audio(), Feature()).machines) == [""]


def test_a_profile_by_hand():
    """Ten spectra of one band: nine at 0 dB and one at 10 dB."""
    values = np.array([[0.0]] * 9 + [[10.0]])
    lull, median, often, rare, mean = healthy.profile_of(values)[:, 0]
    assert (lull, median) == (0, 0)
    assert (often, rare) == pytest.approx((1.0, 7.3))  # linear between the ninth and the tenth
    assert mean == pytest.approx(10 * np.log10(1.9))


def test_a_fundamental_that_is_no_peak_is_the_common_spacing():
    sideband = Peak(602, 0.1)
    hz, members = spectra.fundamental([Peak(400, 1.0), Peak(600.5, 0.8), Peak(999, 0.5), sideband])
    assert hz == pytest.approx(200, rel=0.003)
    assert [peak.hz for peak in members] == [400, 600.5, 999]


def test_words_stand_below_an_anomaly_and_beside_it():
    whine = Finding("tone", "a tone at 2000 Hz, 9 dB louder than healthy", db=9.0, frequency_hz=2000.0)
    bad, good = Prediction("bad.wav", 3.0, True, 2.0), Prediction("good.wav", 1.0, False, 2.0)
    rows = [bad.explained([whine]), good.explained([])]
    assert predictions.as_table(rows).splitlines()[1:] == [
        "bad.wav                3           2  ANOMALY",
        "    a tone at 2000 Hz, 9 dB louder than healthy",
        "good.wav               1           2  normal",
    ]
    first, second = json.loads(predictions.as_json(rows))
    assert first["findings"] == [{"kind": "tone", "sentence": whine.sentence, "db": 9.0, "frequency_hz": 2000.0}]
    assert (first["explanation"], second["findings"], second["explanation"]) == (whine.sentence, [], "")
    assert predictions.as_csv(rows).splitlines() == [
        "file,anomaly_score,is_anomaly,threshold,p_value,not_judged,explanation",
        'bad.wav,3.0,1,2.0,,,"a tone at 2000 Hz, 9 dB louder than healthy"',
        "good.wav,1.0,0,2.0,,,",
    ]
    assert (
        predictions.as_csv([bad]) == "file,anomaly_score,is_anomaly,threshold,p_value,not_judged\nbad.wav,3.0,1,2.0,,"
    )
    assert not json.loads(predictions.as_json([bad]))[0].keys() & {"findings", "explanation"}


def test_scores_alone_can_not_be_explained(ganad, tmp_path):
    (tmp_path / "model.onnx").touch()
    write_wav(tmp_path / "bad.wav", tone())
    for model in ("http://127.0.0.1:1/v1/models/demo", "grpc://127.0.0.1:1/demo", "model.onnx"):
        refused = ganad("predict", model, "bad.wav", "--explain", cwd=tmp_path, check=2).stderr
        assert f"Received: {model}; a server, a LiteRT and an ONNX model have scores only." in refused
