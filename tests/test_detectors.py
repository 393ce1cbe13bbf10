"""Every detector through one gauntlet, used as a stranger's Keras script would use it.

Tracing a training step takes seconds: tests that only look share one trained detector per name, `fitted`; tests of
state rather than of graphs run eagerly; and the one detector per name that XLA compiles has to learn something too.
"""

import dataclasses
import functools
import inspect
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import gate_takes
from small_detectors import ADVERSARIAL, LEARNERS, LOSS, RECONSTRUCTING, UNLABELLED, arguments

from ganad_tf.models import DETECTORS, Detector

NON_DEFAULT = {
    "AEGAN": {
        "input_dim": 24,
        "frames": 3,
        "base": 2,
        "latent": 3,
        "normalization": "batch",
        "eta": 0.05,
        "match_std": False,
        "w_gp": 5.0,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "DenseAE": {"input_dim": 24, "hidden": [16, 12], "latent": 3, "kernel_initializer": "he_normal"},
    "DRINK": {
        "input_dim": 24,
        "frames": 6,
        "masked": 2,
        "cell": "gru",
        "units": 3,
        "kernel_initializer": "he_normal",
    },
    "EGBAD": {
        "input_dim": 24,
        "hidden": [16, 12],
        "latent": 3,
        "score": "cross_entropy",
        "average": 0.9,
        "discriminator_dropout": 0.1,
        "dropout": 0.1,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "FAnoGAN": {
        "input_dim": 24,
        "hidden": [16, 12],
        "latent": 3,
        "encoder_loss": "izi",
        "encoder_output": "linear",
        "encoder_share": 0.5,
        "kappa": 0.2,
        "critic_steps": 3,
        "w_gp": 5.0,
        "score": "latent",
        "dropout": 0.1,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "GMADE": {
        "input_dim": 24,
        "frames": 3,
        "hidden": [16, 12],
        "components": 2,
        "mixture": "bin",
        "ordering": "mean",
        "score": "joint",
        "kernel_initializer": "he_normal",
    },
    "IDNN": {"input_dim": 24, "frames": 3, "hidden": [16, 12], "latent": 3, "kernel_initializer": "he_normal"},
    "MPDR": {
        "input_dim": 24,
        "hidden": [16, 12],
        "latent": 3,
        "pretraining_share": 0.5,
        "energy_rate": 0.2,
        "noise": [0.1, 0.2],
        "steps": 2,
        "step_size": 3.0,
        "step_noise": 0.1,
        "recovery": 0.01,
        "w_negative": 2.0,
        "l2": 0.1,
        "kernel_initializer": "he_normal",
        "seed": 5,
    },
    "SAGAN": {
        "input_dim": 24,
        "frames": 4,
        "base": 3,
        "levels": 3,
        "pooling": "soft",
        "first_skip": False,
        "discriminator_base": 5,
        "latent": 3,
        "w_adv": 2.0,
        "w_con": 3.0,
        "w_lat": 4.0,
        "discriminator_latent_loss": True,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "SkipGANomaly": {
        "input_dim": 24,
        "hidden": [16, 12],
        "latent": 3,
        "w_adv": 2.0,
        "w_con": 3.0,
        "w_lat": 4.0,
        "discriminator_latent_loss": True,
        "dropout": 0.1,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "GANomaly": {
        "input_dim": 24,
        "hidden": [16, 12],
        "latent": 3,
        "w_adv": 2.0,
        "w_con": 3.0,
        "w_enc": 4.0,
        "adv_loss": "bce",
        "score": "combined",
        "dropout": 0.1,
        "kernel_initializer": "random_normal",
        "seed": 5,
    },
    "SpectrumDensity": {"input_dim": 24},
    "TIAE": {
        "input_dim": 24,
        "frames": 4,
        "base": 3,
        "levels": 2,
        "transforms": ["time", "identity"],
        "output": "tanh",
        "self_paced": True,
        "margin": 2.0,
        "kernel_initializer": "he_normal",
    },
}
tf.config.experimental.enable_tensor_float_32_execution(False)  # of a GPU


def make(name, *, jit_compile=False, run_eagerly=False, **changes):
    """A compiled detector of 24 inputs, always with the same initial weights."""
    keras.utils.set_random_seed(1)
    own = {"EGBAD": {"average": 0.99}, "FAnoGAN": {"critic_steps": 1}}.get(name, {})
    detector = DETECTORS[name](input_dim=24, **arguments(name, [16, 16], frames=3) | own | changes)
    optimizer = keras.optimizers.Adam(1e-3, beta_1=0.5) if name == "EGBAD" else keras.optimizers.Adam(2e-3)
    detector.compile(optimizer=optimizer, jit_compile=jit_compile, run_eagerly=run_eagerly, **LOSS[name])
    return detector


def normal_windows(count=512, seed=0):
    """Points on a curved surface of two dimensions in 24, with a little noise."""
    rng = np.random.default_rng(seed)
    surface = np.random.default_rng(99).normal(size=[3, 24])
    position = rng.uniform(-1, 1, [count, 2])
    lifted = np.concatenate([position, position[:, :1] * position[:, 1:]], axis=1)
    return (lifted @ surface + 0.05 * rng.normal(size=[count, 24])).astype(np.float32)


def dataset(windows, batch_size=64):
    return tf.data.Dataset.from_tensor_slices(windows).batch(batch_size)


def fit(detector, windows, epochs=1, **kwargs):
    return detector.fit(dataset(windows), epochs=epochs, shuffle=False, verbose=0, **kwargs).history


# EGBAD reconstructs only because its discriminator asks for it, which takes longer and more units: with 16 units it
# depends on the processor's rounding.
# The others, with their own files in the gate, take long to trace, or are like one of these.
SLOW = ("AEGAN", "DRINK", "FAnoGAN", "IDNN", "MPDR", "SAGAN", "SkipGANomaly", "TIAE")
QUICK = [name for name in UNLABELLED if name not in SLOW]
FEW = ["GANomaly"]  # of two optimizers
EPOCHS = {"AEGAN": 4, "EGBAD": 30, "SAGAN": 3, "TIAE": 3}
OF_WINDOWS = {  # the other losses are of random codes or places, or of the statistics of a batch
    "AEGAN": ("reconstruction_loss",),
    "EGBAD": ("encoder_loss",),
    "FAnoGAN": ("loss", "reconstruction_loss", "feature_loss"),
    "MPDR": ("energy",),
}
TRAINED = {"GANomaly": {"score": "reconstruction"}, "EGBAD": {"hidden": [64], "latent": 4}}
OVERFITTED = {"EGBAD": TRAINED["EGBAD"], "FAnoGAN": {"hidden": [64], "latent": 8}}


@dataclasses.dataclass(frozen=True)
class Trained:
    """A detector that knows `normal_windows`, its curves, and its weights after the first 128 windows."""

    detector: Detector
    history: dict[str, list[float]]
    first_weights: list[np.ndarray]


def begun(name):
    """A detector that has seen 128 windows, on the CPU: a GPU needs to be told to be deterministic, as `train` does."""
    with tf.device("CPU:0"):
        detector = make(name, run_eagerly=True, **TRAINED.get(name, {}))
        fit(detector, normal_windows(128))
    return detector


@functools.cache
def fitted(name):
    """The trained detector that tests share."""
    detector = begun(name)
    weights = _values(detector.weights)
    detector.run_eagerly, detector.train_function = False, None  # from here on by graphs
    held_out = dataset(normal_windows(128, seed=1))
    history = fit(detector, normal_windows(4096), epochs=EPOCHS.get(name, 8), validation_data=held_out)
    return Trained(detector, history, weights)


def test_every_detector_is_in_the_gauntlet():
    assert set(UNLABELLED) == NON_DEFAULT.keys() == LOSS.keys()
    assert UNLABELLED


LOADED = """
import sys, keras, numpy as np, ganad_tf.models
folder = sys.argv[1]
windows = np.load(f"{folder}/windows.npy")
for name in sys.argv[2:]:
    detector = keras.models.load_model(f"{folder}/{name}.keras")
    np.save(f"{folder}/{name}_scores.npy", detector.anomaly_score(windows))
    keras.utils.set_random_seed(2)
    detector.run_eagerly = True
    detector.fit(windows, batch_size=64, epochs=1, shuffle=False, verbose=0)
    np.save(f"{folder}/{name}_after.npy", detector.anomaly_score(windows))
"""


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(FEW, id="few"),
        pytest.param([name for name in UNLABELLED if name not in FEW], id="others", marks=pytest.mark.slow),
    ],
)
def test_saved_and_loaded_in_another_process_they_score_the_same_and_train_on(tmp_path, names):
    detectors, windows = {name: fitted(name).detector for name in names}, normal_windows(128)
    np.save(tmp_path / "windows.npy", windows)
    for name, detector in detectors.items():
        detector.save(tmp_path / f"{name}.keras")
    command = [sys.executable, "-c", LOADED, tmp_path, *names]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=480)
    assert done.returncode == 0, done.stderr
    for name, detector in detectors.items():
        scores = detector.anomaly_score(windows).numpy()
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}_scores.npy"), scores)
        keras.utils.set_random_seed(2)
        by_graphs, detector.train_function = detector.train_function, None
        detector.run_eagerly = True  # as over there: graphs round differently, by how much depends on the processor
        fit(detector, windows)
        detector.run_eagerly, detector.train_function = False, by_graphs
        # Only if every optimizer came back does another epoch end in the same place; what is left is rounding.
        after, expected = np.load(tmp_path / f"{name}_after.npy"), detector.anomaly_score(windows)
        np.testing.assert_allclose(after, expected, rtol=0.1 if DETECTORS[name].convolves else 1e-2, err_msg=name)


@pytest.mark.parametrize("name", gate_takes(UNLABELLED, *QUICK))
class TestEveryDetector:
    def test_config_holds_every_constructor_argument(self, name):
        parameters = [
            key for key in inspect.signature(DETECTORS[name].__init__).parameters if key not in ("self", "kwargs")
        ]
        assert parameters == list(NON_DEFAULT[name])
        for key, value in NON_DEFAULT[name].items():
            assert inspect.signature(DETECTORS[name]).parameters[key].default != value, key
        config = DETECTORS[name](**NON_DEFAULT[name]).get_config()
        assert {key: config[key] for key in parameters} == NON_DEFAULT[name]
        again = DETECTORS[name].from_config(config)
        assert {key: again.get_config()[key] for key in parameters} == NON_DEFAULT[name]

    def test_trains_with_validation_and_reports_every_loss_twice(self, name):
        history = fitted(name).history
        losses = {key for key in history if "loss" in key and not key.startswith("val_")}
        assert "loss" in losses
        assert {f"val_{key}" for key in losses} <= history.keys()
        assert np.isfinite(list(history.values())).all()
        assert {len(values) for values in history.values()} == {EPOCHS.get(name, 8)}

    def test_losses_are_means_over_windows_not_batches(self, name):
        detector = fitted(name).detector
        windows = normal_windows(100, seed=3)
        whole = detector.evaluate(dataset(windows, 100), return_dict=True, verbose=0)
        parts = detector.evaluate(dataset(windows, 70), return_dict=True, verbose=0)
        if name in OF_WINDOWS:
            whole, parts = ({key: losses[key] for key in OF_WINDOWS[name]} for losses in (whole, parts))
        assert parts == pytest.approx(whole, rel=1e-4)

    def test_eager_equals_graph(self, name):
        detector = fitted(name).detector
        windows = tf.constant(normal_windows(32, seed=4))
        for function in (detector.anomaly_score, detector.residual, detector):
            np.testing.assert_allclose(tf.function(function)(windows), function(windows), rtol=1e-5, atol=1e-6)

    def test_a_score_does_not_depend_on_the_neighbours(self, name):
        detector = fitted(name).detector
        windows = normal_windows(40, seed=5)
        together = detector.anomaly_score(windows).numpy()
        assert together.shape == (40,)
        among_others = detector.anomaly_score(np.concatenate([100 * windows[:5], windows])).numpy()[5:]
        alone = np.concatenate([detector.anomaly_score(window[np.newaxis]) for window in windows])
        np.testing.assert_allclose(among_others, together, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-7)

    def test_same_seed_same_weights(self, name):
        for first, second in zip(fitted(name).first_weights, begun(name).weights, strict=True):
            np.testing.assert_array_equal(first, second.numpy())

    def test_summary_and_parameter_count_need_no_data(self, name):
        lines = []
        DETECTORS[name]().summary(print_fn=lines.append)
        assert "Total params" in "\n".join(lines)


class TestEveryDetectorThatLearns:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", [name for name in RECONSTRUCTING if not DETECTORS[name].convolves])
    def test_one_batch_can_be_overfitted_by_what_xla_compiles(self, name):
        detector = make(name, jit_compile=True, **OVERFITTED.get(name, {"latent": 8}))
        windows = normal_windows(32)
        before = np.mean(np.square(detector.residual(windows)))
        steps, epochs = {"EGBAD": (2000, 1), "FAnoGAN": (800, 3)}.get(name, (1200, 1))  # the third is the encoder's
        detector.fit(tf.data.Dataset.from_tensors(windows).repeat(steps), epochs=epochs, shuffle=False, verbose=0)
        assert np.mean(np.square(detector.residual(windows))) < 0.2 * before

    @pytest.mark.parametrize("name", gate_takes(LEARNERS, *QUICK))
    def test_what_is_off_the_surface_scores_higher(self, name):
        detector = fitted(name).detector
        normal = normal_windows(200, seed=6)
        corrupted = normal + np.random.default_rng(7).normal(size=normal.shape).astype(np.float32)
        higher = detector.anomaly_score(corrupted).numpy() > detector.anomaly_score(normal).numpy()
        assert higher.mean() > 0.95


@pytest.mark.parametrize("name", gate_takes(ADVERSARIAL, "EGBAD", "FAnoGAN", "GANomaly"))
class TestEveryAdversarialDetector:
    @pytest.mark.parametrize("frozen", ["generator", "discriminator"])
    def test_each_step_moves_its_own_side_alone(self, name, frozen):
        detector = make(name)
        optimizers = {side: keras.optimizers.Adam(2e-3) for side in ("generator", "discriminator")}
        optimizers[frozen].learning_rate = 0.0
        sides = {"optimizer": optimizers["generator"], "discriminator_optimizer": optimizers["discriminator"]}
        detector.compile(**sides, run_eagerly=True)
        before = {side: _values(getattr(detector, f"{side}_variables")) for side in optimizers}
        detector.train_on_batch(normal_windows(64))
        moved = {side: _moved(before[side], getattr(detector, f"{side}_variables")) for side in optimizers}
        other = "discriminator" if frozen == "generator" else "generator"
        assert not any(moved[frozen])
        assert sum(moved[other]) > 0.6 * len(moved[other])  # biases before a BatchNorm have no gradient

    def test_both_optimizers_survive_saving(self, name, tmp_path):
        detector = make(name)
        detector.compile(
            optimizer=keras.optimizers.Adam(2e-4, beta_1=0.5),
            discriminator_optimizer=keras.optimizers.SGD(0.1, momentum=0.9),
            run_eagerly=True,
        )
        for _ in range(3):
            detector.train_on_batch(normal_windows(64))
        detector.save(tmp_path / "detector.keras")
        again = keras.models.load_model(tmp_path / "detector.keras")
        for attribute in ("optimizer", "discriminator_optimizer"):
            mine, theirs = getattr(detector, attribute), getattr(again, attribute)
            assert mine.get_config() == theirs.get_config()
            assert int(theirs.iterations) == 3
            assert len(mine.variables) == len(theirs.variables) >= 5
            for old, new in zip(mine.variables, theirs.variables, strict=True):
                np.testing.assert_array_equal(old.numpy(), new.numpy())

    def test_an_uncompiled_detector_can_be_saved(self, name, tmp_path):
        detector = DETECTORS[name](**NON_DEFAULT[name])
        detector.save(tmp_path / "detector.keras")
        again = keras.models.load_model(tmp_path / "detector.keras")
        windows = normal_windows(8)
        np.testing.assert_array_equal(again.anomaly_score(windows), detector.anomaly_score(windows))


def _values(variables):
    return [variable.numpy() for variable in variables]


def _moved(before, variables):
    return [not np.array_equal(old, new.numpy()) for old, new in zip(before, variables, strict=True)]
