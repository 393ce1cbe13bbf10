"""Promises of the documentation to a script of one's own, each tried in a bare process in another folder."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, gate_takes, write_machine
from small_detectors import ADVERSARIAL, TAKES_LOSS, UNLABELLED, arguments

from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.models import DETECTORS
from ganad_tf.training import build as building

GOLDENS = sorted((ROOT / "tests" / "goldens").glob("*.zip"))
# A detector of each kind; those that resemble one of them have their turn by `-m slow`.

HEAD = """
import json, os, sys, warnings
import keras, numpy as np
import ganad_tf.models
from ganad_tf.models import DETECTORS

warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="__array__ implementation")
SMALL = @SMALL@
found = {}


def make(name, **compiled):
    keras.utils.set_random_seed(0)
    detector = DETECTORS[name](input_dim=12, **SMALL[name])
    loss = {"loss": "mean_squared_error"} if name in ("DenseAE", "DRINK", "IDNN") else {}
    detector.compile(**{"optimizer": keras.optimizers.Adam(0.01), "jit_compile": False, **loss, **compiled})
    return detector


def sentence(call):
    try:
        return f"no error: {call()}"
    except ValueError as error:
        return str(error)


WINDOWS = np.random.default_rng(0).normal(size=[32, 12]).astype(np.float32)
""".replace("@SMALL@", repr({name: arguments(name, [4], latent=2, frames=3) for name in UNLABELLED}))


def run(script, folder, *arguments):
    """Runs a script in a process that knows nothing but the installed package; the contents of its `found`."""
    path = folder / "script.py"
    path.write_text(f"{HEAD}\n{script}\nprint(json.dumps(found))\n")
    command = [sys.executable, path.name, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


GOLDENS_LOADED = """
found["goldens"] = {}
for folder in asked["goldens"]:
    with open(f"{folder}/expected.json") as stream:
        expected = json.load(stream)
    windows = np.array(expected["windows"], np.float32)
    facts = found["goldens"][folder] = {}
    for name in filter(lambda name: os.path.exists(f"{folder}/{name}.keras"), DETECTORS):
        detector = keras.models.load_model(f"{folder}/{name}.keras")
        facts[name] = {
            "scores": detector.anomaly_score(windows).numpy().tolist(),
            "iterations": int(detector.optimizer.iterations),
            "learning_rate": float(detector.optimizer.learning_rate),
        }
        assert name == "SpectrumDensity" or type(detector.optimizer) is keras.optimizers.Adam
        detector.run_eagerly = not detector.convolves  # which rounds otherwise
        for _ in range(3):
            detector.train_on_batch(windows)
        facts[name]["scores after"] = detector.anomaly_score(windows).numpy().tolist()
"""

TRAINED_LOADED = """
found["trained"] = {}
for path in asked["trained"]:
    detector = keras.models.load_model(path)
    detector.fit(np.zeros([4, 640], np.float32), verbose=0)
    for name in ("optimizer", "discriminator_optimizer"):
        optimizer = getattr(detector, name)
        found["trained"][name] = [float(optimizer.learning_rate), optimizer.beta_1, int(optimizer.iterations)]
"""

PROMISED = """
import tensorflow as tf

def rates(detector):
    names = ("optimizer", "discriminator_optimizer")
    return [float(getattr(detector, name).learning_rate) for name in names if hasattr(detector, name)]

fit = {"verbose": 0, "batch_size": 32}  # a step per epoch
eager = {"run_eagerly": True}  # where no graph is asked for, which takes a second to make
found["promised"] = {}
for name in asked["promised"]:
    facts = found["promised"][name] = {}

    whole = np.round(8 * WINDOWS)
    scores = {}
    for kind in ("float32", "float64", "int8"):
        detector = make(name, **eager)
        windows = whole.astype(kind)
        detector.fit(windows, validation_data=(windows,), **fit)
        score = detector.anomaly_score(windows)
        assert score.dtype == detector(windows).dtype == detector.residual(windows).dtype == "float32", kind
        for method in ("encode", "losses_and_variables"):
            getattr(detector, method, len)(windows)
        detector.predict_on_batch(windows)
        scores[kind] = score.numpy().tolist()
    facts["kinds of numbers"] = scores

    weights = np.ones(32)
    facts["weights"] = [
        sentence(call)
        for call in (
            lambda: detector.fit(WINDOWS, sample_weight=weights, **fit),
            lambda: detector.fit(WINDOWS, WINDOWS, 16, 1, 0, None, 0.0, None, True, None, weights),
            lambda: detector.fit(WINDOWS, class_weight={0: 2.0}, **fit),
            lambda: detector.fit(tf.data.Dataset.from_tensors((WINDOWS, WINDOWS, weights)), shuffle=False, verbose=0),
            lambda: detector.fit(WINDOWS, validation_data=(WINDOWS, WINDOWS, weights), **fit),
            lambda: detector.evaluate(WINDOWS, sample_weight=weights, verbose=0),
            lambda: detector.train_on_batch(WINDOWS, sample_weight=weights),
            lambda: detector.test_on_batch(WINDOWS, sample_weight=weights),
        )
    ]
    facts["compile"] = {
        argument: sentence(lambda: make(name, **{argument: value}))
        for argument, value in {
            "loss": "mean_absolute_error",
            "loss_weights": [2.0],
            "metrics": ["mae"],
            "weighted_metrics": ["mae"],
        }.items()
    }

    def halved(epoch, rate):
        return rate / 2

    detector = make(name)
    detector.fit(WINDOWS, epochs=3, callbacks=[keras.callbacks.LearningRateScheduler(halved)], **fit)
    facts["scheduler"] = rates(detector)
    detector.export("exported", verbose=False)
    loaded = tf.saved_model.load("exported")
    facts["export"] = float(np.abs(loaded.serve(WINDOWS) - detector(WINDOWS)).max())
    detector.save("scheduled.keras")
    detector = keras.models.load_model("scheduled.keras")
    detector.run_eagerly = True
    detector.fit(WINDOWS, callbacks=[keras.callbacks.LearningRateScheduler(halved)], **fit)
    facts["scheduler after loading"] = rates(detector)
    detector = make(name, **eager)
    plateau = keras.callbacks.ReduceLROnPlateau("loss", factor=0.1, patience=0, min_delta=1e9, mode="min")
    detector.fit(WINDOWS, epochs=3, callbacks=[plateau], **fit)
    detector.fit(WINDOWS, epochs=1, **fit)
    facts["plateau"] = rates(detector)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, decay_steps=1, decay_rate=0.5)
    detector = make(name, optimizer=keras.optimizers.Adam(schedule), **eager)
    detector.fit(WINDOWS, epochs=3, **fit)
    facts["schedule"] = rates(detector)
    if len(facts["schedule"]) == 2:
        detector = make(name, discriminator_optimizer=keras.optimizers.Adam(0.02), **eager)
        detector.save("separate.keras")
        detector = keras.models.load_model("separate.keras")
        detector.run_eagerly = True
        detector.fit(WINDOWS, epochs=3, callbacks=[keras.callbacks.LearningRateScheduler(halved)], **fit)
        facts["separate"] = rates(detector)
"""

REFUSED = """
def weights(call):
    detector = make("EGBAD", run_eagerly=True)
    call(detector)
    return [float(np.sum(np.abs(weight))) for weight in detector.get_weights()]

other = WINDOWS[::-1].copy()
options = {"batch_size": 16, "shuffle": False, "verbose": 0}
found["refused"] = {"numbers": {}}
found["refused"]["batches"] = {
    "alone": weights(lambda detector: detector.fit(WINDOWS, **options)),
    "with targets": weights(lambda detector: detector.fit(WINDOWS, other, **options)),
    "with labels": weights(lambda detector: detector.fit(WINDOWS, np.zeros(32), **options)),
    "pair": weights(lambda detector: detector.fit((WINDOWS, other), validation_data=(WINDOWS,), **options)),
}
numbers = found["refused"]["numbers"]
make("GANomaly").save("ganomaly.keras")
for name in DETECTORS:
    for kind in ("mixed_float16", "mixed_bfloat16", "float64", "float16"):
        numbers[f"{name}, dtype, {kind}"] = sentence(lambda: DETECTORS[name](dtype=kind))
        keras.config.set_dtype_policy(kind)
        numbers[f"{name}, policy, {kind}"] = sentence(lambda: DETECTORS[name]())
        keras.config.set_dtype_policy("float32")
    for kind in ("float16", "float64"):
        keras.config.set_floatx(kind)
        numbers[f"{name}, floatx, {kind}"] = sentence(lambda: DETECTORS[name]())
        keras.config.set_floatx("float32")
keras.mixed_precision.set_global_policy("mixed_float16")
numbers["GANomaly, loaded, mixed_float16"] = sentence(lambda: keras.models.load_model("ganomaly.keras"))
keras.mixed_precision.set_global_policy("float32")
keras.models.load_model("ganomaly.keras")
"""


@pytest.fixture(scope="module")
def trained(ganad, tmp_path_factory):
    """The folder of a detector that the command line has trained."""
    folder = tmp_path_factory.mktemp("trained")
    write_machine(folder / "data", "fan", ids=("00",), n_train=4, n_test=1)
    (folder / "fan.yaml").write_text(
        "dev_directory: data\nmodel: {name: GANomaly, hidden: [4], latent: 2}\n"
        "fit: {epochs: 1, compile: {learning_rate: 0.0003, beta_1: 0.5}}\n"
    )
    for verb in ("prepare", "train"):
        ganad(verb, "fan.yaml", "--dev", cwd=folder)
    return folder / "model/dev/fan"


@pytest.fixture(scope="module")
def in_a_script(tmp_path_factory, request):
    """The outcome of all that the tests that run ask of one bare process, and its folder.

    `goldens`: facts about the detectors of each archive, by the archive's name; `trained`: optimizers of what the
    command line has trained; `promised`: many small things, by detector; `refused`: another batch for EGBAD, and other
    numbers than float32 for every detector.
    """
    folder = tmp_path_factory.mktemp("scripts")
    items = [item for item in request.session.items if "in_a_script" in item.fixturenames]
    used = {fixture for item in items for fixture in item.fixturenames}
    asking = {
        fixture: [item.callspec.params for item in items if fixture in item.fixturenames]
        for fixture in ("goldens", "promised")
    }
    goldens = [case["golden"] for case in asking["goldens"]]
    for golden in goldens:
        zipfile.ZipFile(golden).extractall(folder / golden.stem)
    asked = {
        "goldens": [golden.stem for golden in goldens],
        "trained": [str(request.getfixturevalue("trained") / "detector.keras")] if "trained" in used else [],
        "promised": sorted({case["name"] for case in asking["promised"]}),
    }
    parts = ["asked = json.loads(sys.argv[1])", GOLDENS_LOADED, TRAINED_LOADED, PROMISED]
    parts += [REFUSED] if "refused" in used else []  # the last, for it changes what Keras computes in
    return folder, run("\n".join(parts), folder, json.dumps(asked))


@pytest.fixture(scope="module")
def goldens(in_a_script):
    folder, found = in_a_script
    return folder, found["goldens"]


@pytest.fixture(scope="module")
def promised(in_a_script):
    return in_a_script[1]["promised"]


@pytest.fixture(scope="module")
def refused(in_a_script):
    return in_a_script[1]["refused"]


@pytest.mark.slow
@pytest.mark.parametrize("golden", GOLDENS, ids=lambda path: path.stem)
def test_what_earlier_versions_have_trained_loads_scores_and_trains_on(golden, goldens):
    folder, found = goldens
    expected = json.loads((folder / golden.stem / "expected.json").read_text())
    assert found[golden.stem].keys() == {path.stem for path in (folder / golden.stem).glob("*.keras")}
    for name, facts in found[golden.stem].items():
        for key, value in facts.items():
            tolerance = 2e-3 if key == "scores after" else 1e-4  # those steps were an Adam's that rounded otherwise
            np.testing.assert_allclose(value, expected[name][key], rtol=tolerance, err_msg=f"{name}, {key}")
        is_learner = name != "SpectrumDensity"
        assert (facts["scores"] != facts["scores after"]) == is_learner


def test_there_is_a_golden():
    assert GOLDENS


@pytest.mark.slow
def test_what_the_command_line_has_trained_loads_compiled(trained, in_a_script):
    record = json.loads((trained / "training.json").read_text())
    assert record["deterministic"] is True
    with zipfile.ZipFile(trained / "detector.keras") as archive:
        optimizer = json.loads(archive.read("config.json"))["compile_config"]["optimizer"]
    assert optimizer["module"] == "keras.optimizers"
    assert optimizer["registered_name"] is None
    found = in_a_script[1]["trained"]
    rate, beta_1, iterations = found["optimizer"]
    assert (rate, beta_1) == pytest.approx((0.0003, 0.5))
    assert iterations > 1
    assert found["discriminator_optimizer"] == found["optimizer"]


@pytest.mark.parametrize("name", gate_takes(UNLABELLED, "GANomaly", "SpectrumDensity"))
class TestEveryDetectorInAScript:
    def test_export_after_fit_gives_what_calling_gives(self, promised, name):
        assert promised[name]["export"] < 1e-5

    def test_any_kind_of_number_trains_and_scores_as_float32_does(self, promised, name):
        scores = promised[name]["kinds of numbers"]
        for kind, own in scores.items():
            np.testing.assert_allclose(own, scores["float32"], rtol=1e-4, err_msg=kind)

    def test_weights_of_windows_and_classes_are_refused(self, promised, name):
        sentences = promised[name]["weights"]
        assert len(sentences) == 8
        for sentence in sentences:
            assert "expected no weights, for windows all count alike; leave some out" in sentence

    def test_what_compile_would_not_look_at_is_refused(self, promised, name):
        refused = ["metrics", "weighted_metrics"] + ([] if name in TAKES_LOSS else ["loss", "loss_weights"])
        for argument, sentence in promised[name]["compile"].items():
            if argument in refused:
                assert sentence.startswith(f"{name}.compile takes no ")
                assert f"Received: {argument}=" in sentence
            else:
                assert sentence.startswith("no error")

    def test_a_changing_learning_rate_moves_both_optimizers(self, promised, name):
        facts, count = promised[name], 2 if name in ADVERSARIAL else 1
        steps = {"SpectrumDensity": [0], "FAnoGAN": [1, 2]}.get(name, [3] * count)  # that the optimizers count
        rate = 0.001 if name == "MPDR" else 0.01  # in the last of its epochs
        assert facts["scheduler"] == pytest.approx([rate / 8] * count)
        assert facts["scheduler after loading"] == pytest.approx([rate / 16] * count)
        assert facts["plateau"] == pytest.approx([facts["plateau"][0]] * count)
        assert facts["plateau"][0] < 0.0011
        assert facts["schedule"] == pytest.approx([0.01 / 2**n for n in steps])
        if name in ADVERSARIAL:
            assert facts["separate"] == pytest.approx([0.01 / 8, 0.02])


@pytest.mark.slow
def test_egbad_takes_another_batch_only_where_x_is_a_pair(refused):
    found = refused["batches"]
    assert found["alone"] == pytest.approx(found["with targets"], rel=1e-5)
    assert found["alone"] == pytest.approx(found["with labels"], rel=1e-5)
    assert found["alone"] != pytest.approx(found["pair"], rel=1e-5)


@pytest.mark.slow
def test_other_numbers_than_float32_are_refused_when_a_detector_is_made_or_loaded(refused):
    found = refused["numbers"]
    assert len(found) == 10 * len(DETECTORS) + 1
    for case, sentence in found.items():
        name, _, kind = case.split(", ")
        assert sentence.startswith(f"{name} computes in float32 alone"), case
        assert kind in sentence


SWITCHES = """
import logging, os, pathlib
import tensorflow as tf
from tensorflow.python.framework import config as framework
from ganad_tf import config as configuration
from ganad_tf import datasets, runtime
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.cli import terminal
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.training import build
from ganad_tf.training.train import train_detector
from ganad_tf.serving.models.artifact import Artifact

logged = []
logging.getLogger("ganad_tf").addHandler(type("Kept", (logging.Handler,), {"emit": lambda self, record:
    logged.append(record.getMessage())})())
tf.config.experimental.enable_tensor_float_32_execution(True)  # TensorFlow's default

def switches():
    number = int(keras.layers.Dense(1).name.partition("_")[2] or 0)
    there = os.fstat(2)
    return {
        "TF32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "determinism": framework.is_op_determinism_enabled(),
        "file 2": [there.st_dev, there.st_ino],
        "layers go on being counted": number >= switches.number,
    }

for _ in range(5):
    keras.layers.Dense(1)
switches.number = 5
found["before"] = switches()
switches.number = 6
Artifact(pathlib.Path(sys.argv[1]))
mapping = {"dev_directory": "data", "model": {"name": "DenseAE", "hidden": [4], "latent": 2}, "fit": {"epochs": 1}}

def train(place, **settings):
    config = configuration.from_mapping(mapping | {"model_directory": place} | settings, source="script")
    (listing,) = datasets.list_clips(config, "dev")
    run = MachineRun(config, listing, "dev")
    prepare_cache(run, "train")
    build.build(config)
    logged.clear()
    train_detector(run)
    record = ModelDirectory.of(run).load().record
    return record["deterministic"], [line for line in logged if "deterministic" in line]

found["asked for, not in force"] = train("one")
without_network = {"model": {"name": "SpectrumDensity"}}  # sooner trained
found["neither"] = train("two", deterministic=False, **without_network)
found["after"] = switches()
runtime.deterministic()
found["both"] = train("three", **without_network)
found["in force, not asked for"] = train("four", deterministic=False, **without_network)
runtime.full_float32()
found["TF32 by request"] = switches()["TF32"]
tf.config.experimental.enable_tensor_float_32_execution(True)
terminal.import_tensorflow()
found["TF32 of a command"] = switches()["TF32"]
"""


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    """The switches of a process in which a script loads, trains, and at last does what a command does."""
    folder = tmp_path_factory.mktemp("switches")
    write_machine(folder / "data", "fan", ids=("00",), n_train=4, n_test=1)
    return run(SWITCHES, folder, ROOT / "exported_models" / "demo")


def test_loading_and_training_in_a_script_throw_no_switch_of_the_process(switched):
    found = switched
    assert found["before"] == found["after"]
    assert found["after"]["TF32"]
    assert not found["after"]["determinism"]
    assert found["after"]["layers go on being counted"]
    assert not found["TF32 by request"]
    in_force, (line,) = found["asked for, not in force"]
    assert not in_force
    assert "`deterministic: true`, but this process has not called `ganad_tf.runtime.deterministic()`" in line
    assert found["neither"] == [False, []]
    assert found["both"] == [True, []]
    in_force, (line,) = found["in force, not asked for"]
    assert in_force
    assert "`deterministic: false`, but operations stay deterministic in this process" in line


def test_the_command_line_throws_them(switched):
    """Full float32 on GPUs, for whoever asks no more than that something be scored."""
    assert not switched["TF32 of a command"]


@pytest.mark.parametrize("name", UNLABELLED)
def test_a_loss_in_the_yaml_is_used_or_refused(name):
    model = {"name": name} | arguments(name, [4], latent=2)

    def build(loss):
        fit = {"compile": {"loss": loss}} if loss else {}
        return building.build(configuration.from_mapping({"model": model, "fit": fit}, source="test"))

    assert build("mean_squared_error").compiled  # the challenge's, which is the default
    if name in TAKES_LOSS:
        assert build("mean_absolute_error").loss.__name__ == "mean_absolute_error"
    else:
        with pytest.raises(ConfigError, match=rf"losses of {name} are fixed.*remove `fit.compile.loss`.*mean_absolute"):
            build("mean_absolute_error")


def test_a_scorer_of_embeddings_asks_for_a_detector_that_has_them():
    scorer = {"of": "embedding", "density": "cosine_knn"}
    for name in ("DenseAE", "SpectrumDensity"):
        config = configuration.from_mapping({"model": {"name": name}, "scorer": scorer}, source="test")
        if name == "DenseAE":
            assert building.build(config).compiled
        else:
            with pytest.raises(ConfigError, match="an embedding for `scorer.of: embedding`. Received: SpectrumDensity"):
                building.build(config)
    with pytest.raises(ConfigError, match="`scorer.pooling: mean` for `scorer.of: embedding`.*Received: lulls"):
        configuration.from_mapping({"scorer": scorer | {"pooling": "lulls"}}, source="test")


@pytest.mark.parametrize("path", sorted((ROOT / "yaml").glob("*.yaml")), ids=lambda path: path.name)
def test_the_files_of_this_repository_still_make_their_detectors(path: Path):
    config = configuration.load(path)
    configs = [config.for_machine(machine) for machine in {"": None, **config.machines}]
    if config.feature.encoder:  # a file of the reader's
        with pytest.raises(DataError, match="Expected a network in yamnet"):
            building.build(config)
        return
    for one in {str((one.model, one.feature, one.fit.compile)): one for one in configs}.values():  # each detector once
        assert building.build(one, ["00", "02"]).compiled
