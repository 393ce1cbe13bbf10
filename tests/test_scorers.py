import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.features import Normalizer
from ganad_tf.models import IDNN, DenseAE, SpectrumDensity
from ganad_tf.scoring import clip_scores

RESIDUAL = np.array([[[1.0, -4.0], [-2.0, 0.0], [3.0, 1.0]]], np.float32)  # 1 clip, 3 windows, 2 bands
LEVEL = np.array([[[5.0, 1.0], [4.0, 2.0], [6.0, 3.0]]], np.float32)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"pooling": "mean"}, [2 / 3, -1.0]),
        ({"pooling": "max"}, [2.0, 4.0]),
        # excess from the largest down: 2, -1, -3 and 4, 0, -1; weights 1, 1/2, 1/4 over 7/4
        ({"pooling": "gwrp", "decay": 0.5}, [(2 - 0.5 - 0.75) / 1.75, (4 - 0.25) / 1.75]),
        # residuals from the quietest moment up: -2, 1, 3 and -4, 0, 1
        ({"pooling": "lulls", "decay": 0.5}, [(-2 + 0.5 + 0.75) / 1.75, (-4 + 0.25) / 1.75]),
        ({"pooling": "gwrp", "decay": 0.0}, [2.0, 4.0]),
        ({"pooling": "lulls", "decay": 0.0}, [-2.0, -4.0]),
    ],
)
def test_pooling_by_hand(settings, expected):
    pooled = clip_scores.pool(tf.constant(RESIDUAL), tf.constant(LEVEL), Scorer(name="density", **settings))
    np.testing.assert_allclose(pooled, [expected], rtol=1e-6)


def test_the_paper_s_score_is_the_mean_over_a_clip_s_windows_and_clips_don_t_mix():
    keras.utils.set_random_seed(0)
    detector = DenseAE(input_dim=12, hidden=[8])
    windows = np.random.default_rng(0).normal(size=[3, 7, 12]).astype(np.float32)
    expected = [np.mean(detector.anomaly_score(clip)) for clip in windows]
    np.testing.assert_allclose(clip_scores.paper_scores(detector)(tf.constant(windows)), expected, rtol=1e-5)


def test_the_pooled_residual_is_in_decibels_per_mel_band():
    keras.utils.set_random_seed(0)
    detector = DenseAE(input_dim=12, hidden=[8])
    normalizer = Normalizer(mean=[-50.0] * 4, std=[2.0, 3.0, 4.0, 5.0])
    windows = np.random.default_rng(0).normal(size=[2, 7, 12]).astype(np.float32)
    pooled = clip_scores.pooled_residuals(detector, normalizer, 4, Scorer(name="density"))(tf.constant(windows))
    residual = np.stack([detector(clip, training=False) - clip for clip in windows])  # [2, 7, 12]
    expected = residual.reshape(2, 7, 3, 4).mean(axis=(1, 2)) * [2.0, 3.0, 4.0, 5.0]
    np.testing.assert_allclose(pooled, expected, rtol=1e-4, atol=1e-5)


def test_embeddings_are_averaged_over_a_clip_s_windows():
    keras.utils.set_random_seed(0)
    detector = DenseAE(input_dim=12, hidden=[8], latent=3)
    windows = np.random.default_rng(0).normal(size=[2, 7, 12]).astype(np.float32)
    expected = [np.mean(detector.encode(clip), axis=0) for clip in windows]
    assert np.any(expected)
    function = clip_scores.mean_embeddings(detector)
    np.testing.assert_allclose(function(tf.constant(windows)), expected, rtol=1e-5)
    assert function.shapes == [[3]]


def test_without_a_network_the_residual_is_the_sound():
    windows = np.random.default_rng(0).normal(size=[2, 7, 12]).astype(np.float32)
    settings = Scorer(name="density")
    pooled = clip_scores.pooled_residuals(SpectrumDensity(input_dim=12), None, 4, settings)(tf.constant(windows))
    np.testing.assert_allclose(-pooled.numpy(), windows.reshape(2, 21, 4).mean(axis=1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 0.88, 1.0])
def test_twfr_sorts_each_band_from_the_loudest_down_and_weights_by_rank(decay):
    """TWFR-GMM: of the sorted levels, the mean weighted by decay^rank; `mean` is a decay of 1, with the other sign."""
    log_mels = np.random.default_rng(0).normal(-40, 9, size=[2, 30, 4]).astype(np.float32)
    weights = decay ** np.arange(30.0)
    expected = np.einsum("btm,t->bm", -np.sort(-log_mels, axis=1), weights / weights.sum())
    settings = Scorer(name="density", **({"pooling": "gwrp", "decay": decay} if decay < 1 else {"pooling": "mean"}))
    function = clip_scores.pooled_residuals(SpectrumDensity(input_dim=4), None, 4, settings)
    found = function(tf.constant(log_mels)) * (1 if decay < 1 else -1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_idnn_s_residual_is_that_of_the_middle_frame():
    keras.utils.set_random_seed(0)
    detector = IDNN(input_dim=12, frames=3, hidden=[8])
    windows = np.random.default_rng(0).normal(size=[1, 7, 12]).astype(np.float32)
    pooled = clip_scores.pooled_residuals(detector, None, 4, Scorer(name="density"))(tf.constant(windows))
    middle, predicted = detector.target_and_prediction(windows[0])
    np.testing.assert_allclose(pooled[0], np.mean(predicted - middle, axis=0) / 3, rtol=1e-4, atol=1e-6)


def test_a_short_burst_shows_in_max_and_gwrp_and_hardly_in_the_mean():
    steady = np.random.default_rng(0).normal(0, 0.1, [1, 300, 4]).astype(np.float32)
    burst = steady.copy()
    burst[:, 140:144, 2] += 5.0
    changes = {}
    for pooling in ("mean", "max", "gwrp", "lulls"):
        settings = Scorer(name="density", pooling=pooling)
        before, after = (
            clip_scores.pool(-tf.constant(sound), tf.constant(sound), settings) for sound in (steady, burst)
        )
        changes[pooling] = float(np.abs(after - before)[0, 2])
    assert changes["max"] > 4
    assert changes["gwrp"] > 0.3
    assert changes["mean"] < 0.1
    assert changes["lulls"] < 0.01
