"""f-AnoGAN: its penalty, losses and score by hand, and which epochs and steps train which of its networks."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_ganomaly import forward

from ganad_tf.models import FAnoGAN
from ganad_tf.models.adversarial import gradient_penalty
from ganad_tf.models.fanogan import ADVERSARIAL_STAGE, ENCODER_STAGE

WINDOWS = np.random.default_rng(1).normal(size=[16, 12]).astype(np.float32)
OTHERS = np.random.default_rng(2).normal(size=[16, 12]).astype(np.float32)
NETWORKS = ("generator", "encoder", "discriminator_features", "discriminator_value")


def make(*, stage=ADVERSARIAL_STAGE, **changes):
    keras.utils.set_random_seed(0)
    sizes = {"input_dim": 12, "hidden": [8, 6], "latent": 3}
    detector = FAnoGAN(**{**sizes, "kappa": 0.7, "w_gp": 3.0, "critic_steps": 1, **changes})
    for weight in detector.trainable_variables:  # no bias is 0 any more
        weight.assign_add(0.1 * keras.random.normal(weight.shape, seed=3))
    detector.compile(optimizer=keras.optimizers.Adam(1e-2), run_eagerly=True)
    detector.stage.assign(stage)
    return detector


def weights(detector):
    """Weights and averages of each network."""
    return {name: getattr(detector, name).get_weights() for name in NETWORKS}


def changed(before, after):
    """Names of the networks of which anything is different."""
    pairs = {name: zip(before[name], after[name], strict=True) for name in NETWORKS}
    return {name for name, both in pairs.items() if not all(np.array_equal(*values) for values in both)}


def features(detector, values):
    """f in NumPy: dense layers with LayerNorm and LeakyReLU(0.2)."""
    numbers = [weight.numpy().astype(np.float64) for weight in detector.discriminator_features.weights]
    for kernel, bias, gamma, beta in zip(*(numbers[part::4] for part in range(4)), strict=True):
        values = values @ kernel + bias
        mean, variance = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
        values = gamma * (values - mean) / np.sqrt(variance + 1e-3) + beta
        values = np.where(values > 0, values, 0.2 * values)
    return values


def critic(detector, values):
    return features(detector, values) @ detector.discriminator_value.weights[0].numpy().astype(np.float64)


@pytest.mark.parametrize("norm", [1.0, 3.0, 0.0])
def test_the_penalty_of_a_linear_critic_is_the_squared_distance_of_its_gradient_s_norm_from_one(norm):
    direction = np.random.default_rng(0).normal(size=[12, 1])
    gradient = tf.constant(norm * direction / np.linalg.norm(direction), tf.float32)
    places = tf.random.stateless_uniform([16, 1], [0, 0])
    penalty = gradient_penalty(lambda x: x @ gradient + 5, tf.constant(WINDOWS), tf.constant(OTHERS), places)
    assert float(penalty) == pytest.approx((norm - 1) ** 2, abs=1e-5)


def test_the_penalty_is_taken_between_window_and_generated_window():
    def square(values):
        return tf.reduce_sum(tf.square(values), axis=1, keepdims=True) / 2

    for place, expected in ((0.0, WINDOWS), (1.0, OTHERS), (0.25, 0.75 * WINDOWS + 0.25 * OTHERS)):
        places = tf.fill([16, 1], place)
        penalty = gradient_penalty(square, tf.constant(WINDOWS), tf.constant(OTHERS), places)
        assert float(penalty) == pytest.approx(np.mean((np.linalg.norm(expected, axis=1) - 1) ** 2), rel=1e-5)


def test_the_adversarial_losses_are_those_of_wgan_gp():
    detector, step = make(), 1e-5
    z = tf.random.stateless_normal([16, 3], seed=[0, 0]).numpy()
    places = tf.random.stateless_uniform([16, 1], seed=[0, -1]).numpy()
    generated = forward(detector.generator, z)
    between = WINDOWS + places * (generated - WINDOWS)
    steps = step * np.eye(12)
    differences = [critic(detector, between + one) - critic(detector, between - one) for one in steps]
    norms = np.linalg.norm(np.concatenate(differences, axis=1) / (2 * step), axis=1)
    expected = {"generator_loss": -np.mean(critic(detector, generated)), "gradient_penalty": np.mean((norms - 1) ** 2)}
    expected["discriminator_loss"] = (
        -expected["generator_loss"] - np.mean(critic(detector, WINDOWS)) + 3 * expected["gradient_penalty"]
    )
    losses = detector.compute_losses(WINDOWS, training=False)
    assert {name: float(losses[name]) for name in expected} == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("output", ["tanh", "linear"])
def test_encoder_losses_and_scores_are_those_of_the_paper(output):
    def encode(detector, values):
        return np.tanh(forward(detector.encoder, values)) if output == "tanh" else forward(detector.encoder, values)

    detector = make(encoder_output=output)
    z = encode(detector, WINDOWS)
    x2 = forward(detector.generator, z)
    by_input = np.mean((WINDOWS - x2) ** 2, axis=1)
    by_features = np.mean((features(detector, WINDOWS) - features(detector, x2)) ** 2, axis=1)
    scores = {
        "combined": by_input + 0.7 * by_features,
        "reconstruction": by_input,
        "feature": by_features,
        "latent": np.mean((z - encode(detector, x2)) ** 2, axis=1),
    }
    for name, expected in scores.items():
        detector.score = name
        np.testing.assert_allclose(detector.anomaly_score(WINDOWS), expected, rtol=1e-3)
    np.testing.assert_allclose(detector.residual(WINDOWS), x2 - WINDOWS, rtol=1e-3, atol=1e-5)
    random_z = tf.random.stateless_normal([16, 3], seed=[0, 0]).numpy()
    ziz = np.mean((random_z - encode(detector, forward(detector.generator, random_z))) ** 2)
    losses = {"izi_f": np.mean(scores["combined"]), "izi": np.mean(by_input), "ziz": ziz}
    for name, expected in losses.items():
        detector.encoder_loss = name
        assert float(detector.test_on_batch(WINDOWS, return_dict=True)["loss"]) == pytest.approx(expected, rel=1e-3)


def test_each_stage_changes_its_own_networks_and_no_average_of_the_others():
    detector = make(dropout=0.1)
    for stage, expected in (
        (ADVERSARIAL_STAGE, {"generator", "discriminator_features", "discriminator_value"}),
        (ENCODER_STAGE, {"encoder"}),
    ):
        detector.stage.assign(stage)
        before = weights(detector)
        losses = detector.train_on_batch(WINDOWS, return_dict=True)
        assert changed(before, weights(detector)) == expected
        assert np.isfinite(list(losses.values())).all()
        detector.reset_metrics()
        zero = {name for name, loss in losses.items() if not loss}
        own = {"loss", "reconstruction_loss", "feature_loss"}
        assert zero == (own if stage == ADVERSARIAL_STAGE else losses.keys() - own)


def test_the_generator_steps_after_every_so_many_steps_of_the_critic():
    detector = make(critic_steps=2)
    moved = []
    for _ in range(5):
        before = [weight.numpy() for weight in detector.generator_variables]
        detector.train_on_batch(WINDOWS)
        after = [weight.numpy() for weight in detector.generator_variables]
        moved.append(any(not np.array_equal(*pair) for pair in zip(before, after, strict=True)))
    assert moved == [False, True, False, True, False]
    assert [int(each.iterations) for each in (detector.optimizer, detector.discriminator_optimizer)] == [2, 5]


def after_steps(windows, **changes):
    """The encoder's weights after two steps of stage 2."""
    detector = make(stage=ENCODER_STAGE, **changes)
    for _ in range(2):
        detector.train_on_batch(windows)
    return detector.encoder.get_weights()


def test_izi_f_with_kappa_zero_is_izi():
    izi = after_steps(WINDOWS, encoder_loss="izi")
    for mine, theirs in zip(after_steps(WINDOWS, encoder_loss="izi_f", kappa=0.0), izi, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    with_features = after_steps(WINDOWS, encoder_loss="izi_f")
    assert not np.array_equal(with_features[0], izi[0])


def test_ziz_looks_at_no_window():
    nothing = np.full([16, 12], np.nan, np.float32)
    for mine, theirs in zip(
        after_steps(nothing, encoder_loss="ziz"), after_steps(WINDOWS, encoder_loss="ziz"), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


class Stages(keras.callbacks.Callback):
    """The stage of each epoch, as callbacks of others see it."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.seen.append(int(self.model.stage))


@pytest.mark.parametrize(("first", "expected"), [(0, [1, 1, 2]), (1, [1, 2]), (2, [2])])
def test_the_last_epochs_of_a_fit_are_the_encoder_s_also_of_one_that_goes_on(first, expected):
    detector, stages = make(), Stages()
    detector.fit(WINDOWS, epochs=3, initial_epoch=first, callbacks=stages, verbose=0)
    assert stages.seen == expected
    assert int(detector.stage) == ENCODER_STAGE


@pytest.mark.parametrize(("share", "expected"), [(0.0, [1, 2, 30]), (1 / 3, [1, 1, 20]), (1.0, [0, 0, 0])])
def test_epochs_of_the_first_stage(share, expected):
    detector = FAnoGAN(input_dim=2, hidden=[2], latent=1, encoder_share=share)
    assert [detector.warm_up(epochs) for epochs in (1, 2, 30)] == expected


def test_settling_leaves_the_generator_as_the_encoder_has_learned_to_invert_it():
    for kind in ("izi_f", "ziz"):
        detector = make(encoder_loss=kind)
        before, draws = weights(detector), int(detector.draws)
        assert list(detector.run_batch_norm(tf.constant(WINDOWS))) == [detector.encoder]
        assert changed(before, weights(detector)) == {"encoder"}
        assert int(detector.draws) == draws


def test_the_encoder_s_optimizer_and_the_stage_survive_saving(tmp_path):
    detector = make(stage=ENCODER_STAGE)
    detector.compile(optimizer=keras.optimizers.Adam(1e-3), encoder_optimizer=keras.optimizers.RMSprop(5e-4))
    detector.run_eagerly = True
    for _ in range(2):
        detector.train_on_batch(WINDOWS)
    detector.save(tmp_path / "detector.keras")
    again = keras.models.load_model(tmp_path / "detector.keras")
    assert int(again.stage) == ENCODER_STAGE
    assert isinstance(again.encoder_optimizer, keras.optimizers.RMSprop)
    for old, new in zip(detector.encoder_optimizer.variables, again.encoder_optimizer.variables, strict=True):
        np.testing.assert_array_equal(old.numpy(), new.numpy())
    again.run_eagerly = True
    before = weights(again)
    again.train_on_batch(WINDOWS)
    assert changed(before, weights(again)) == {"encoder"}
    assert [int(each.iterations) for each in (again.optimizer, again.encoder_optimizer)] == [0, 3]


def test_parameters():
    detector = FAnoGAN()
    counts = [
        sum(int(np.prod(weight.shape)) for weight in getattr(detector, f"{side}_variables"))
        for side in ("generator", "discriminator", "encoder")
    ]
    assert counts == [117_504, 115_968, 116_872]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder_loss": "zz"}, "encoder_loss to be one of izi_f, izi, ziz. Received: 'zz'"),
        ({"encoder_output": "relu"}, "encoder_output to be one of tanh, linear"),
        ({"score": "mean"}, "score to be one of combined, reconstruction, feature, latent"),
        ({"encoder_share": 1.1}, "encoder_share from 0 to 1"),
        ({"critic_steps": 0}, "critic_steps of 1 or more"),
        ({"hidden": []}, "at least one hidden layer"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
