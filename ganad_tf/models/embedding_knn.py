"""EmbeddingKNN: embeddings learned by telling machines of one type apart, for a density per machine."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from ganad_tf.models import mdam
from ganad_tf.models.adacos import Scale, SubClusterAdaCos
from ganad_tf.models.adversarial import update_means
from ganad_tf.models.detector import Detector, LossMean, as_float32, labelled_batch_of
from ganad_tf.models.refusals import refuse_machine_ids, refuse_unknown

Padding = Literal["valid", "same"]

SHORTEST = 11  # spectra, and mel bands, that the first convolution and pooling leave something of


@keras.saving.register_keras_serializable(package="ganad_tf")
class EmbeddingKNN(Detector):
    """Two networks whose joint embedding tells machine IDs apart, for one density per machine. It takes labels.

    Wilkinghoff 2023 (ICASSP, "Design choices for learning embeddings from auxiliary tasks for domain generalization in
    anomalous sound detection") and the author's code. One network sees the window as an image, without its mean over
    time, so that no steady level counts; the other sees that mean, the spectrum. The embedding e of a window is both
    outputs, one after the other; `SubClusterAdaCos` gives class probabilities p of it.

        loss  = mean over windows of -sum over classes c of y_c log p_c + l2 |kernels|^2
        score = -log p_k for a window of ID k

    The published score is the distance of e from those of the machine's normal clips, `scorer: {of: embedding, density:
    cosine_kmeans, components: 16}`, but that the author has each clip of a target domain as a centre of its own beside
    the 16; `cosine_knn` compares with all clips. With `mixup`, a step is taken on windows x = r x_i + (1 - r) x_j, with
    r ~ U(0, 1) for each window and j from the same batch in reverse, and the labels are y = max(r y_i, (1 - r) y_j),
    value by value, as in the author's code.

    Networks without bias, fixed random centres, mixture and loss are the author's, whose networks see the magnitude
    spectrogram and the waveform's spectrum, three convolutions before its dense layers, of a whole clip of 10 s. Our
    choice: both see log-mels of a window, because the cache holds no waveforms; classes are machine IDs, where theirs
    are machine types with section, attributes and domain, and, with `pseudo_classes`, those of windows with the mel
    axis reversed, which half of the windows of a step are: two or four IDs alone are too easy to tell apart.
    `attention` and `mixed_styles` add our reading of MDAM after the image network's first block (`mdam.py`).

    Args:
      input_dim: Length of a window.
      frames: Spectra of a window.
      machine_ids: The machine IDs, at least two.
      width: Channels of the first convolution; 2, 4 and 8 times as many later.
      units: Length of each network's output.
      padding: Of the first convolution: `same` for the author's zeros around the image; `valid` for none, as detectors
        have it that were made before there was a choice.
      sub_clusters: Centres per class.
      scale: `published` or `fixed`, of `SubClusterAdaCos`.
      mixup: Whether windows are mixed while training.
      pseudo_classes: Whether reversed windows are classes of their own.
      l2: Weight of the squared kernels.
      attention: Whether the image network has `mdam.MultiDimensionalAttention`.
      mixed_styles: Probability that a window's feature map gets a style mixed with another's while training.
      seed: Of mixtures, reversals and styles.

    Raises:
      ValueError: If there are fewer than two IDs or one twice, or windows are too small.

    >>> EmbeddingKNN(machine_ids=["00", "02"]).encode(tf.zeros([3, 200 * 128])).shape
    TensorShape([3, 256])
    """

    takes_loss = False
    takes_machine_ids = True
    reconstructs = False
    convolves = True

    def __init__(
        self,
        input_dim: int = 25600,
        frames: int = 200,
        machine_ids: Sequence[str] = (),
        width: int = 16,
        units: int = 128,
        sub_clusters: int = 16,
        scale: Scale = "published",
        mixup: bool = True,
        pseudo_classes: bool = True,
        l2: float = 1e-5,
        attention: bool = False,
        mixed_styles: float = 0.0,
        padding: Padding = "valid",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        refuse_machine_ids(machine_ids)
        n_mels = input_dim // frames
        if input_dim % frames or min(frames, n_mels) < SHORTEST:
            raise ValueError(
                f"Expected windows of {SHORTEST} spectra and mel bands or more. Received: input_dim {input_dim}, "
                f"frames {frames}."
            )
        if not 0 <= mixed_styles <= 1:
            raise ValueError(f"Expected mixed_styles in [0, 1]. Received: {mixed_styles}.")
        refuse_unknown("padding", padding, Padding)
        self.input_dim, self.frames, self.machine_ids = input_dim, frames, tuple(machine_ids)
        self.width, self.units, self.sub_clusters, self.scale = width, units, sub_clusters, scale
        self.mixup, self.pseudo_classes, self.l2, self.seed = mixup, pseudo_classes, l2, seed
        self.attention, self.mixed_styles, self.padding = attention, mixed_styles, padding
        self.loss_means = {name: LossMean(name=name) for name in ("loss", "accuracy")}
        self.image_network = image_network(
            frames, n_mels, width, units, attention=attention, mixes_styles=mixed_styles > 0, padding=padding
        )
        self.spectrum_network = spectrum_network(n_mels, units)
        self.classifier = SubClusterAdaCos(len(machine_ids) * (1 + pseudo_classes), sub_clusters, scale)
        self.classifier.build([None, 2 * units])
        self.built = True

    @property
    def values_per_window(self) -> int:
        """Values of a window after the first convolution, or in it."""
        return max(self.input_dim, self.input_dim * self.width // 4)

    def call(self, windows: tf.Tensor, training: bool = False, styles: tf.Tensor | None = None) -> tf.Tensor:
        """Embeddings, `[batch, dims]` → `[batch, 2 * units]`; `styles` are the shares of their styles, `[batch, 1]`."""
        image = tf.reshape(as_float32(windows), [-1, self.frames, self.input_dim // self.frames])
        spectrum = tf.reduce_mean(image, axis=1)
        varying = (image - spectrum[:, tf.newaxis])[..., tf.newaxis]
        if self.mixed_styles:
            kept = tf.ones([tf.shape(image)[0], 1], image.dtype)
            varying = (varying, kept if styles is None else styles)
        parts = [self.image_network(varying, training=training), self.spectrum_network(spectrum, training=training)]
        return tf.concat(parts, axis=-1)

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Embeddings of length 1, `[batch, 2 * units]`."""
        return tf.math.l2_normalize(self(windows, training=False), axis=-1)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Score of each window as one of each machine, `[batch, ids]`."""
        return -self.classifier(self(windows, training=False))[:, : len(self.machine_ids)]

    def compute_losses(self, windows: tf.Tensor, labels: tf.Tensor, *, training: bool) -> dict[str, tf.Tensor]:
        """Loss and accuracy on one batch of windows `[batch, dims]` with labels `[batch, classes]`: scalars."""
        return self._losses_of(self(windows, training=training), labels)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch of windows and the numbers of their machine IDs."""
        windows, labels = self._drawn(*labelled_batch_of(data))
        styles = None
        if self.mixed_styles:
            styles = mdam.drawn_shares(tf.shape(windows)[0], self.mixed_styles, self._seed_of(2))
        with tf.GradientTape() as tape:
            embeddings = self(windows, training=True, styles=styles)
            losses = self._losses_of(embeddings, labels)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(losses["loss"], variables), variables)
        self.classifier.update_scale(embeddings, tf.argmax(labels, axis=-1, output_type=tf.int32))
        return update_means(self.loss_means, losses, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Loss and accuracy on one batch, in inference mode, without mixtures and reversals."""
        windows, numbers = labelled_batch_of(data)
        labels = tf.one_hot(numbers, self.classifier.n_classes)
        return update_means(self.loss_means, self.compute_losses(windows, labels, training=False), windows)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        sizes = ("input_dim", "frames", "machine_ids", "width", "units", "padding", "sub_clusters")
        of_training = ("scale", "mixup", "pseudo_classes", "l2", "attention", "mixed_styles", "seed")
        return super().get_config() | {name: getattr(self, name) for name in sizes + of_training}

    def _losses_of(self, embeddings: tf.Tensor, labels: tf.Tensor) -> dict[str, tf.Tensor]:
        log_probabilities = self.classifier(embeddings)
        entropy = -tf.reduce_mean(tf.reduce_sum(labels * log_probabilities, axis=-1))
        kernels = [weight for weight in self.trainable_variables if weight.name == "kernel"]
        is_right = tf.equal(tf.argmax(log_probabilities, axis=-1), tf.argmax(labels, axis=-1))
        return {
            "loss": entropy + self.l2 * tf.reduce_sum([tf.reduce_sum(tf.square(kernel)) for kernel in kernels]),
            "accuracy": tf.reduce_mean(tf.cast(is_right, tf.float32)),
        }

    def _drawn(self, windows: tf.Tensor, numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Windows, half of them reversed and all of them mixed, with their labels; follows from seed and step."""
        n_windows = tf.shape(windows)[0]
        if self.pseudo_classes:
            is_reversed = tf.random.stateless_uniform([n_windows], self._seed_of(0)) < 0.5
            image = tf.reshape(windows, [n_windows, self.frames, self.input_dim // self.frames])
            turned = tf.reshape(image[:, :, ::-1], tf.shape(windows))
            windows = tf.where(is_reversed[:, tf.newaxis], turned, windows)
            numbers += len(self.machine_ids) * tf.cast(is_reversed, tf.int32)
        labels = tf.one_hot(numbers, self.classifier.n_classes)
        if not self.mixup:
            return windows, labels
        share = tf.random.stateless_uniform([n_windows, 1], self._seed_of(1))
        return mixed(windows, labels, share)

    def _seed_of(self, part: int) -> tf.Tensor:
        """Seed of one of the draws of a step, `[2]`."""
        step = 3 * tf.cast(self.optimizer.iterations, tf.int64)
        return tf.stack([tf.constant(self.seed, tf.int64), step + part])


def mixed(windows: tf.Tensor, labels: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Windows mixed with those of the reversed batch, and the larger of both labels' shares.

    Args:
      windows: `[batch, dims]`.
      labels: `[batch, classes]`.
      share: Of each window in its mixture, `[batch, 1]`.
    """
    of_windows = share * windows + (1 - share) * windows[::-1]
    return of_windows, tf.maximum(share * labels, (1 - share) * labels[::-1])


def image_network(
    frames: int,
    n_mels: int,
    width: int,
    units: int,
    *,
    attention: bool = False,
    mixes_styles: bool = False,
    padding: Padding = "valid",
) -> keras.Model:
    """Residual network, `[batch, frames, mels, 1]` → `[batch, units]`, without bias.

    With `mixes_styles`, its second input are the shares of the windows' styles, `[batch, 1]`.

    At 311 x 513 with the default width and units and `padding="same"`, the author's network: 967 090 trainable weights.
    """
    image, share = layers.Input([frames, n_mels, 1]), layers.Input([1])
    hidden = layers.BatchNormalization(axis=2)(image)
    hidden = layers.Conv2D(width, 7, strides=2, padding=padding, use_bias=False)(hidden)
    hidden = layers.ReLU()(layers.BatchNormalization()(hidden))
    hidden = maximum(hidden, 3)
    for number in range(8):
        filters = width * 2 ** (number // 2)
        if number:
            hidden = layers.BatchNormalization()(hidden)
        hidden = _residual_block(hidden, filters, is_halved=number in (2, 4, 6))
        if number == 0 and attention:
            hidden = mdam.MultiDimensionalAttention()(hidden)
        if number == 0 and mixes_styles:
            hidden = mdam.MixedStyle()((hidden, share))
    hidden = layers.Flatten()(ops.max(hidden, axis=1))
    hidden = layers.BatchNormalization()(hidden)
    inputs = (image, share) if mixes_styles else image
    return keras.Model(inputs, layers.Dense(units, use_bias=False)(hidden), name="image_network")


def maximum(values: Any, size: int) -> Any:
    """Maximum of `size` x `size`, two steps apart; an odd axis is one longer for a size of 2.

    Keras' layer is not used, because XLA has no gradient of it that is the same every time.
    """
    odd = [0 if size != 2 else length % 2 for length in values.shape[1:3]]
    if any(odd):
        values = ops.pad(values, [(0, 0), *((0, longer) for longer in odd), (0, 0)], mode="symmetric")
    ends = [length - size + 1 for length in values.shape[1:3]]
    parts = [
        values[:, row : row + ends[0] : 2, column : column + ends[1] : 2] for row, column in np.ndindex(size, size)
    ]
    return functools.reduce(ops.maximum, parts)


def spectrum_network(n_mels: int, units: int) -> keras.Sequential:
    """Dense network, `[batch, mels]` → `[batch, units]`, without bias."""
    stack: list[layers.Layer] = [layers.Input([n_mels])]
    for _ in range(4):
        stack += [layers.Dense(units, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*stack, layers.Dense(units, use_bias=False)], name="spectrum_network")


def _residual_block(inputs: Any, filters: int, *, is_halved: bool) -> Any:
    hidden, shortcut = layers.ReLU()(inputs), inputs
    strides = 2 if is_halved else 1
    hidden = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(hidden)
    hidden = layers.ReLU()(layers.BatchNormalization()(hidden))
    hidden = layers.Conv2D(filters, 3, padding="same", use_bias=False)(hidden)
    if is_halved:
        shortcut = layers.Conv2D(filters, 1, use_bias=False)(maximum(shortcut, 2))
    return layers.Add()([hidden, shortcut])
