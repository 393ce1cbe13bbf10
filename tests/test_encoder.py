"""Encoder: tiny frozen networks in every form of file, against direct calls and NumPy, and as a whole experiment."""

import inspect
import json
import shutil

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from conftest import write_machine

from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.models import Encoder, HasEmbedding
from ganad_tf.training import build as building

FRAMES, N_MELS, UNITS = 3, 4, 2
DIMS = FRAMES * N_MELS
KERNEL = np.random.default_rng(0).normal(size=[N_MELS, UNITS]).astype(np.float32)


def windows(count=5, seed=1):
    return np.random.default_rng(seed).normal(size=[count, DIMS]).astype(np.float32)


def golden(values):
    """The embeddings of `tanh(spectra @ KERNEL)`, averaged over the spectra of a window."""
    return np.tanh(values.reshape(-1, FRAMES, N_MELS) @ KERNEL).mean(axis=1)


class Network(tf.Module):
    """A network as it is written without Keras; with `outputs` it gives its input too."""

    def __init__(self, outputs=1):
        super().__init__()
        self.kernel, self.outputs = tf.Variable(KERNEL), outputs

    @tf.function(input_signature=[tf.TensorSpec([None, FRAMES, N_MELS], tf.float32)])
    def __call__(self, spectra):
        embeddings = tf.tanh(spectra @ self.kernel)
        return embeddings if self.outputs == 1 else (spectra, embeddings)


def keras_network(shape=(FRAMES, N_MELS)):
    dense = keras.layers.Dense(UNITS, activation="tanh", use_bias=False)
    network = keras.Sequential([keras.Input(shape), dense])
    if shape[-1] == N_MELS:
        dense.set_weights([KERNEL])
    return network


def onnx_network(path, inputs=("spectra",), **elsewhere):
    """`tanh(spectra @ KERNEL)`, in ONNX without any converter."""
    nodes = [onnx.helper.make_node("MatMul", [inputs[0], "kernel"], ["product"])]
    nodes.append(onnx.helper.make_node("Tanh", ["product"], ["embeddings"]))
    given = [onnx.helper.make_tensor_value_info(name, 1, ["batch", FRAMES, N_MELS]) for name in inputs]
    made = onnx.helper.make_tensor_value_info("embeddings", 1, ["batch", FRAMES, UNITS])
    graph = onnx.helper.make_graph(nodes, "g", given, [made], [onnx.numpy_helper.from_array(KERNEL, "kernel")])
    network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(network, path, **elsewhere)


FORMS = ("network.keras", "by_keras", "called", "signed", "network.onnx")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same network in every form."""
    folder = tmp_path_factory.mktemp("networks")
    keras_network().save(folder / "network.keras")
    keras_network().export(folder / "by_keras", verbose=False)
    tf.saved_model.save(Network(), str(folder / "called"))
    network = Network()
    tf.saved_model.save(network, str(folder / "signed"), signatures=network.__call__)
    onnx_network(folder / "network.onnx")
    tf.saved_model.save(Network(outputs=2), str(folder / "two_outputs"))
    return folder


def made(path, **changes):
    return Encoder(**{"input_dim": DIMS, "frames": FRAMES, "path": str(path)} | changes)


@pytest.mark.parametrize("form", FORMS)
class TestEveryForm:
    def test_embeddings_are_those_of_the_network_averaged_over_the_window(self, files, form):
        encoder, values = made(files / form), windows()
        assert encoder.units == UNITS
        assert isinstance(encoder, HasEmbedding)
        np.testing.assert_allclose(encoder.encode(values), golden(values), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(encoder.anomaly_score(values), (golden(values) ** 2).mean(axis=1), rtol=1e-5)
        in_graph = tf.function(encoder.encode)(tf.constant(values))
        np.testing.assert_allclose(in_graph, golden(values), rtol=1e-5, atol=1e-6)
        alone = np.concatenate([encoder.anomaly_score(window[np.newaxis]) for window in values])
        np.testing.assert_allclose(alone, encoder.anomaly_score(values), rtol=1e-5)

    def test_it_learns_nothing_and_comes_back_from_its_file(self, files, form, tmp_path):
        encoder, values = made(files / form), windows()
        encoder.compile()
        assert encoder.fit(values, epochs=2, validation_data=values, verbose=0).history == {
            "loss": [0.0, 0.0],
            "val_loss": [0.0, 0.0],
        }
        assert encoder.trainable_variables == []
        encoder.save(tmp_path / "detector.keras")
        again = keras.models.load_model(tmp_path / "detector.keras")
        np.testing.assert_array_equal(again.encode(values), encoder.encode(values))
        again.fit(values, verbose=0)

    def test_keras_own_export_holds_the_network_or_is_refused(self, files, form, tmp_path):
        encoder, values = made(files / form), windows()
        if form.endswith(".onnx"):
            with pytest.raises(ValueError, match=r"Expected a SavedModel or a .keras file, to export it. Received: "):
                encoder.export(tmp_path / "exported", verbose=False)
            return
        encoder.export(tmp_path / "exported", verbose=False)
        exported = tf.saved_model.load(tmp_path / "exported")
        np.testing.assert_allclose(exported.serve(values), golden(values), rtol=1e-5, atol=1e-6)


def test_config_holds_every_constructor_argument(files):
    named = {"path": str(files / "two_outputs"), "output": "output_1"}
    encoder = made(**named)
    config = encoder.get_config()
    parameters = [name for name in inspect.signature(Encoder).parameters if name != "kwargs"]
    assert {name: config[name] for name in parameters} == {
        "input_dim": DIMS,
        "frames": FRAMES,
        **named,
        "sha256": encoder.network.sha256,
    }
    assert Encoder.from_config(config).get_config() == config


def test_the_window_takes_the_form_of_the_input(tmp_path):
    values = windows()
    image = values.reshape(-1, FRAMES, N_MELS)
    shapes = {
        (DIMS,): values,
        (FRAMES, N_MELS, 1): image[..., np.newaxis],
        (FRAMES, N_MELS, 3): np.repeat(image[..., np.newaxis], 3, axis=3),
        (1, FRAMES, N_MELS): image[:, np.newaxis],
        (None, N_MELS): image,
    }
    for number, (shape, given) in enumerate(shapes.items()):
        network = keras_network(shape)
        network.save(tmp_path / f"{number}.keras")
        expected = np.asarray(network(given)).reshape(len(values), -1, UNITS).mean(axis=1)
        embeddings = made(tmp_path / f"{number}.keras").encode(values)
        np.testing.assert_allclose(embeddings, expected, rtol=1e-5, atol=1e-6, err_msg=str(shape))


def test_weights_of_onnx_in_files_beside_it_are_compared_too(tmp_path):
    path = tmp_path / "network.onnx"
    onnx_network(path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    network, ones = made(path), np.ones([2, DIMS], np.float32)
    embeddings = network.encode(ones).numpy()
    weights = tmp_path / "weights.bin"
    kept = weights.read_bytes()
    weights.write_bytes(kept[4:8] + kept[:4] + kept[8:])
    assert made(path).sha256 != network.sha256
    with pytest.raises(DataError, match="Expected the network that the detector was trained with"):
        made(path, sha256=network.sha256)
    assert not np.array_equal(made(path).encode(ones), embeddings)
    weights.unlink()
    with pytest.raises(DataError, match=r"The network in .*network.onnx can't be read \(No such file"):
        made(path)


def test_another_input_or_output_is_one_sentence(files, tmp_path):
    with pytest.raises(ValueError, match=r"3 spectra of 5 mel bands, \[2, 3, 5\]. Received: one for \[\?, 3, 4\]"):
        made(files / "network.keras", input_dim=15)
    keras_network((2, 2, 2, 5)).save(tmp_path / "video.keras")
    with pytest.raises(ValueError, match=r"takes \[batch, dims\] or .*Received: one that takes \[\?, 2, 2, 2, 5\]"):
        made(tmp_path / "video.keras")
    with pytest.raises(ValueError, match=r"output_0 \[\?, 3, 4\], output_1 \[\?, 3, 2\]. Received: 'last'"):
        made(files / "two_outputs", output="last")
    flat = keras.Sequential([keras.Input([DIMS]), keras.layers.Lambda(lambda values: tf.reshape(values, [-1, 2]))])
    flat.export(tmp_path / "flat", verbose=False)
    with pytest.raises(ValueError, match=r"one embedding per window, \[2, \?\]. Received: \[12, 2\]"):
        made(tmp_path / "flat")
    onnx_network(tmp_path / "two.onnx", inputs=("spectra", "mask"))
    with pytest.raises(ValueError, match="a network with one input in .*two.onnx. Received: spectra, mask"):
        made(tmp_path / "two.onnx")


def test_a_missing_or_damaged_file_is_one_sentence(tmp_path):
    (tmp_path / "network.txt").write_text("network")
    (tmp_path / "empty").mkdir()
    for name, received in {"none": "nothing", "network.txt": "another kind of file", "empty": "a folder"}.items():
        with pytest.raises(DataError, match=rf"Expected a network in .*{name}, the folder of .*Received: {received}"):
            made(tmp_path / name)
    (tmp_path / "damaged").mkdir()
    for name in ("damaged.keras", "damaged.onnx", "damaged/saved_model.pb"):
        (tmp_path / name).write_bytes(b"damaged" * 20)
        with pytest.raises(DataError, match=r"The network in .*damaged.* can't be read \(") as error:
            made(tmp_path / name.split("/")[0])
        assert "\n" not in str(error.value)
    with pytest.raises(DataError, match="Expected a network in "):
        Encoder()


def test_a_saved_detector_refuses_another_network(files, tmp_path):
    path = tmp_path / "network.keras"
    shutil.copy(files / "network.keras", path)
    made(path).save(tmp_path / "detector.keras")
    path.unlink()
    with pytest.raises(DataError, match="Received: nothing"):
        keras.models.load_model(tmp_path / "detector.keras")
    keras.Sequential([keras.Input([FRAMES, N_MELS]), keras.layers.Dense(UNITS)]).save(path)
    with pytest.raises(DataError, match=r"the network that the detector was trained with in .*put that one back"):
        keras.models.load_model(tmp_path / "detector.keras")


def config_of(path, **model):
    mapping = {"model": {"name": "Encoder", "path": str(path), **model}, "feature": {"frames": FRAMES, "n_mels": 4}}
    return configuration.from_mapping(mapping, source="test")


def test_settings_identify_the_network_by_its_contents(files, tmp_path):
    copied = tmp_path / "elsewhere"
    shutil.copytree(files / "called", copied)
    here, there = (config_of(path).training_settings() for path in (files / "called", copied))
    assert here == there
    assert len(here["model.sha256"]) == 64
    assert "model.path" not in here
    variables = copied / "variables" / "variables.data-00000-of-00001"
    variables.write_bytes(variables.read_bytes()[:-1] + b"x")
    assert config_of(copied).training_settings() != here
    with pytest.raises(DataError, match="Expected a network in nowhere"):
        config_of("nowhere").training_settings()


def test_the_section_model_makes_it(files):
    config = config_of(files / "two_outputs", output="output_1")
    assert building.build(config).units == UNITS
    with pytest.raises(ConfigError, match=r"does not make a Encoder for .*Expected the name of an output"):
        building.build(config_of(files / "two_outputs"))
    with pytest.raises(ConfigError, match="Unknown key `model.outputs` for Encoder; did you mean `output`"):
        building.build(config_of(files / "called", outputs="x"))


EXPERIMENT = """
model_directory: ./model/{name}
result_directory: ./result/{name}
feature: {{n_mels: 4, frames: 3, window_hop: 2, standardize: true}}
model: {{name: Encoder, path: ./{name}}}
fit: {{epochs: 1}}
scorer: {{of: embedding, density: knn}}
"""


@pytest.mark.slow
def test_an_experiment_from_recordings_to_an_exported_model(files, tmp_path, ganad):
    write_machine(tmp_path / "dev_data")
    scores = {}
    for name in ("called", "network.keras", "network.onnx"):
        (shutil.copytree if (files / name).is_dir() else shutil.copy)(files / name, tmp_path / name)
        (tmp_path / f"{name}.yaml").write_text(EXPERIMENT.format(name=name))
        ganad("run", f"{name}.yaml", "--dev", "-q", cwd=tmp_path)
        scores[name] = (tmp_path / "result" / name / "anomaly_score_fan_id_00.csv").read_text()
    assert scores["called"] == scores["network.keras"]
    done = ganad("export", "network.onnx.yaml", cwd=tmp_path, check=2)
    assert "Expected a network of TensorFlow, as SavedModel or .keras file, in an exported model of fan" in done.stderr
    ganad("export", "called.yaml", "-q", cwd=tmp_path)
    shutil.rmtree(tmp_path / "called")  # the exported model stands alone
    clips = sorted((tmp_path / "dev_data" / "fan" / "test").glob("*id_00*.wav"))
    done = ganad("predict", "exported_models/called_fan", *clips, "--json", cwd=tmp_path)
    predicted = {row["file"]: row["anomaly_score"] for row in json.loads(done.stdout)}
    expected = dict(line.split(",") for line in scores["called"].split())
    assert len(predicted) == len(expected) == 6
    for file, score in predicted.items():
        assert score == pytest.approx(float(expected[file.rsplit("/")[-1]]), rel=1e-4)
    done = ganad("score", "called.yaml", "--dev", cwd=tmp_path, check=2)
    assert done.stderr.count("\n") == 1
    assert "Expected a network in called" in done.stderr
