import keras
import numpy as np

from ganad_tf.models import DenseAE


def test_the_baseline_s_network():
    """Dense 640-128-128-128-128-8-128-128-128-128-640 with BatchNorm and ReLU after all but the last."""
    kinds = [type(layer).__name__ for layer in DenseAE().autoencoder.layers]
    assert kinds == ["Dense", "BatchNormalization", "ReLU"] * 9 + ["Dense"]
    units = [layer.units for layer in DenseAE().autoencoder.layers if isinstance(layer, keras.layers.Dense)]
    assert units == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert DenseAE().count_params() == 269992


def test_loss_and_score_are_the_mean_squared_error():
    keras.utils.set_random_seed(0)
    detector = DenseAE(input_dim=6, hidden=[5], latent=2)
    detector.compile(optimizer="adam", loss="mean_squared_error")
    windows = np.random.default_rng(0).normal(size=[7, 6]).astype(np.float32)
    weights = [weight.numpy() for weight in detector.autoencoder.weights]
    hidden = windows
    for block in range(3):  # kernel, bias, gamma, beta, moving mean, moving variance
        kernel, bias, gamma, beta, mean, variance = weights[6 * block : 6 * block + 6]
        hidden = np.maximum(gamma * (hidden @ kernel + bias - mean) / np.sqrt(variance + 1e-3) + beta, 0)
    expected = np.square(windows - (hidden @ weights[18] + weights[19]))
    np.testing.assert_allclose(detector.anomaly_score(windows), expected.mean(axis=1), rtol=1e-4)
    loss = detector.evaluate(windows, return_dict=True, verbose=0)["loss"]
    np.testing.assert_allclose(loss, expected.mean(), rtol=1e-4)


def test_another_loss_can_be_compiled():
    detector = DenseAE(input_dim=6, hidden=[5], latent=2)
    detector.compile(optimizer="adam", loss="mean_absolute_error")
    windows = np.random.default_rng(0).normal(size=[7, 6]).astype(np.float32)
    expected = np.abs(windows - detector.predict(windows, verbose=0)).mean()
    np.testing.assert_allclose(detector.evaluate(windows, return_dict=True, verbose=0)["loss"], expected, rtol=1e-4)
