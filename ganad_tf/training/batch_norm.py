"""Averages of batch normalisation, estimated anew over all training windows once the weights are final.

While training, they follow the batches with a decay of 0.99 per step: after few steps they are still partly what they
began with, and always those of weights that have changed since. Here each batch is as large as fits, its mean and its
variance are exact, and the batches are put together by the law of total variance, as Wu and Johnson 2021 ("Rethinking
'Batch' in BatchNorm", arXiv 2105.07576, section 3) propose; where all windows fit one batch, the result is exact.
"""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.cache import windows
from ganad_tf.cache.windows import Source
from ganad_tf.models import Detector
from ganad_tf.models.detector import largest_batch


def settle(detector: Detector, training: Source, *, seed: int, memory_budget_mb: int) -> None:
    """Sets the averages of a detector to those over its training windows; no other weight and no random state changes.

    Args:
      detector: The trained detector.
      training: The clips that it was trained on.
      seed: Seed of the order of the windows.
      memory_budget_mb: Spectra that exceed it are streamed.
    """
    if not layers_in(detector):
        return
    n_batches = -(-training.n_windows // largest_batch(detector))
    batch_size = -(-training.n_windows // n_batches)
    unlabelled = dataclasses.replace(training, machine_ids=None)
    settle_on(
        detector,
        windows.window_batches(unlabelled, batch_size=batch_size, seed=seed, memory_budget_mb=memory_budget_mb),
    )


def settle_on(detector: Detector, batches: tf.data.Dataset) -> None:
    """Sets the averages of a detector to those over all windows of a dataset of batches, `[batch, dims]`."""
    ran: list[keras.layers.BatchNormalization] = []
    sums: list[np.ndarray] = []  # per layer that ran, of weights, means and squares
    with _averages_of_one_batch(detector):

        @tf.function(input_signature=[tf.TensorSpec([None, detector.input_dim], tf.float32)], autograph=False)
        def moments(batch: tf.Tensor) -> list[tf.Tensor]:
            ran.clear()
            collected = []
            for network in detector.run_batch_norm(batch):
                for layer in layers_in(network):
                    ran.append(layer)
                    collected.append(tf.stack([tf.identity(layer.moving_mean), tf.identity(layer.moving_variance)]))
            return collected

        for batch in batches:
            mean_and_variance = [np.asarray(pair, np.float64) for pair in moments(batch)]
            of_batch = [
                len(batch) * np.stack([np.ones_like(mean), mean, variance + mean**2])
                for mean, variance in mean_and_variance
            ]
            sums = [one + other for one, other in zip(sums, of_batch, strict=True)] if sums else of_batch
    totals: dict[int, tuple[keras.layers.BatchNormalization, np.ndarray]] = {}
    for layer, of_layer in zip(ran, sums, strict=True):  # a layer that ran twice per batch has seen twice as much
        _, before = totals.get(id(layer), (layer, np.zeros_like(of_layer)))
        totals[id(layer)] = layer, before + of_layer
    for layer, (weight, means, squares) in totals.values():
        mean = means / weight
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(np.maximum(squares / weight - mean**2, 0))


@contextmanager
def _averages_of_one_batch(detector: Detector) -> Iterator[None]:
    """Within it, the averages are those of the last batch alone, and nothing is dropped out, as when scoring."""
    layers = layers_in(detector)
    dropouts = [layer for layer in _all_layers(detector) if isinstance(layer, keras.layers.Dropout)]
    momenta, rates = [layer.momentum for layer in layers], [layer.rate for layer in dropouts]
    for layer in layers:
        layer.momentum = 0.0
    for dropout in dropouts:
        dropout.rate = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for dropout, rate in zip(dropouts, rates, strict=True):
            dropout.rate = rate


def layers_in(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Layers of batch normalisation within a model and the models in it, each once."""
    return [layer for layer in _all_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]


def _all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    """Layers within a model and the models in it, each once."""
    for layer in model.layers:
        yield layer
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
