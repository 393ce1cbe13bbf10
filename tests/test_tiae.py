"""TIAE: transforms, losses and score by NumPy, and which windows a self-paced training selects."""

import keras
import numpy as np
import pytest

from ganad_tf.models import TIAE
from ganad_tf.models.tiae import EVERY_LOSS
from ganad_tf.training import batch_norm

RNG = np.random.default_rng(0)
WINDOWS = RNG.normal(size=[5, 24]).astype(np.float32)  # four frames of six mel bands
SMALL = {"input_dim": 24, "frames": 4, "base": 4, "levels": 2}


def make(**changes):
    keras.utils.set_random_seed(1)
    detector = TIAE(**SMALL | changes)
    detector.compile(keras.optimizers.Adam(0.01), run_eagerly=True)
    return detector


def reversed_windows(windows, *axes):
    return np.flip(windows.reshape(-1, 4, 6), axes).reshape(-1, 24)


def errors(detector, windows):
    """Of the four transforms, each against the windows as they are."""
    inputs = [windows, reversed_windows(windows, 1), reversed_windows(windows, 2), reversed_windows(windows, 1, 2)]
    return np.stack([detector.network(each).numpy() - windows for each in inputs])


def test_a_window_is_the_target_of_all_its_transforms():
    detector = make()
    expected = errors(detector, WINDOWS)
    np.testing.assert_allclose(detector.errors(WINDOWS), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(detector.residual(WINDOWS), expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), np.abs(expected).mean(axis=(0, 2)), rtol=1e-5)
    loss = detector.evaluate(WINDOWS, return_dict=True, verbose=0)["loss"]
    assert loss == pytest.approx(np.mean(expected**2), rel=1e-5)


def test_transforms_are_those_that_are_chosen_in_their_order():
    detector = make(transforms=["mel", "identity"])
    expected = np.concatenate([reversed_windows(WINDOWS, 2), WINDOWS])
    np.testing.assert_array_equal(detector.transformed(WINDOWS), expected)


def test_with_the_identity_alone_it_is_an_autoencoder():
    detector = make(transforms=["identity"])
    error = detector(WINDOWS).numpy() - WINDOWS
    np.testing.assert_allclose(detector.window_losses(WINDOWS), np.mean(error**2, axis=1), rtol=1e-5)
    np.testing.assert_allclose(detector.anomaly_score(WINDOWS), np.mean(np.abs(error), axis=1), rtol=1e-5)


def test_the_output_may_be_bounded():
    windows = 100 * WINDOWS
    assert np.abs(make(output="tanh")(windows)).max() <= 1 < np.abs(make()(windows)).max()


def test_the_limit_follows_from_the_losses_of_the_epoch_before():
    detector = make(self_paced=True, margin=1.5)
    assert detector.next_limit(3, 10) == EVERY_LOSS  # of no losses
    first, second = RNG.normal(size=[16, 24]), 3 * RNG.normal(size=[7, 24])
    losses = []
    for batch in (first, second):
        losses.append(detector.window_losses(batch, training=True).numpy())
        detector.train_on_batch(batch)
    losses = np.concatenate(losses)
    expected = np.mean(losses) - (1.5 - 3 / 10) * np.std(losses)
    assert detector.next_limit(3, 10) == pytest.approx(expected, rel=1e-4)
    detector.begin_epoch(3, 10)
    assert float(detector.limit) == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(detector.loss_sums.numpy(), 0)
    detector.begin_epoch(0, 10)
    assert float(detector.limit) == pytest.approx(EVERY_LOSS)


def test_windows_at_or_above_the_limit_teach_nothing():
    detector = make(self_paced=True)
    detector.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    before = [weight.numpy() for weight in detector.trainable_variables]
    losses = np.sort(detector.window_losses(WINDOWS, training=True).numpy())
    detector.limit.assign(losses[0])
    logs = detector.train_on_batch(WINDOWS, return_dict=True)
    assert logs["selected"] == 0
    assert logs["loss"] == pytest.approx(losses.mean(), rel=1e-5)
    for old, new in zip(before, detector.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new.numpy())
    detector.reset_metrics()
    detector.limit.assign(1.001 * losses[2])
    assert detector.train_on_batch(WINDOWS, return_dict=True)["selected"] == pytest.approx(3 / 5)
    assert not np.array_equal(before[0], detector.trainable_variables[0].numpy())


class Selections(keras.callbacks.Callback):
    """Notes which windows would be selected at the beginning of each epoch."""

    def __init__(self, windows):
        super().__init__()
        self.windows, self.chosen = windows, []

    def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
        self.chosen.append(self.model.window_losses(self.windows).numpy() < float(self.model.limit))


@pytest.mark.slow
def test_a_self_paced_training_selects_fewer_outliers_than_chance_and_more_and_more_windows():
    position = RNG.uniform(-1, 1, [200, 2])
    windows = (position @ RNG.normal(size=[2, 24])).astype(np.float32)
    is_outlier = np.arange(200) % 10 == 0
    windows[is_outlier] = 1.5 * RNG.normal(size=[20, 24])
    detector, selections = make(self_paced=True), Selections(windows)
    detector.run_eagerly = False
    history = detector.fit(windows, epochs=8, batch_size=20, verbose=0, callbacks=[selections]).history
    chosen = np.array(selections.chosen)
    assert chosen[0].all()
    outliers = chosen[1:, is_outlier].mean(axis=1)
    assert (outliers < chosen[1:].mean(axis=1)).all()
    assert outliers.max() < 0.1
    share = chosen[1:].mean(axis=1)
    assert share[0] < share[-1]
    assert np.corrcoef(np.arange(len(share)), share)[0, 1] > 0.8
    assert history["selected"][0] == 1 > history["selected"][-1] > history["selected"][1]


@pytest.mark.slow
def test_a_self_paced_training_that_is_resumed_ends_as_one_that_was_not(tmp_path):
    whole, begun = make(self_paced=True), make(self_paced=True)
    windows = RNG.normal(size=[16, 24]).astype(np.float32)
    how = {"batch_size": 8, "shuffle": False, "verbose": 0}
    whole.fit(windows, epochs=3, **how)
    begun.fit(windows, epochs=3, callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=stop_after(1, begun))], **how)
    begun.save(tmp_path / "begun.keras")
    resumed = keras.models.load_model(tmp_path / "begun.keras")
    resumed.run_eagerly = True
    resumed.fit(windows, epochs=3, initial_epoch=2, **how)
    for mine, theirs in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def stop_after(last, detector):
    def on_epoch_end(epoch, logs):  # noqa: ARG001
        detector.stop_training = epoch == last

    return on_epoch_end


def test_settled_averages_are_those_of_all_transforms():
    detector = make()
    batch_norm.settle_on(detector, [WINDOWS])
    seen = detector.errors(WINDOWS, training=True).numpy()
    batch_norm.settle_on(detector, [WINDOWS])
    np.testing.assert_allclose(detector.errors(WINDOWS).numpy(), seen, rtol=1e-3, atol=1e-4)


def test_parameters_are_those_of_the_published_network():
    for base, count in ((64, 8_561_985), (16, 536_913)):
        variables = TIAE(input_dim=64 * 64, frames=64, base=base).trainable_variables
        assert sum(int(np.prod(weight.shape)) for weight in variables) == count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 1}, "two levels or more, and a channel or more. Received: levels=1, base=4"),
        ({"base": 0}, "Received: levels=2, base=0"),
        ({"transforms": ["time"]}, r"identity among the transforms, and each once. Received: \['time'\]"),
        ({"transforms": ["identity", "identity"]}, "each once"),
        ({"transforms": ["identity", "rotation"]}, "one of identity, time, mel, both. Received: 'rotation'"),
        ({"output": "relu"}, "output to be one of linear, tanh"),
        ({"frames": 5}, "multiple of frames"),
    ],
)
def test_arguments_out_of_range_are_one_sentence(changes, message):
    with pytest.raises(ValueError, match=message):
        make(**changes)
