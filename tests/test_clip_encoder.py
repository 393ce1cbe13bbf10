"""`feature: {encoder: FILE}`: embeddings of waveforms in place of log-mels, from the file to the exported model."""

import json
import shutil

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from conftest import tone, write_machine

from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.features import feature_layer, fewest_samples
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.warming import warm
from ganad_tf.training import build as building

FRAME, UNITS = 400, 3
KERNEL = np.random.default_rng(0).normal(size=[FRAME, UNITS]).astype(np.float32)


def golden(waveform):
    """Amplitudes of three random directions in frames of 400 samples, the rest left out."""
    n_frames = len(waveform) // FRAME
    return np.abs(waveform[: n_frames * FRAME].reshape(n_frames, FRAME) @ KERNEL)


class LikeYAMNet(tf.Module):
    """A waveform without a batch → scores, embeddings and spectrogram."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(KERNEL, trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
    def __call__(self, waveform):
        frames = tf.signal.frame(waveform, FRAME, FRAME)
        embeddings = tf.abs(frames @ self.kernel)
        return tf.nn.softmax(embeddings), embeddings, frames


def keras_network(shape=(None,)):
    """`[batch, samples]`, or with a channel."""
    waveform = keras.Input(shape)
    signal = waveform if len(shape) == 2 else keras.layers.Reshape([-1, 1])(waveform)
    convolution = keras.layers.Conv1D(UNITS, FRAME, strides=FRAME, use_bias=False, activation="relu")
    network = keras.Model(waveform, convolution(signal))
    convolution.set_weights([KERNEL[:, np.newaxis]])
    return network


def onnx_network(path, samples="samples"):
    """`[batch, samples]` → `[batch, time, units]`, as BEATs, in ONNX without any converter."""
    constants = [onnx.numpy_helper.from_array(np.array([0, 1, -1], np.int64), "with_channel")]
    constants.append(onnx.numpy_helper.from_array(KERNEL.T[:, np.newaxis], "kernel"))
    nodes = [
        onnx.helper.make_node("Reshape", ["waveform", "with_channel"], ["signal"]),
        onnx.helper.make_node("Conv", ["signal", "kernel"], ["product"], strides=[FRAME]),
        onnx.helper.make_node("Abs", ["product"], ["amplitude"]),
        onnx.helper.make_node("Transpose", ["amplitude"], ["embeddings"], perm=[0, 2, 1]),
    ]
    given = onnx.helper.make_tensor_value_info("waveform", 1, ["batch", samples])
    made = onnx.helper.make_tensor_value_info("embeddings", 1, ["batch", "time", UNITS])
    graph = onnx.helper.make_graph(nodes, "g", [given], [made], constants)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    tf.saved_model.save(LikeYAMNet(), str(folder / "yamnet"))
    keras_network().save(folder / "network.keras")
    keras_network((None, 1)).save(folder / "channel.keras")
    onnx_network(folder / "beats.onnx")
    return folder


def config_of(path, **changes):
    feature = {"encoder": str(path), "n_mels": UNITS, "frames": 1}
    if path.name == "yamnet":
        feature["encoder_output"] = "output_1"
    mapping = {"feature": feature | changes, "model": {"name": "SpectrumDensity"}}
    return configuration.from_mapping(mapping, source="test")


@pytest.mark.parametrize("name", ["yamnet", "beats.onnx", "network.keras", "channel.keras"])
def test_embeddings_of_a_clip_are_those_of_the_network(files, name):
    config, waveform = config_of(files / name), tone(seconds=0.33)
    expected = golden(waveform)
    if name.endswith(".keras"):  # which ends in another function
        n_frames = len(waveform) // FRAME
        expected = np.maximum(waveform[: n_frames * FRAME].reshape(n_frames, FRAME) @ KERNEL, 0)
    layer = feature_layer(config.audio, config.feature)
    for compute in (layer.in_pieces, tf.function(layer.in_pieces)):
        np.testing.assert_allclose(compute(tf.constant(waveform)), expected, rtol=1e-4, atol=1e-5)


def test_the_shortest_clip_is_the_networks(files):
    for name in ("yamnet", "beats.onnx", "network.keras"):
        assert fewest_samples(config_of(files / name).feature) == FRAME, name
        assert fewest_samples(config_of(files / name, frames=3).feature) == 3 * FRAME, name


def test_a_network_that_can_not_be_used_is_one_sentence(files, tmp_path):
    def refused(path, match, kind=ConfigError, **changes):
        config = config_of(path, **changes)
        with pytest.raises(kind, match=match) as error:
            building.build(config)
        assert "\n" not in str(error.value)

    refused(files / "yamnet", r"number of units of its embeddings for `feature.n_mels`, 3. Received: 4\.$", n_mels=4)
    refused(files / "yamnet", r"output_0 \[\?, 3\], output_1 \[\?, 3\], output_2 \[\?, 400\]", encoder_output="")
    onnx_network(tmp_path / "fixed.onnx", samples=16000)
    refused(tmp_path / "fixed.onnx", r"waveforms of any length. Received: \[\?, 16000\]\.$")
    keras.Sequential([keras.Input([4, 5]), keras.layers.Flatten()]).save(tmp_path / "image.keras")
    refused(tmp_path / "image.keras", r"waveforms of any length. Received: \[\?, 4, 5\]\.$")
    refused(tmp_path / "none", "Expected a network in .*none, the folder of a SavedModel", DataError)
    (tmp_path / "damaged.keras").write_bytes(b"damaged")
    refused(tmp_path / "damaged.keras", "The network in .*damaged.keras can't be read", DataError)


def test_settings_without_a_meaning_for_embeddings_are_refused(files):
    for name, value in {"n_fft": 512, "hop_length": 256, "power": 1.0, "pad_mode": "constant"}.items():
        with pytest.raises(ConfigError, match=rf"no `feature.{name}` with `feature.encoder`.*Received: {value}"):
            config_of(files / "yamnet", **{name: value})
    feature = {"encoder": "yamnet", "n_mels": 1024}
    for other, match in {
        "dataset": (({"name": "imported"}), "expected recordings for `feature.encoder`"),
        "recording_check": (({"enabled": True}), "expected no `recording_check` with `feature.encoder`"),
    }.items():
        section, sentence = match
        with pytest.raises(ConfigError, match=sentence):
            configuration.from_mapping({"feature": feature, other: section}, source="test")
    folder = {"feature": feature, "dataset": {"name": "folder"}}
    assert not configuration.from_mapping(folder, source="test").checks_recordings


def test_cache_and_detector_belong_to_the_contents_of_the_file(files, tmp_path):
    shutil.copy(files / "network.keras", tmp_path / "moved.keras")
    here, moved, other = (
        config_of(path) for path in (files / "network.keras", tmp_path / "moved.keras", files / "channel.keras")
    )
    assert here.feature_fingerprint() == moved.feature_fingerprint() != other.feature_fingerprint()
    assert here.training_settings() == moved.training_settings() != other.training_settings()
    assert str(files) not in json.dumps(here.feature_settings()) + json.dumps(here.training_settings())
    log_mels = configuration.from_mapping({}, source="test")
    assert log_mels.feature_fingerprint() == "0bb5eeb23fe769d3"  # of caches that there are
    assert not [key for key in log_mels.training_settings() if "encoder" in key]


EXPERIMENT = """
feature: {encoder: ./yamnet, encoder_output: output_1, n_mels: 3, frames: 1}
model: {name: SpectrumDensity}
fit: {epochs: 1}
scorer: {pooling: mean, density: knn}
selection: {scorers: [{pooling: max}]}
tensorboard: {directory: ./logs}
"""


@pytest.mark.slow
def test_an_experiment_from_recordings_to_an_exported_model(files, tmp_path, ganad):
    write_machine(tmp_path / "dev_data")
    shutil.copytree(files / "yamnet", tmp_path / "yamnet")
    (tmp_path / "clips.yaml").write_text(EXPERIMENT)
    ganad("run", "clips.yaml", "--dev", "-q", cwd=tmp_path)
    lines = (tmp_path / "result" / "anomaly_score_fan_id_00.csv").read_text().split()
    scores = {name: float(score) for name, score in (line.split(",") for line in lines)}
    assert min(scores[name] for name in scores if name.startswith("anomaly")) > max(
        scores[name] for name in scores if name.startswith("normal")
    )
    ganad("report", "result", "-q", cwd=tmp_path)
    assert (tmp_path / "result" / "report" / "report.html").stat().st_size > 10_000
    ganad("export", "clips.yaml", "-q", cwd=tmp_path)
    for words, sentence in {
        ("export", "clips.yaml", "--format", "litert"): "Expected log-mels for --format litert",
        ("select", "clips.yaml", "--dev"): "Expected spectra in decibels, of which copies can be corrupted",
    }.items():
        assert sentence in ganad(*words, cwd=tmp_path, check=2).stderr
    shutil.rmtree(tmp_path / "yamnet")  # the exported model stands alone
    clips = sorted((tmp_path / "dev_data" / "fan" / "test").glob("*id_00*.wav"))
    predicted = json.loads(ganad("predict", "exported_models/clips_fan", *clips, "--json", cwd=tmp_path).stdout)
    assert len(predicted) == len(scores) == 6
    for row in predicted:
        assert row["anomaly_score"] == pytest.approx(scores[row["file"].rsplit("/")[-1]], rel=1e-4)
    artifact = Artifact(tmp_path / "exported_models" / "clips_fan")
    warm(artifact)  # as a server does
    assert artifact.signatures.keys() == {"score_waveform", "score_wav", "serving_default", "audio_format"}
    refused = ganad("predict", "exported_models/clips_fan", clips[0], "--explain", cwd=tmp_path, check=2)
    assert "Received: one of embeddings, for which there are no words" in refused.stderr
    done = ganad("prepare", "clips.yaml", cwd=tmp_path, check=2)
    assert done.stderr.count("Expected a network in yamnet") == done.stderr.count("\n") == 1
