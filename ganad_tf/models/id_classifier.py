"""IDClassifier: a network that tells machines of one type apart, and scores how unlike its machine a window is."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import update_means
from ganad_tf.models.convolutions import patch_shape
from ganad_tf.models.detector import Detector, LossMean, as_float32, labelled_batch_of
from ganad_tf.models.refusals import refuse_machine_ids, refuse_unknown

Score = Literal["log_odds", "negative_log"]

MOMENTUM = 0.9  # of batch normalisation; with Keras' 0.999, averages are not yet those of the data after 5 000 steps


@keras.saving.register_keras_serializable(package="ganad_tf")
class IDClassifier(Detector):
    """A classifier of machine IDs: a window that does not sound like its machine is abnormal. It takes labels.

    The MobileNetV2 baseline of DCASE 2021 Task 2 (Kawaguchi et al. 2021, section 4.2, and the organisers' code), which
    classifies sections; here, the machine IDs of a machine type, as Giri et al. 2020 do. A window of `frames` spectra
    is an image `[frames, mels]`. Logits l, one per ID; p = softmax(l); ID k of the window.

        loss  = mean over windows of -log p_k
        score = log((1 - p_k) / p_k) = log(sum over j != k of exp(l_j)) - l_k       (`log_odds`)
        score = -log p_k                                                            (`negative_log`)

    With `mixup`, a step is taken on windows x = r x_i + (1 - r) x_j, with r ~ U(0, 1) for each window and j from the
    same batch in reverse, by the loss r (-log p_k(i)) + (1 - r) (-log p_k(j)).

    It can only hear what would make a window sound like another machine: with few, similar or very different machines
    it is weak, and with one it is refused. Nothing is reconstructed; a density takes its embeddings (`scorer: {of:
    embedding}`), one density per machine.

    Network, patch of 64 spectra a hop of 8 apart, loss and score are the baseline's; its code has log((1 - p) - log p),
    a misplaced parenthesis, which grows with the score and changes the mean over windows alone. Our choice: `alpha`,
    0.5 in theirs; mixup, which Giri et al. name without numbers, and no margin between angles, which they name too;
    momentum 0.9 in place of 0.999 for the averages of batch normalisation; scores from logits, where theirs clips
    probabilities; and a learning rate above their 1e-5.

    Args:
      input_dim: Length of a window.
      frames: Spectra of a window.
      machine_ids: The machine IDs, at least two.
      alpha: Width of the network, of that in Sandler et al. 2018.
      mixup: Whether windows are mixed while training.
      score: `log_odds` or `negative_log`.
      seed: Of the mixtures.

    Raises:
      ValueError: If there are fewer than two IDs or one twice, or an argument is out of range.

    >>> detector = IDClassifier(machine_ids=["00", "02", "04", "06"], alpha=0.5)
    >>> sum(int(tf.size(weight)) for weight in detector.trainable_weights)
    692804
    """

    takes_loss = False
    takes_machine_ids = True
    reconstructs = False
    convolves = True

    def __init__(
        self,
        input_dim: int = 8192,
        frames: int = 64,
        machine_ids: Sequence[str] = (),
        alpha: float = 0.35,
        mixup: bool = True,
        score: Score = "log_odds",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_machine_ids(machine_ids)
        shape = patch_shape(input_dim, frames)
        refuse_unknown("score", score, Score)
        self.input_dim, self.frames, self.machine_ids = input_dim, frames, tuple(machine_ids)
        self.alpha, self.mixup, self.score, self.seed = alpha, mixup, score, seed
        self.loss_means = {name: LossMean(name=name) for name in ("loss", "accuracy")}
        self.network = _mobile_net(shape, alpha)
        self.classifier = keras.Sequential(
            [layers.Input([self.network.output_shape[-1]]), layers.Dense(len(machine_ids))]
        )
        self.built = True

    @property
    def values_per_window(self) -> int:
        """Values of a window where the network is widest: 96 channels, by `alpha`, at half of the resolution."""
        return max(self.input_dim, round(self.input_dim * self.alpha * 96 / 4))

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → logits `[batch, ids]`."""
        return self.classifier(self.network(as_float32(windows), training=training), training=training)

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """The pooled features before the last layer, `[batch, units]`."""
        return self.network(as_float32(windows), training=False)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Score of each window as one of each machine, `[batch, ids]`."""
        logits = self(windows, training=False)
        if self.score == "negative_log":
            return -tf.nn.log_softmax(logits)
        n_ids = len(self.machine_ids)
        others = tf.where(tf.eye(n_ids, dtype=tf.bool), tf.float32.min, logits[:, tf.newaxis])  # [batch, ids, ids]
        return tf.reduce_logsumexp(others, axis=-1) - logits

    def compute_losses(self, windows: tf.Tensor, labels: tf.Tensor, *, training: bool) -> dict[str, tf.Tensor]:
        """Loss and accuracy on one batch of windows `[batch, dims]` with labels `[batch, ids]`: scalars."""
        logits = self(windows, training=training)
        is_right = tf.equal(tf.argmax(logits, axis=-1), tf.argmax(labels, axis=-1))
        return {
            "loss": tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(labels, logits)),
            "accuracy": tf.reduce_mean(tf.cast(is_right, tf.float32)),
        }

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch of windows and the numbers of their machine IDs."""
        windows, numbers = labelled_batch_of(data)
        labels = tf.one_hot(numbers, len(self.machine_ids))
        if self.mixup:
            windows, labels = self._mixed(windows, labels)
        with tf.GradientTape() as tape:
            losses = self.compute_losses(windows, labels, training=True)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(losses["loss"], variables), variables)
        return update_means(self.loss_means, losses, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and accuracy on one batch, in inference mode, without mixtures."""
        windows, numbers = labelled_batch_of(data)
        losses = self.compute_losses(windows, tf.one_hot(numbers, len(self.machine_ids)), training=False)
        return update_means(self.loss_means, losses, windows)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("input_dim", "frames", "machine_ids", "alpha", "mixup", "score", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _mixed(self, windows: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Each window and label mixed with those of the reversed batch; follows from seed and number of the step."""
        key = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(self.optimizer.iterations, tf.int64)])
        share = tf.random.stateless_uniform([tf.shape(windows)[0], 1], key)
        return tuple(share * values + (1 - share) * values[::-1] for values in (windows, labels))


def _mobile_net(shape: tuple[int, int, int], alpha: float) -> keras.Model:
    """MobileNetV2 of windows as patches of this shape, repeated for its three channels, → pooled features."""
    windows = layers.Input([math.prod(shape)])
    image = layers.Concatenate()([layers.Reshape(shape)(windows)] * 3)
    network = keras.applications.MobileNetV2(
        input_tensor=image, alpha=alpha, weights=None, include_top=False, pooling="avg"
    )

    def with_momentum(layer: layers.Layer) -> layers.Layer:
        changed = {"momentum": MOMENTUM} if isinstance(layer, layers.BatchNormalization) else {}
        return layer.__class__.from_config(layer.get_config() | changed)

    return keras.models.clone_model(network, clone_function=with_momentum)
