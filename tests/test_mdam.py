"""MDAM, our reading: what a clip's own map does to its weights, and that mixed styles leave scoring alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from ganad_tf.models import EmbeddingKNN, mdam
from ganad_tf.models.embedding_knn import image_network
from ganad_tf.models.mdam import MixedStyle, MultiDimensionalAttention

MAPS = np.random.default_rng(0).normal(1, 2, size=[3, 9, 8, 4]).astype(np.float32)


def embedder(**arguments: object) -> EmbeddingKNN:
    keras.utils.set_random_seed(0)
    sizes = {"frames": 12, "machine_ids": ("00", "02"), "width": 2, "units": 4, "sub_clusters": 3}
    return EmbeddingKNN(12 * 16, **sizes, **arguments)


def test_permuted_frames_permute_the_weights_of_time_alone():
    attention, order = MultiDimensionalAttention(kernel=1), np.random.default_rng(1).permutation(9)
    attention.build(MAPS.shape)
    before, after = attention.weights_of(MAPS), attention.weights_of(MAPS[:, order])
    np.testing.assert_allclose(after[0], before[0].numpy()[:, order], rtol=1e-5)
    for axis in (1, 2):
        np.testing.assert_allclose(after[axis], before[axis], rtol=1e-5)
    assert np.ptp(before[0]) > 1e-3


def test_gates_that_are_all_zero_leave_an_eighth():
    attention = MultiDimensionalAttention()
    attention.build(MAPS.shape)
    attention.set_weights([np.zeros_like(weight) for weight in attention.get_weights()])
    np.testing.assert_allclose(attention(MAPS), MAPS / 8, rtol=1e-6)


def test_attention_costs_eight_thousand_weights_at_the_published_size():
    plain, attending = (image_network(311, 513, 16, 128, attention=attention) for attention in (False, True))
    # 126 bands and 16 channels, to a quarter and back, and a kernel over seven frames.
    assert attending.count_params() - plain.count_params() == 2 * 126 * 31 + 2 * 16 * 4 + 7


def test_a_mixed_style_is_the_other_map_s_mean_and_deviation():
    mixed = MixedStyle()((MAPS, np.array([[1.0], [0.0], [0.25]], np.float32))).numpy()
    np.testing.assert_allclose(mixed[0], MAPS[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(mixed[1], MAPS[1], rtol=1e-4, atol=1e-5)  # its partner is itself
    for statistic in (np.mean, np.std):
        wanted = 0.25 * statistic(MAPS[2], axis=(0, 1)) + 0.75 * statistic(MAPS[0], axis=(0, 1))
        np.testing.assert_allclose(statistic(mixed[2], axis=(0, 1)), wanted, rtol=1e-4)


def test_shares_are_drawn_as_often_as_asked_and_mostly_near_the_ends():
    shares = mdam.drawn_shares(tf.constant(4000), 0.5, tf.constant([3, 7], tf.int64)).numpy()
    # Beta(0.1, 0.1) has a mean of 1/2 and a variance of 1 / (4 * 1.2); the other half of the shares are 1.
    assert abs(shares.mean() - (1 / 2 + 1 / 4)) < 0.03
    assert abs(np.mean(shares**2) - (1 / 2 + (1 / 4 + 1 / 4.8) / 2)) < 0.03
    assert np.mean(mdam.drawn_shares(tf.constant(100), 0.0, tf.constant([3, 7], tf.int64)) == 1) == 1


@pytest.mark.slow
def test_styles_are_mixed_in_training_alone_and_the_same_way_each_time():
    windows = np.random.default_rng(2).normal(size=[16, 192]).astype(np.float32)
    numbers = np.arange(16, dtype=np.int32) % 2
    scores = []
    for mixed_styles in (0.0, 1.0, 1.0):
        detector = embedder(attention=True, mixed_styles=mixed_styles)
        before = detector.anomaly_score(windows).numpy()
        np.testing.assert_allclose(before[:3], detector.anomaly_score(windows[:3]), rtol=1e-5)  # no other clip counts
        detector.compile("adam", run_eagerly=True)
        detector.fit(windows, numbers, batch_size=8, epochs=1, verbose=0, shuffle=False)
        scores.append(detector.anomaly_score(windows).numpy())
    np.testing.assert_array_equal(scores[1], scores[2])
    assert np.abs(scores[0] - scores[1]).max() > 1e-6


@pytest.mark.slow
def test_a_saved_detector_with_attention_goes_on_as_it_would_have(tmp_path):
    windows = np.random.default_rng(2).normal(size=[16, 192]).astype(np.float32)
    numbers = np.arange(16, dtype=np.int32) % 2
    detector = embedder(attention=True, mixed_styles=0.5)
    detector.compile("adam", run_eagerly=True)
    detector.fit(windows, numbers, batch_size=8, epochs=1, verbose=0, shuffle=False)
    detector.save(tmp_path / "detector.keras")
    loaded = keras.saving.load_model(tmp_path / "detector.keras")
    loaded.run_eagerly = True
    np.testing.assert_array_equal(loaded.anomaly_score(windows), detector.anomaly_score(windows))
    for continued in (detector, loaded):
        continued.fit(windows, numbers, batch_size=8, epochs=1, verbose=0, shuffle=False)
    np.testing.assert_array_equal(loaded.anomaly_score(windows), detector.anomaly_score(windows))


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"Expected mixed_styles in \[0, 1\]. Received: 1.5"):
        embedder(mixed_styles=1.5)
