"""Toy machines whose faults no mean spectrum shows: a density of mean spectra is blind, the right statistic is not."""

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import gate_takes

from ganad_tf.config.sections import Dataset, Scorer, SyntheticData
from ganad_tf.datasets import hidden_faults, synthetic
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import LogMel
from ganad_tf.results.metrics import auc
from ganad_tf.scoring import densities

SETTINGS = SyntheticData(seconds=4)
RATE, HOP = 16000, 160  # envelopes have 100 values per second
COUNT = 40


def clips(machine, fault, kind):
    return np.stack([synthetic.recording(machine, 0, fault, (kind, number), SETTINGS) for number in range(COUNT)])


def analytic(waveforms, low_hz, high_hz):
    """The analytic signal of a band, `[clips, samples]` complex."""
    hz = np.fft.fftfreq(waveforms.shape[1], 1 / RATE)
    return np.fft.ifft(np.where((hz >= low_hz) & (hz <= high_hz), 2 * np.fft.fft(waveforms), 0))


def envelope(waveforms, low_hz, high_hz):
    power = np.abs(analytic(waveforms, low_hz, high_hz)) ** 2
    return power.reshape(len(power), -1, HOP).mean(axis=2)


def follows(first, second):
    """Highest correlation of an envelope with another one, 0.15 to 0.35 s later."""
    centred = [values - values.mean(axis=1, keepdims=True) for values in (first, second)]
    return np.max([np.mean(centred[0][:, :-lag] * centred[1][:, lag:], axis=1) for lag in range(15, 36)], axis=0)


def swapped_strokes(waveforms):
    middle, high = envelope(waveforms, 900, 1700), envelope(waveforms, 2400, 4000)
    return follows(high, middle) - follows(middle, high)


def rate_of_swell(waveforms):
    swell = envelope(waveforms, 100, 6000)
    hz = np.fft.rfftfreq(swell.shape[1], HOP / RATE)
    return hz[np.argmax(np.abs(np.fft.rfft(swell)) * (hz > 1), axis=1)]


def decoupling(waveforms):
    """Minus the bicoherence of a tone and its octave."""
    lower, upper = analytic(waveforms, 150, 300), analytic(waveforms, 330, 560)
    coupled = np.abs(np.mean(lower**2 * upper.conj(), axis=1))
    return -coupled / np.sqrt(np.mean(np.abs(lower) ** 4, axis=1) * np.mean(np.abs(upper) ** 2, axis=1))


def high_before_low(waveforms):
    low, high = envelope(waveforms, 500, 1500), envelope(waveforms, 2500, 5500)
    return np.max(high[:, :-12] * low[:, 12:], axis=1) / (high.max(axis=1) * low.max(axis=1))


ORACLES = {
    "blower": rate_of_swell,
    "coupling": decoupling,
    "press": swapped_strokes,
    "relay": high_before_low,
}


def mean_log_mel(waveforms):
    return LogMel()(tf.constant(waveforms, tf.float32)).numpy().mean(axis=1)


def band_levels(waveforms):
    """Mean level of bands of half an octave, in dB, of waveforms at the same RMS."""
    power = np.abs(np.fft.rfft(waveforms / np.sqrt(np.mean(waveforms**2, axis=1, keepdims=True)))) ** 2
    edges = (np.array([100, 141, 200, 283, 566, 800, 1131, 1600, 2263, 3200, 4525, 6400]) * SETTINGS.seconds).astype(
        int
    )
    return 10 * np.log10(np.add.reduceat(power, edges, axis=1).mean(axis=0))


@pytest.mark.parametrize("machine", gate_takes(hidden_faults.MACHINES, "relay"))
def test_mean_spectra_do_not_show_the_fault_and_its_own_statistic_does(machine):
    (fault,) = hidden_faults.MACHINES[machine][1]
    training, normal, anomalous = clips(machine, None, 0), clips(machine, None, 1), clips(machine, fault, 2)
    tested, labels = np.concatenate([normal, anomalous]), [0] * COUNT + [1] * COUNT
    spectra, of_tested = mean_log_mel(training), mean_log_mel(tested)
    for settings in (Scorer(name="density"), Scorer(name="density", density="knn", whiten=True)):
        scores = densities.score_in_chunks(densities.fit(spectra, settings, seed=0), of_tested)
        assert 0.35 < auc(labels, scores) < 0.65
    assert auc(labels, ORACLES[machine](tested)) > 0.9
    healthy = np.concatenate([training, normal])
    np.testing.assert_allclose(band_levels(anomalous), band_levels(healthy), atol=1.0)


def test_they_are_written_when_they_are_named_and_only_then(tmp_path):
    few = {"n_ids": 1, "n_train": 2, "n_normal": 1, "n_anomaly": 1, "seconds": 1}
    synthetic.write(tmp_path / "six", SyntheticData(**few))
    assert {path.name for path in (tmp_path / "six").iterdir() if path.is_dir()} == {
        *("ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve")
    }
    assert "machines" not in (tmp_path / "six" / synthetic.MARK).read_text()  # as in folders that are there
    named = SyntheticData(machines=["press", "fan"], **few)
    synthetic.write(tmp_path / "two", named)
    listed = list(synthetic.machine_types(tmp_path / "two", "dev", Dataset("synthetic")))
    assert sorted(listed) == ["fan", "press"]
    clip = "fan/train/normal_id_00_00000001.wav"
    assert (tmp_path / "two" / clip).read_bytes() == (tmp_path / "six" / clip).read_bytes()
    assert soundfile.info(tmp_path / "two" / "press/test/anomaly_id_00_00000000.wav").frames == 16000
    with pytest.raises(DataError, match="made with other settings"):
        synthetic.write(tmp_path / "two", SyntheticData(machines=["press"], **few))


def test_an_unknown_machine_is_named(tmp_path):
    with pytest.raises(
        ConfigError, match=r"Unknown machine 'pres' in `dataset.synthetic.machines`; did you mean `press`"
    ):
        synthetic.write(tmp_path / "data", SyntheticData(machines=["pres"]))
    with pytest.raises(ValueError, match="a machine or more for `dataset.synthetic.machines`"):
        SyntheticData(machines=[])
