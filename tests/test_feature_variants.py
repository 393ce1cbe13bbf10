"""Every kind of `feature.kind`, and every setting of mel bands: against librosa, in pieces, exported, whole runs."""

import dataclasses
import importlib
import json
import sys
from pathlib import Path

import keras
import librosa
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, gate_takes, write_machine

from ganad_tf import audio, config
from ganad_tf.clips import Listing
from ganad_tf.config.sections import Audio, Feature, Scorer
from ganad_tf.errors import ConfigError
from ganad_tf.exporting import litert, onnx
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import MFCC, PCEN, LinearSpectrogram, LogMel, feature_layer, windows_of
from ganad_tf.findings.healthy import Healthy
from ganad_tf.models import SpectrumDensity
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.selection import trials

VARIANTS = [
    {"n_mels": 32},
    {"n_mels": 256, "n_fft": 4096, "hop_length": 1024},
    {"fmin": 200.0, "fmax": 5000.0, "n_mels": 40},
    {"fmin": 50.0},
    {"win_length": 400, "hop_length": 256, "n_mels": 64},
    {"win_length": 601, "hop_length": 160, "n_mels": 64, "power": 1.0},
    {"kind": "linear"},
    {"kind": "linear", "n_fft": 512, "hop_length": 128, "win_length": 300, "log": "relative_80db", "power": 1.0},
    {"kind": "mfcc"},
    {"kind": "mfcc", "n_mels": 64, "n_mfcc": 40, "log": "relative_80db", "fmax": 7000.0},
    {"kind": "pcen"},
    {"kind": "pcen", "power": 1.0, "hop_length": 160, "win_length": 400, "n_mels": 40, "fmin": 30.0},
]


def librosa_features(waveform, rate, feature):
    """The same by librosa in float64, `[frames, bands]`."""
    framing = {"n_fft": feature.n_fft, "hop_length": feature.hop_length, "win_length": feature.win_length}
    spectrum = librosa.stft(waveform.astype(np.float64), **framing, pad_mode=feature.pad_mode, dtype=np.complex128)
    energy = np.abs(spectrum) ** feature.power
    if feature.kind != "linear":
        mel = {"n_mels": feature.n_mels, "fmin": feature.fmin, "fmax": feature.fmax}
        energy = librosa.filters.mel(sr=rate, n_fft=feature.n_fft, **mel, dtype=np.float64) @ energy
    if feature.kind == "pcen":
        return librosa.pcen(2.0**31 * energy, sr=rate, hop_length=feature.hop_length).T
    level = 20 / feature.power * np.log10(energy + np.finfo(np.float64).eps)
    if feature.log == "relative_80db":
        level = np.maximum(level - level.max(), -80)
    return cepstrum(level, feature.n_mfcc).T if feature.kind == "mfcc" else level.T


def cepstrum(level, n_mfcc):
    """The orthonormal DCT-II of log-mels `[mels, frames]`, from its definition."""
    order, mel = np.arange(n_mfcc)[:, np.newaxis], np.arange(len(level))
    scale = np.where(order == 0, np.sqrt(1 / len(level)), np.sqrt(2 / len(level)))
    return scale * np.cos(np.pi / len(level) * (mel + 0.5) * order) @ level


@pytest.mark.slow
def test_the_definition_of_mfcc_is_librosa_s():
    """librosa's own takes three seconds to import."""
    level = np.random.default_rng(6).normal(-40, 20, [64, 10])
    np.testing.assert_allclose(cepstrum(level, 20), librosa.feature.mfcc(S=level, n_mfcc=20), rtol=0, atol=1e-9)


def sounds(rate, real_data):
    time = np.arange(rate) / rate
    rng = np.random.default_rng(0)
    bursts = np.sin(2 * np.pi * 1000 * time) * (time % 0.25 < 0.05) + rng.normal(0, 0.001, rate)
    real = audio.read(next((real_data / "dcase2020").glob("**/*.wav")), Audio())
    return [rng.normal(0, 0.1, 12345), bursts, real]


@pytest.mark.parametrize("settings", VARIANTS, ids=str)
def test_a_variant_equals_librosa(settings, real_data):
    feature = Feature(**settings)
    layer = feature_layer(Audio(), feature)
    for sound in sounds(16000, real_data):
        waveform = sound.astype(np.float32)
        expected = librosa_features(waveform, 16000, feature)
        assert expected.shape[1] == feature.bands == layer.bands
        ours = layer(waveform[np.newaxis])[0].numpy()
        np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=3e-4)


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
@pytest.mark.parametrize("kind", ["log_mel", "linear", "pcen"])
def test_sample_rates_from_8_to_192_khz(rate, kind):
    feature = Feature(n_fft=4096, hop_length=2048, kind=kind)
    waveform = np.random.default_rng(1).normal(0, 0.1, rate).astype(np.float32)
    ours = feature_layer(Audio(sample_rate=rate), feature)(waveform[np.newaxis])[0].numpy()
    np.testing.assert_allclose(ours, librosa_features(waveform, rate, feature), rtol=1e-5, atol=3e-4)


@pytest.mark.parametrize("settings", [{"kind": "pcen"}, {"kind": "mfcc", "log": "relative_80db"}, {"win_length": 302}])
def test_a_clip_in_pieces_has_the_same_features(settings):
    """The smoother of PCEN and the loudest value of `relative_80db` are of the whole clip."""
    layer = feature_layer(Audio(), Feature(n_fft=512, hop_length=300, **settings, n_mels=64))
    waveform = np.random.default_rng(2).normal(0, 0.1, 40000).astype(np.float32)
    waveform[20000:] *= 0.01
    in_pieces = layer.in_pieces(waveform, at_once=8)
    np.testing.assert_allclose(in_pieces, layer(waveform[np.newaxis])[0], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        LogMel(8000, 512, 128, 20, fmin=100.0, fmax=3000.0, win_length=301),
        LinearSpectrogram(8000, 512, 128, 1.0, log="relative_80db", win_length=300),
        MFCC(8000, 512, 128, 20, n_mfcc=13),
        PCEN(8000, 512, 128, 20, fmin=100.0),
    ],
    ids=lambda layer: layer.name,
)
def test_a_layer_survives_saving_inside_a_model(layer, tmp_path):
    inputs = keras.Input([None])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "features.keras")
    waveform = np.random.default_rng(3).normal(0, 0.1, [2, 4000]).astype(np.float32)
    reloaded = keras.models.load_model(tmp_path / "features.keras")
    np.testing.assert_array_equal(reloaded(waveform), model(waveform))
    assert reloaded.layers[1].get_config() == layer.get_config()


def test_only_a_setting_that_is_not_the_default_changes_a_fingerprint():
    """So that caches of before stay valid; the fingerprint of the defaults is that of the version before."""
    base = config.from_mapping({}, source="test")
    assert base.feature_fingerprint() == "0bb5eeb23fe769d3"
    fingerprints = {
        dataclasses.replace(base, feature=Feature(standardize=False, **settings)).feature_fingerprint()
        for settings in ({}, *VARIANTS)
    }
    assert len(fingerprints) == 1 + len(VARIANTS)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"kind": "cqt"}, "log_mel or linear or mfcc or pcen for `feature.kind`. Received: 'cqt'"),
        ({"kind": "linear", "n_mels": 64, "fmax": 4000}, "no `feature.n_mels`, `feature.fmax` with `feature.kind: li"),
        ({"kind": "pcen", "log": "relative_80db"}, "no `feature.log` with `feature.kind: pcen`"),
        ({"n_mfcc": 13}, "no `feature.n_mfcc` with `feature.kind: log_mel`"),
        ({"kind": "mfcc", "n_mfcc": 200}, "`feature.n_mfcc` of at most `feature.n_mels`. Received: n_mfcc=200"),
        ({"win_length": 2000}, "`feature.win_length` from 2 to `feature.n_fft`. Received: win_length=2000"),
        ({"win_length": 400}, "`feature.hop_length` of at most `feature.win_length`"),
        ({"fmin": 4000, "fmax": 300}, "`feature.fmin` of at least 0 and below `feature.fmax`"),
        ({"fmax": 9000}, "at most half of `audio.sample_rate`. Received: fmin=0.0, fmax=9000.0, sample_rate=16000"),
        ({"encoder": "net", "kind": "pcen", "fmin": 9.0}, "no `feature.kind`, `feature.fmin` with `feature.encoder`"),
    ],
)
def test_settings_that_cannot_be_are_refused(feature, message):
    with pytest.raises(ConfigError) as error:
        config.from_mapping({"feature": feature}, source="test")
    assert message in str(error.value)


def test_what_looks_at_decibels_refuses_coefficients():
    for kind in ("mfcc", "pcen"):
        mapping = {"feature": {"kind": kind}, "dataset": {"name": "folder"}}
        assert not config.from_mapping(mapping, source="test").checks_recordings
        with pytest.raises(ConfigError, match=f"no `recording_check` with `feature.kind: {kind}`"):
            config.from_mapping(mapping | {"recording_check": {"enabled": True}}, source="test")
        run = MachineRun(config.from_mapping(mapping, source="test"), Listing("fan", Path(), ()), "dev")
        with pytest.raises(ConfigError, match=f"in decibels, .* to select by. Received: `feature.kind: {kind}`"):
            trials.trial_folds(run, [])
        with pytest.raises(ConfigError, match=f"recordings for `feature.kind: {kind}`. Received: log-mels"):
            config.from_mapping(mapping | {"dataset": {"name": "imported"}}, source="test")


@pytest.mark.parametrize("settings", [{"kind": "linear"}, {"fmin": 300.0, "fmax": 4000.0, "n_mels": 40}], ids=str)
def test_a_tone_is_found_at_the_frequency_of_its_band(settings):
    """The edges of the band with most energy enclose the tone, as words about a clip say them."""
    feature = Feature(**settings)
    time = np.arange(16000) / 16000
    spectra = feature_layer(Audio(), feature)(np.sin(2 * np.pi * 1500 * time).astype(np.float32)[np.newaxis])[0]
    band = int(np.argmax(np.mean(spectra, axis=0)))
    healthy = Healthy.load(Healthy.fit([("", spectra.numpy())] * 6, Audio(), feature).dump())
    for edges in (feature.band_edges(16000), healthy.edges):
        assert edges[band] <= 1500 <= edges[band + 2]
        assert len(edges) == feature.bands + 2


def scorer_of(feature, precision="float64"):
    """A graph that scores sound, and its detector."""
    settings = dataclasses.replace(config.from_mapping({}, source="test"), feature=feature)
    detector = SpectrumDensity(input_dim=feature.dims)
    model = TrainedDetector(detector, None, feature.frames, feature.bands, {})
    return SoundScorer(
        settings, [Member(model, FittedScorer(Scorer(), None, ()))], threshold=0.5, precision=precision
    ), detector


def expected_score(detector, feature, samples):
    spectra = librosa_features(samples, 16000, feature).astype(np.float32)
    return tf.reduce_mean(detector.anomaly_score(windows_of(tf.constant(spectra), feature.frames, None)))


@pytest.mark.parametrize("kind", gate_takes(["linear", "mfcc", "pcen"], "pcen"))
def test_a_saved_graph_scores_waveforms_by_the_same_features(kind, tmp_path):
    feature = Feature(kind=kind, n_fft=512, hop_length=256, win_length=400)
    scorer, detector = scorer_of(feature)
    assert ("score_frames" in scorer.functions, "explain" in scorer.functions) == (kind == "linear",) * 2
    tf.saved_model.save(tf.Module(), tmp_path / "model", signatures={"score": scorer.functions["score_waveform"]})
    waveform = np.random.default_rng(5).normal(0, 0.1, [2, 8000]).astype(np.float32)
    scores = tf.saved_model.load(tmp_path / "model").signatures["score"](waveform=waveform)["anomaly_score"]
    for samples, score in zip(waveform, scores, strict=True):
        np.testing.assert_allclose(score, expected_score(detector, feature, samples), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", [litert, onnx])
@pytest.mark.parametrize("kind", ["linear", "mfcc", "pcen"])
def test_small_boards_compute_the_same_features(kind, form, tmp_path):
    feature = Feature(kind=kind, n_fft=512, hop_length=256, win_length=400)
    scorer, detector = scorer_of(feature, "float32")
    form.convert(scorer.fixed_size_function(1, 8000), tmp_path / form.FILE)
    waveform = np.random.default_rng(5).normal(0, 0.1, [1, 8000]).astype(np.float32)
    score = form.load(tmp_path / form.FILE)(waveform)["anomaly_score"]
    np.testing.assert_allclose(score, [expected_score(detector, feature, waveform[0])], rtol=1e-3)


@pytest.mark.slow
def test_a_whole_run_of_linear_spectra_exports_and_predicts_the_same_scores(tmp_path, ganad):
    """With pictures for TensorBoard, the report, and what words about clips need."""
    write_machine(tmp_path / "dev_data", ids=("00",))
    (tmp_path / "run.yaml").write_text(EXPERIMENT)
    ganad("run", "run.yaml", "--dev", "-q", cwd=tmp_path)
    ganad("export", "run.yaml", "-q", cwd=tmp_path)
    clips = sorted((tmp_path / "dev_data" / "fan" / "test").glob("*.wav"))
    done = ganad("predict", "exported_models/run_fan", *clips, "--json", cwd=tmp_path)
    predicted = {row["file"].rsplit("/")[-1]: row["anomaly_score"] for row in json.loads(done.stdout)}
    lines = (tmp_path / "result" / "anomaly_score_fan_id_00.csv").read_text().split()
    expected = {name: float(score) for name, score in (line.split(",") for line in lines)}
    assert predicted == pytest.approx(expected, rel=1e-4)
    ganad("report", "result", "-q", cwd=tmp_path)
    assert "Spectrograms of" in (tmp_path / "result" / "report" / "report.html").read_text()
    assert (tmp_path / "model" / "dev" / "fan" / "healthy.json").exists()


EXPERIMENT = """
dev_directory: dev_data
cache_directory: cache
model_directory: model
result_directory: result
feature: {kind: linear, n_fft: 512, hop_length: 256, win_length: 400}
model: {name: DenseAE, hidden: [8], latent: 2}
fit: {epochs: 2}
tensorboard: {directory: logs, clips: 1, every: 1}
"""


@pytest.mark.slow
def test_the_effect_of_variants_is_measured(tmp_path, monkeypatch, capsys):
    """On one machine with a loud fault, which each variant hears."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    tool = importlib.import_module("feature_variants")
    few = ["dataset.synthetic.n_ids=1", "dataset.synthetic.n_train=6", "dataset.synthetic.seconds=1"]
    few += ["dataset.synthetic.n_normal=3", "dataset.synthetic.n_anomaly=3", "dataset.synthetic.fault_snr_db=20"]
    words = ["feature_variants", str(tmp_path), "--machine", "fan", "--variants", "kind: linear", "--set", *few]
    monkeypatch.setattr(sys, "argv", words)
    tool.main()
    assert capsys.readouterr().out.splitlines() == [
        "| feature | fan | mean | minus default |",
        "|---|---|---|---|",
        "| default | 100.0 | 100.0 |  |",
        "| kind: linear | 100.0 | 100.0 | +0.0 [+0.0, +0.0] |",
    ]
