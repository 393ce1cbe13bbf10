"""IDClassifier and EmbeddingKNN against their sources: sizes, steps and scores by hand, and the published score."""

import inspect

import keras
import numpy as np
import pytest
import sklearn.cluster
import tensorflow as tf

from ganad_tf.config.sections import Scorer
from ganad_tf.models import EmbeddingKNN, IDClassifier
from ganad_tf.models.embedding_knn import image_network
from ganad_tf.models.mdam import MultiDimensionalAttention
from ganad_tf.scoring import densities

IDS = ["00", "02", "04", "06"]
SMALL = {"input_dim": 12 * 16, "frames": 12, "machine_ids": IDS[:2], "width": 2, "units": 4, "sub_clusters": 3}


def n_trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(("alpha", "expected"), [(0.35, 401_252), (1.0, 2_228_996)])
def test_the_classifier_has_the_baseline_s_sizes_and_averages_that_follow_in_time(alpha, expected):
    detector = IDClassifier(machine_ids=IDS, alpha=alpha)
    assert n_trainable(detector) == expected
    norms = [layer for layer in detector.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in norms} == {0.9}  # Keras' network comes with 0.999
    assert len(norms) > 50


def classifier(**changes):
    keras.utils.set_random_seed(0)
    return IDClassifier(32 * 32, 32, IDS[:3], **changes)


def test_a_mixed_step_is_on_both_windows_and_the_shares_of_both_labels():
    detector = classifier(seed=3)
    detector.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    windows, numbers = np.random.default_rng(0).normal(size=[4, 1024]).astype(np.float32), np.array([0, 2, 2, 1])
    share = tf.random.stateless_uniform([4, 1], [3, 0]).numpy()
    logits = detector(share * windows + (1 - share) * windows[::-1], training=True).numpy().astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    rows = np.arange(4)
    expected = -np.mean(share[:, 0] * log_p[rows, numbers] + (1 - share[:, 0]) * log_p[rows, numbers[::-1]])
    found = detector.train_on_batch(windows, numbers, return_dict=True)["loss"]
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("score", ["log_odds", "negative_log"])
def test_scores_of_a_classifier_that_is_sure_are_finite_and_no_ties(score):
    """Probabilities in float32 would all be 0 or 1 here."""
    detector, windows = classifier(score=score), np.zeros([1, 1024], np.float32)
    kernel, _ = detector.classifier.get_weights()
    scores = []
    for logit in (200.0, 300.0):
        detector.classifier.set_weights([0 * kernel, np.array([logit, 0.0, -50.0], np.float32)])
        scores.append(detector.anomaly_score(windows).numpy()[0])
    assert np.isfinite(scores).all()
    np.testing.assert_allclose([row[1] for row in scores], [200, 300], rtol=1e-6)
    if score == "log_odds":
        np.testing.assert_allclose([row[0] for row in scores], [-200, -300], rtol=1e-6)


def test_the_image_network_has_the_author_s_maps():
    network = image_network(311, 513, 16, 128, attention=True, padding="same")
    (attention,) = [layer for layer in network.layers if isinstance(layer, MultiDimensionalAttention)]
    (flat,) = [layer for layer in network.layers if isinstance(layer, keras.layers.Flatten)]
    assert attention.output.shape == (None, 77, 128, 16)
    assert flat.output.shape == (None, 2048)
    assert n_trainable(image_network(311, 513, 16, 128, padding="same")) == 967_090
    assert not any("bias" in weight.path.rpartition("/")[2] for weight in network.weights)


def test_detectors_from_before_there_was_padding_have_none():
    detector = EmbeddingKNN(**SMALL)
    arguments = set(inspect.signature(EmbeddingKNN).parameters) - {"kwargs"}
    assert arguments <= detector.get_config().keys()
    earlier = {name: value for name, value in detector.get_config().items() if name != "padding"}
    assert EmbeddingKNN.from_config(earlier).padding == detector.padding == "valid"
    assert EmbeddingKNN.from_config(EmbeddingKNN(**SMALL, padding="same").get_config()).padding == "same"
    with pytest.raises(ValueError, match="padding to be one of valid, same. Received: 'full'"):
        EmbeddingKNN(**SMALL, padding="full")


def test_padding_gives_other_embeddings_by_the_same_weights():
    plain, padded = EmbeddingKNN(**SMALL), EmbeddingKNN(**SMALL, padding="same")
    windows = np.random.default_rng(0).normal(size=[3, 192]).astype(np.float32)
    assert [weight.shape for weight in plain.weights] == [weight.shape for weight in padded.weights]
    padded.set_weights(plain.get_weights())
    of_images, of_spectra = np.split(np.abs(plain(windows) - padded(windows)), 2, axis=1)
    assert of_images.max() > 1e-3 > of_spectra.max()


def test_the_published_score_is_the_scalar_product_with_the_nearest_centre():
    rng = np.random.default_rng(0)
    training = np.concatenate([centre + 0.3 * rng.normal(size=[20, 5]) for centre in 2 * np.eye(5)[:3]])
    settings = Scorer(name="density", of="embedding", density="cosine_kmeans", components=3)
    density = densities.fit(training, settings, seed=0)
    units = training / np.linalg.norm(training, axis=1, keepdims=True)
    centres = sklearn.cluster.KMeans(3, n_init=10, random_state=0).fit(units).cluster_centers_
    test = rng.normal(size=[7, 5])
    expected = 1 - np.max(test / np.linalg.norm(test, axis=1, keepdims=True) @ centres.T, axis=1)
    np.testing.assert_allclose(density(tf.constant(test, tf.float32)), expected, rtol=1e-4, atol=1e-6)
    lengths = np.linalg.norm(centres, axis=1)  # below 1: centres are not brought to length 1 again
    assert lengths.max() < 0.99
    np.testing.assert_allclose(density(tf.constant(3 * centres, tf.float32)), 1 - lengths, rtol=1e-4)


def test_a_training_embedding_that_is_a_centre_is_the_most_normal():
    training = np.eye(4)[:3]
    settings = Scorer(name="density", of="embedding", density="cosine_kmeans", components=3)
    found = densities.fit(training, settings, seed=0)(tf.constant(np.eye(4), tf.float32))
    np.testing.assert_allclose(found, [0, 0, 0, 1], atol=1e-6)
