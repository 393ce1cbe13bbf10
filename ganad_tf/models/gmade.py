"""GMADE: the density of a window as a product of conditional densities of its frames."""

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.models.detector import Detector, LossMean, as_float32, batch_of
from ganad_tf.models.masked_dense import MaskedDense
from ganad_tf.models.refusals import refuse_unknown

Ordering = Literal["past_to_future", "future_to_past", "middle_last", "mean"]
Mixture = Literal["frame", "bin"]
Score = Literal["conditional", "joint"]
LARGEST_LOG_SCALE = 5.0


@keras.saving.register_keras_serializable(package="ganad_tf")
class GMADE(Detector):
    """Group masked autoencoder for density estimation: each frame's distribution given the frames before it.

    Giri et al. 2020, "Group masked autoencoder based density estimator for audio anomaly detection" (DCASE workshop).
    A window is a group of frames x_1 ... x_G in an ordering. Masked connections (Germain et al. 2015) let the output
    for a frame depend on the frames before it alone, and the output is a mixture of Gaussians:

        p(x)          = product over g of p(x_g | x_1 ... x_(g-1))
        p(x_g | ...)  = sum over k of w_k product over mels of N(x_g; m_k, s_k)        (mixture: frame)
                      = product over mels of sum over k of w_k N(x_g; m_k, s_k)        (mixture: bin)
                        with weights by softmax, and log s_k clipped to [-5, 5]
        loss          = mean over windows of -log p(x) / dims
        score         = -log p(x_G | x_1 ... x_(G-1)) per window, of the last frame    (score: conditional)
                      = -log p(x) per window                                           (score: joint)
        x'            = the window with its last frame replaced by the mean of its conditional distribution

    The definition and the mixtures are the paper's (one Gaussian: its Group MADE-G; several: -MOG). Its sizes,
    orderings and score are not known: those here, the clipping and the rule for degrees are our choice. `ordering:
    mean` trains a network for each of the three orderings; loss and score are the means of theirs, and x' has the last
    frame of each ordering predicted.

    US patent 12,205,039 ("Group masked autoencoder for anomaly detection", granted 2025) has claims on masked
    autoencoders whose ordering conditions a frame on later ones, as all orderings but `past_to_future` do. Whether it
    concerns you is a question for a lawyer.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window, the groups; at least 2.
      hidden: Units of the hidden layers, which have ReLU and no batch normalisation: that would mix windows.
      components: Gaussians per mixture, K.
      mixture: `frame` for a mixture of distributions of the whole frame, `bin` for one of each mel band.
      ordering: `past_to_future`, `future_to_past`, `middle_last` (the sides first, from past to future), or `mean`.
      score: `conditional` or `joint`.
      kernel_initializer: As Keras names it.

    Raises:
      ValueError: If an argument is out of range, or `frames` does not divide `input_dim`.
    """

    takes_loss = False
    divides_batches = True

    def __init__(
        self,
        input_dim: int = 640,
        frames: int = 5,
        hidden: Sequence[int] = (512, 512),
        components: int = 3,
        mixture: Mixture = "frame",
        ordering: Ordering = "past_to_future",
        score: Score = "conditional",
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if frames < 2 or input_dim % frames:
            raise ValueError(
                "Expected two frames or more, and input_dim to be a multiple of frames. "
                f"Received: frames={frames}, input_dim={input_dim}."
            )
        if components < 1 or not hidden:
            raise ValueError(f"Expected a component and a hidden layer. Received: {components} and {list(hidden)}.")
        refuse_unknown("mixture", mixture, Mixture)
        refuse_unknown("ordering", ordering, Ordering)
        refuse_unknown("score", score, Score)
        self.input_dim, self.frames, self.n_mels = input_dim, frames, input_dim // frames
        self.hidden, self.components, self.mixture = list(hidden), components, mixture
        self.ordering, self.score = ordering, score
        self.kernel_initializer = kernel_initializer
        self.loss_mean = LossMean(name="loss")
        chosen = [name for name in get_args(Ordering) if name != "mean"] if ordering == "mean" else [ordering]
        self._positions = [positions(name, frames) for name in chosen]
        self.conditionals = [
            self._make_network(order, name) for order, name in zip(self._positions, chosen, strict=True)
        ]
        self.built = True

    def log_likelihoods(self, windows: tf.Tensor) -> list[tf.Tensor]:
        """Log-densities of the frames given those before them, `[batch, frames]` in order of time, per ordering."""
        windows = as_float32(windows)
        frames = tf.reshape(windows, [-1, self.frames, 1, self.n_mels])
        likelihoods = []
        for network in self.conditionals:
            means, log_scales, log_weights = self._distribution(network, windows)
            z_scores = (frames - means) * tf.exp(-log_scales)
            of_bins = -0.5 * tf.square(z_scores) - log_scales - 0.5 * math.log(2 * math.pi)  # [batch, frames, K, mels]
            if self.mixture == "frame":
                of_bins = tf.reduce_sum(of_bins, axis=-1, keepdims=True)
            likelihoods.append(tf.reduce_sum(tf.reduce_logsumexp(log_weights + of_bins, axis=2), axis=-1))
        return likelihoods

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        """`[batch, dims]` → the windows with the last frame of each ordering predicted, `[batch, dims]`."""
        windows = as_float32(windows)
        frames = tf.unstack(tf.reshape(windows, [-1, self.frames, self.n_mels]), axis=1)
        for network, order in zip(self.conditionals, self._positions, strict=True):
            means, _, log_weights = self._distribution(network, windows)
            last = order.index(self.frames - 1)
            frames[last] = tf.reduce_sum(tf.exp(log_weights[:, last]) * means[:, last], axis=1)
        return tf.concat(frames, axis=-1)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch."""
        windows = batch_of(data)
        with tf.GradientTape() as tape:
            loss = self._loss(windows)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self._report(loss, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The loss on one batch."""
        windows = batch_of(data)
        return self._report(self._loss(windows), windows)

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss on one batch, with all weights."""
        return {"loss": (self._loss(as_float32(windows)), self.trainable_variables)}

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Negative log-density of each window's last frame, or of the window, in nats, `[batch]`."""
        scores = []
        for likelihoods, order in zip(self.log_likelihoods(windows), self._positions, strict=True):
            last = order.index(self.frames - 1)
            scores.append(-likelihoods[:, last] if self.score == "conditional" else -tf.reduce_sum(likelihoods, axis=1))
        return tf.reduce_mean(scores, axis=0)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        return super().get_config() | {
            "input_dim": self.input_dim,
            "frames": self.frames,
            "hidden": self.hidden,
            "components": self.components,
            "mixture": self.mixture,
            "ordering": self.ordering,
            "score": self.score,
            "kernel_initializer": self.kernel_initializer,
        }

    def _loss(self, windows: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_mean(tf.reduce_sum(self.log_likelihoods(windows), axis=2)) / self.input_dim

    def _report(self, loss: tf.Tensor, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        self.loss_mean.update_state(loss, sample_weight=tf.shape(windows)[0])
        return {"loss": self.loss_mean.result()}

    def _distribution(self, network: keras.Model, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Means and log-scales `[batch, frames, K, mels]`, log-weights `[batch, frames, K, 1 or mels]`."""
        n_values = self.components * self.n_mels
        outputs = tf.reshape(network(windows), [-1, self.frames, self._outputs_per_frame()])
        shape = [-1, self.frames, self.components, self.n_mels]
        means, log_scales = (
            tf.reshape(outputs[..., n_values * part : n_values * (part + 1)], shape) for part in (0, 1)
        )
        logits = tf.reshape(outputs[..., 2 * n_values :], [-1, self.frames, self.components, self._weights_per_frame()])
        log_weights = tf.nn.log_softmax(logits, axis=2) if self.components > 1 else tf.zeros_like(means[..., :1])
        return means, tf.clip_by_value(log_scales, -LARGEST_LOG_SCALE, LARGEST_LOG_SCALE), log_weights

    def _make_network(self, order: Sequence[int], name: str) -> keras.Sequential:
        """Network of one ordering, `[batch, dims]` → `[batch, frames * outputs per frame]`."""
        degrees = np.repeat(order, self.n_mels).tolist()
        network = [keras.layers.Input([self.input_dim])]
        for units in self.hidden:
            # The frame that comes last is seen by none, so degrees end before it.
            hidden = [number % (self.frames - 1) for number in range(units)]
            network.append(MaskedDense(degrees, hidden, activation="relu", kernel_initializer=self.kernel_initializer))
            degrees = hidden
        outputs = np.repeat(order, self._outputs_per_frame()).tolist()
        network.append(MaskedDense(degrees, outputs, strict=True, kernel_initializer=self.kernel_initializer))
        return keras.Sequential(network, name=name)

    def _weights_per_frame(self) -> int:
        """Mixture weights per component of a frame."""
        return self.n_mels if self.mixture == "bin" else 1

    def _outputs_per_frame(self) -> int:
        """Means, log-scales and, of several components, logits of the weights."""
        n_logits = self.components * self._weights_per_frame() if self.components > 1 else 0
        return 2 * self.components * self.n_mels + n_logits


def positions(ordering: str, frames: int) -> list[int]:
    """Position of each frame, in order of time, in an ordering.

    >>> positions("past_to_future", 3), positions("future_to_past", 3), positions("middle_last", 5)
    ([0, 1, 2], [2, 1, 0], [0, 1, 4, 2, 3])
    """
    times = list(range(frames))
    if ordering == "future_to_past":
        times.reverse()
    elif ordering == "middle_last":
        times.append(times.pop(frames // 2))
    return [times.index(frame) for frame in range(frames)]
