"""Patches: their sizes, what pools them, and how many are computed together."""

import keras
import numpy as np
import pytest

from ganad_tf.models import SAGAN, TIAE, DenseAE
from ganad_tf.models.convolutions import patch_shape, pool
from ganad_tf.models.detector import largest_batch
from ganad_tf.scoring.clip_scores import windows_at_once

PATCH = {"input_dim": 64 * 128, "frames": 64}
RNG = np.random.default_rng(0)


@pytest.mark.parametrize("frames", [0, 5])
def test_frames_that_do_not_divide_a_window_are_refused(frames):
    with pytest.raises(ValueError, match=f"input_dim to be a multiple of frames. Received: 24 and {frames}"):
        patch_shape(24, frames)


def smallest_map(network):
    """Frames and mels of a U-Net's deepest level."""
    shapes = [layer.output.shape for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return min(shape[1:3] for shape in shapes)


@pytest.mark.parametrize(
    ("size", "of_sagan", "of_tiae"),
    [((64, 128), (4, 8), (8, 16)), ((5, 128), (5, 8), (5, 16)), ((6, 10), (3, 5), (3, 5))],
)
def test_the_axes_of_even_length_are_pooled_and_windows_come_back_flat(size, of_sagan, of_tiae):
    sizes = {"input_dim": size[0] * size[1], "frames": size[0], "base": 2}
    sagan, tiae = SAGAN(**sizes, discriminator_base=2, latent=3), TIAE(**sizes)
    assert smallest_map(sagan.generator) == of_sagan
    assert smallest_map(tiae.network) == of_tiae
    windows = RNG.normal(size=[2, size[0] * size[1]]).astype(np.float32)
    for detector in (sagan, tiae):
        assert detector.residual(windows).shape == windows.shape
    assert sagan.encode(windows).shape == (2, 3)


def test_keras_image_data_format_has_no_effect():
    windows, scores = RNG.normal(size=[2, 48]).astype(np.float32), {}
    try:
        for order in ("channels_last", "channels_first"):
            keras.config.set_image_data_format(order)
            for kind in (SAGAN, TIAE):
                keras.utils.set_random_seed(0)
                scores[order, kind] = kind(input_dim=48, frames=6, base=2, levels=2).anomaly_score(windows).numpy()
    finally:
        keras.config.set_image_data_format("channels_last")
    for kind in (SAGAN, TIAE):
        np.testing.assert_array_equal(scores["channels_last", kind], scores["channels_first", kind])


@pytest.mark.parametrize("window", [(2, 2), (1, 2), (2, 1), (1, 1)])
def test_poolings_are_those_of_their_definition(window):
    values = (100 * RNG.normal(size=[2, 4, 6, 3])).astype(np.float32)  # whose exponentials are infinite
    frames, mels = window
    blocks = values.astype(np.float64).reshape(2, 4 // frames, frames, 6 // mels, mels, 3)
    weights = np.exp(blocks - blocks.max(axis=(2, 4), keepdims=True))
    expected = {
        "average": blocks.mean(axis=(2, 4)),
        "maximum": blocks.max(axis=(2, 4)),
        "soft": (weights * blocks).sum(axis=(2, 4)) / weights.sum(axis=(2, 4)),
    }
    for kind, pooled in expected.items():
        np.testing.assert_allclose(pool(values, window, kind), pooled, rtol=1e-5, atol=1e-4)


def test_the_wider_a_network_the_fewer_windows_are_computed_together():
    """A level of 16 channels, joined with what comes up, has 32 * 64 * 128 values: 1 MB of a patch."""
    assert (windows_at_once(DenseAE()), largest_batch(DenseAE())) == (2**20 // 640, 4096)
    assert (windows_at_once(SAGAN(**PATCH)), largest_batch(SAGAN(**PATCH))) == (4, 64)
    assert (windows_at_once(TIAE(**PATCH)), largest_batch(TIAE(**PATCH))) == (1, 16)
    assert windows_at_once(TIAE(**PATCH, transforms=["identity"], base=8)) == 8
    assert windows_at_once(TIAE(**PATCH, base=64)) == 1
