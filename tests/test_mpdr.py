"""MPDR: energy, negatives and losses by NumPy, gradients by finite differences, and the two stages of a training."""

import keras
import numpy as np
import pytest
from conftest import gate_takes

from ganad_tf.models import MPDR
from ganad_tf.models.mpdr import Noise

RNG = np.random.default_rng(0)
WINDOWS = RNG.normal(size=[4, 6]).astype(np.float32)
NOISE = Noise(
    levels=np.array([[0.05], [0.1], [0.2], [0.3]], np.float32),
    codes=RNG.normal(size=[4, 3]).astype(np.float32),
    steps=RNG.normal(size=[2, 4, 6]).astype(np.float32),
)
ENERGY, PROJECTION = ("encoder", "decoder"), ("projecting_encoder", "projecting_decoder")


TINY = {"hidden": [4], "steps": 0}


def make(**changes):
    """A compiled detector whose biases are not 0."""
    keras.utils.set_random_seed(1)
    detector = MPDR(**{"input_dim": 6, "hidden": [7, 5], "latent": 3, "steps": 2, **changes})
    detector.set_weights([weight + 0.1 * (weight.ndim == 1) for weight in detector.get_weights()])
    detector.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    return detector


def dense(network, values):
    """Output of layers with leaky ReLU and a linear one at the end, in double precision."""
    weights = [np.asarray(weight, np.float64) for weight in network.get_weights()]
    for number in range(0, len(weights), 2):
        values = values @ weights[number] + weights[number + 1]
        values = values if number == len(weights) - 2 else np.maximum(values, 0.2 * values)
    return values


def code(encoder, windows):
    codes = dense(encoder, windows)
    return codes / np.linalg.norm(codes, axis=1, keepdims=True)


def energy(detector, windows):
    return np.mean((windows - dense(detector.decoder, code(detector.encoder, windows))) ** 2, axis=1)


def noisy_code(detector):
    noisy = code(detector.projecting_encoder, WINDOWS) + NOISE.levels * NOISE.codes
    return noisy / np.linalg.norm(noisy, axis=1, keepdims=True)


def langevin_step(detector, negatives, codes, noise):
    def objective(points):
        angles = np.arccos(np.sum(code(detector.projecting_encoder, points) * codes, axis=1))
        return energy(detector, points) + detector.recovery * angles**2 / (2 * NOISE.levels[:, 0] ** 2)

    axes = 1e-5 * np.eye(6)
    slopes = [(objective(negatives + axis) - objective(negatives - axis)) / 2e-5 for axis in axes]
    return negatives - detector.step_size * np.stack(slopes, axis=1) + detector.step_noise * noise


def weights_of(detector, networks):
    return [weight for name in networks for weight in getattr(detector, name).get_weights()]


def is_same(one, other):
    return all(np.array_equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_codes_and_noisy_codes_have_length_one():
    detector = make()
    codes, noisy = detector.encode(WINDOWS), detector.project_and_diffuse(WINDOWS, NOISE)
    for vectors in (codes, noisy):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(noisy, noisy_code(detector), rtol=1e-4)
    silent = NOISE._replace(codes=np.zeros_like(NOISE.codes))
    np.testing.assert_allclose(
        detector.project_and_diffuse(WINDOWS, silent), code(detector.projecting_encoder, WINDOWS), rtol=1e-4
    )


def test_the_score_is_the_energy():
    detector = make()
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), energy(detector, WINDOWS), rtol=1e-5)
    np.testing.assert_allclose(
        detector.residual(WINDOWS) + WINDOWS, dense(detector.decoder, code(detector.encoder, WINDOWS)), rtol=1e-4
    )


def test_a_langevin_step_goes_down_the_energy_and_the_angle():
    detector = make(step_size=0.5, step_noise=0.1, recovery=0.01)
    codes = noisy_code(detector)
    moved = detector.langevin_step(keras.ops.array(WINDOWS), codes.astype(np.float32), NOISE.levels, NOISE.steps[0])
    np.testing.assert_allclose(moved, langevin_step(detector, WINDOWS, codes, NOISE.steps[0]), rtol=1e-3, atol=1e-4)


def test_negatives_begin_at_the_decoded_noisy_codes_where_the_angle_is_zero():
    detector = make(step_size=0.5, recovery=1e-4)
    codes = noisy_code(detector)
    expected = dense(detector.projecting_decoder, codes)
    np.testing.assert_allclose(make(steps=0).negatives(WINDOWS, NOISE._replace(steps=NOISE.steps[:0])), expected, 1e-4)
    for noise in NOISE.steps:
        expected = langevin_step(detector, expected, codes, noise)
    np.testing.assert_allclose(detector.negatives(WINDOWS, NOISE), expected, rtol=1e-3, atol=1e-4)
    at_its_code = detector.langevin_step(
        keras.ops.array(WINDOWS), detector.projecting_encoder(WINDOWS), NOISE.levels, NOISE.steps[0]
    )
    assert np.isfinite(at_its_code).all()


def test_losses_of_both_stages():
    detector = make(w_negative=2.0, l2=0.1)
    negatives = WINDOWS[::-1] + 1
    of_windows, of_negatives = energy(detector, WINDOWS), energy(detector, negatives)
    squares = 0.1 * sum(np.sum(weight**2) for weight in detector.encoder.get_weights())
    pretraining = of_windows.mean() + squares
    stages = {
        "pre-training": (None, pretraining, 0),
        "energy": (negatives, pretraining - of_negatives.mean() + 2 * np.mean(of_negatives**2), of_negatives.mean()),
    }
    for given, loss, negative_energy in stages.values():
        losses = {name: float(value) for name, value in detector.compute_losses(WINDOWS, given).items()}
        expected = {"loss": loss, "energy": of_windows.mean(), "negative_energy": negative_energy}
        assert losses == pytest.approx(expected, rel=1e-5)


def test_the_energy_stage_moves_the_energy_away_from_the_projecting_autoencoder():
    detector = make()
    before = weights_of(detector, ENERGY)
    assert detector.train_on_batch(WINDOWS, return_dict=True)["negative_energy"] == 0
    pretrained = weights_of(detector, ENERGY)
    assert not any(np.array_equal(old, new) for old, new in zip(before, pretrained, strict=True))
    detector.begin_energy_stage()
    assert float(detector.optimizer.learning_rate) == pytest.approx(0.001)
    assert is_same(weights_of(detector, PROJECTION), pretrained)
    assert detector.train_on_batch(WINDOWS, return_dict=True)["negative_energy"] > 0
    assert is_same(weights_of(detector, PROJECTION), pretrained)
    assert not is_same(weights_of(detector, ENERGY), pretrained)
    assert detector.test_on_batch(WINDOWS) == detector.test_on_batch(WINDOWS)


def test_noise_is_of_its_levels_and_follows_from_seed_and_step():
    detector = make()
    levels, codes, steps = detector._draw(np.zeros([4000, 6]), step=7)
    assert 0.05 <= np.min(levels) < 0.06
    assert 0.29 < np.max(levels) < 0.3
    assert [np.std(codes), np.std(steps)] == pytest.approx([1, 1], abs=0.03)
    assert steps.shape == [2, 4000, 6]
    noise = detector._draw(WINDOWS, step=7)
    assert is_same(noise, make()._draw(WINDOWS, step=7))
    assert not is_same(noise, detector._draw(WINDOWS, step=8))
    assert not is_same(noise, make(seed=1)._draw(WINDOWS, step=7))


class Stages(keras.callbacks.Callback):
    """Records the stage and the learning rate of each epoch; may end the training after an epoch."""

    def __init__(self, last=None):
        super().__init__()
        self.last, self.seen = last, []

    def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
        rate = float(self.model.optimizer.learning_rate)
        self.seen.append(("energy" if int(self.model.is_pretrained) else "pre-training", round(rate, 6)))
        self.model.stop_training = epoch == self.last


@pytest.mark.parametrize("interrupted_after", gate_takes([2, 3, 4], 3))
def test_stages_have_their_epochs_also_where_a_training_is_resumed(tmp_path, interrupted_after):
    whole, stages = make(pretraining_share=0.6, **TINY), Stages()
    whole.fit(WINDOWS, None, 4, 5, 0, stages)
    assert stages.seen == 3 * [("pre-training", 0.01)] + 2 * [("energy", 0.001)]
    begun, first, rest = make(pretraining_share=0.6, **TINY), Stages(interrupted_after - 1), Stages()
    begun.fit(WINDOWS, epochs=5, verbose=0, callbacks=[first])
    begun.save(tmp_path / "begun.keras")
    resumed = keras.models.load_model(tmp_path / "begun.keras")
    resumed.run_eagerly = True
    resumed.fit(WINDOWS, epochs=5, initial_epoch=interrupted_after, verbose=0, callbacks=[rest])
    assert first.seen + rest.seen == stages.seen
    assert len(first.seen) == interrupted_after


def test_a_detector_that_is_fitted_again_goes_on_with_its_energy_stage():
    detector, stages = make(**TINY), Stages()
    detector.fit(WINDOWS, epochs=2, verbose=0)
    detector.fit(WINDOWS, epochs=2, verbose=0, callbacks=[stages])
    assert stages.seen == 2 * [("energy", 0.001)]


def test_parameters_at_the_published_widths():
    detector = MPDR(hidden=[1024, 1024])
    trained, fixed = (
        sum(int(np.prod(weight.shape)) for name in networks for weight in getattr(detector, name).weights)
        for networks in (ENERGY, PROJECTION)
    )
    one_way = (640 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 32 + 32)
    other_way = (32 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 640 + 640)
    assert trained == fixed == one_way + other_way
    assert sum(int(np.prod(weight.shape)) for weight in detector.trainable_variables) == trained


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden": []}, "a hidden layer"),
        ({"steps": -1}, "no negative number of steps"),
        ({"pretraining_share": 1.0}, "pretraining_share between 0 and 1. Received: 1.0"),
        ({"noise": [0.0, 0.3]}, r"two levels above 0, the least first. Received: \[0.0, 0.3\]"),
        ({"noise": [0.3]}, "two levels above 0"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
