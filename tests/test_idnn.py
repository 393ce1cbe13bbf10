import numpy as np
import pytest
import tensorflow as tf
from test_ganomaly import forward

from ganad_tf.models import IDNN


def make():
    detector = IDNN(input_dim=15, frames=5, hidden=[8], latent=2)
    detector.compile(optimizer="adam", loss="mean_squared_error")
    return detector


def windows(count=6):
    return np.random.default_rng(0).normal(size=[count, 15]).astype(np.float32)


def test_the_middle_is_predicted_from_the_sides():
    detector, x = make(), windows()
    predicted = forward(detector.interpolator, np.concatenate([x[:, :6], x[:, 9:]], axis=1))
    np.testing.assert_allclose(detector.anomaly_score(x), np.mean((x[:, 6:9] - predicted) ** 2, axis=1), rtol=1e-4)
    np.testing.assert_allclose(
        detector.evaluate(x, return_dict=True, verbose=0)["loss"], np.mean((x[:, 6:9] - predicted) ** 2), rtol=1e-4
    )
    reconstruction = detector(x).numpy()
    np.testing.assert_allclose(reconstruction[:, 6:9], predicted, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(reconstruction[:, :6], x[:, :6])


def test_the_centre_frame_is_never_seen():
    x = tf.constant(windows())
    with tf.GradientTape() as tape:
        tape.watch(x)
        _, predicted = make().target_and_prediction(x)
    gradient = tape.gradient(predicted, x).numpy()
    assert np.all(gradient[:, 6:9] == 0)
    assert np.any(gradient[:, :6] != 0)
    assert np.any(gradient[:, 9:] != 0)


@pytest.mark.parametrize("frames", [1, 2, 4])
def test_a_window_without_a_centre_is_refused(frames):
    with pytest.raises(ValueError, match=f"odd number of frames.* Received: frames={frames}"):
        IDNN(input_dim=12, frames=frames)
