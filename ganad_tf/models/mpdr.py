"""MPDR: an autoencoder's reconstruction error as an energy that is low on windows and high close beside them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import update_means
from ganad_tf.models.detector import LossMean, as_float32, batch_of
from ganad_tf.models.stages import TwoStageDetector

LOSSES = ("loss", "energy", "negative_energy")
LARGEST_COSINE = 1 - 1e-6  # the arccosine's gradient is infinite at 1


class Noise(NamedTuple):
    """Random numbers of one batch of negatives.

    Attributes:
      levels: `[batch, 1]`, sigma.
      codes: `[batch, latent]`, standard normal.
      steps: `[steps, batch, dims]`, standard normal, of the Langevin steps.
    """

    levels: tf.Tensor
    codes: tf.Tensor
    steps: tf.Tensor


@keras.saving.register_keras_serializable(package="ganad_tf")
class MPDR(TwoStageDetector):
    """Manifold projection-diffusion recovery: an energy-based model whose negatives lie close to the normal windows.

    Yoon, Jin, Noh and Park 2023, "Energy-based models for anomaly detection: a manifold diffusion recovery approach"
    (NeurIPS, arXiv 2310.18677), and the configuration `dcase/ae_mpdr/l2ae5_omi0` of the authors' code. The encoder e
    and the decoder d of both autoencoders are dense with leaky ReLU; codes have length 1. Means are over windows.

        E(x)   = mean over dims of (x - d(e(x)))^2
        loss   = mean E(x) + l2 |e|^2                                                     (pre-training)
        loss   = mean E(x) - mean E(x-) + w_negative mean E(x-)^2 + l2 |e|^2              (energy stage)
        score  = E(x) per window

    where |e|^2 is the sum of squares of the encoder's weights. A negative x- is found with the projecting autoencoder
    e', d', which is a copy of the pre-trained one and is not trained further:

        sigma  ~ U(noise);  z = normalised(e'(x) + sigma n);  x- = d'(z)                  (projection-diffusion)
        x-     <- x- - step_size gradient of (E(x-) + recovery arccos(e'(x-) . z)^2 / (2 sigma^2)) + step_noise n

    with n ~ N(0, I), the second line `steps` times (Langevin dynamics of the recovery likelihood).

    One `fit` has both stages: pre-training for a share of its epochs, then the energy stage; each has at least one
    epoch, but that a single epoch is one of pre-training. `is_pretrained` is saved with the weights, so a detector that
    is fitted again goes on with its energy stage. Losses have the same names in both stages, and `negative_energy` is 0
    in pre-training. `loss` differs between the stages, so early stopping waits for the second (`warm_up`). The losses
    of validation are those of noise that is the same every time.

    The energy, its negatives, their numbers and 50 epochs before 12 are the authors'. Our choice: `hidden`, which is
    1024, 1024 in theirs; one optimizer for both stages, which keeps its memory, where theirs begins anew with the tenth
    of the learning rate; Glorot's initial weights; no stop where negative energies diverge, and no choice of the epoch.

    Args:
      input_dim: Length of a window.
      hidden: Units of the encoders' hidden layers; mirrored in the decoders.
      latent: Length of a code.
      pretraining_share: Share of the epochs, between 0 and 1.
      energy_rate: Factor of the optimizer's learning rate when the energy stage begins; a schedule keeps its own.
      noise: Least and largest sigma, above 0.
      steps: Langevin steps.
      step_size: Factor of the gradient in a step.
      step_noise: Standard deviation of a step's noise.
      recovery: Weight of the angle to the code that a negative began at.
      w_negative: Weight of the squared energy of negatives, without which it would grow without bound.
      l2: Weight of the encoder's weights.
      kernel_initializer: As Keras names it.
      seed: Of the noise.

    Raises:
      ValueError: If an argument is out of range.

    >>> detector = MPDR(hidden=[1024, 1024])
    >>> detector.encoder.count_params(), detector.decoder.count_params()
    (1738784, 1739392)
    """

    takes_loss = False

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (256, 256),
        latent: int = 32,
        pretraining_share: float = 0.8,
        energy_rate: float = 0.1,
        noise: Sequence[float] = (0.05, 0.3),
        steps: int = 5,
        step_size: float = 10.0,
        step_noise: float = 0.005,
        recovery: float = 1e-4,
        w_negative: float = 1.0,
        l2: float = 1e-5,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not hidden or steps < 0:
            raise ValueError(f"Expected a hidden layer and no negative number of steps. Received: {hidden}, {steps}.")
        if not 0 < pretraining_share < 1:
            raise ValueError(f"Expected pretraining_share between 0 and 1. Received: {pretraining_share!r}.")
        if len(noise) != 2 or not 0 < noise[0] <= noise[1]:
            raise ValueError(f"Expected noise to be two levels above 0, the least first. Received: {list(noise)}.")
        self.input_dim, self.hidden, self.latent = input_dim, list(hidden), latent
        self.pretraining_share, self.energy_rate = pretraining_share, energy_rate
        self.noise, self.steps, self.step_size, self.step_noise = list(noise), steps, step_size, step_noise
        self.recovery, self.w_negative, self.l2 = recovery, w_negative, l2
        self.kernel_initializer, self.seed = kernel_initializer, seed

        self.loss_means = {name: LossMean(name=name) for name in LOSSES}
        self.encoder, self.decoder = self._make_encoder("encoder"), self._make_decoder("decoder")
        self.projecting_encoder = self._make_encoder("projecting_encoder")
        self.projecting_decoder = self._make_decoder("projecting_decoder")
        self.projecting_encoder.trainable = self.projecting_decoder.trainable = False
        self.is_pretrained = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="is_pretrained"
        )
        self.built = True

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        """`[batch, dims]` → reconstruction by the energy's autoencoder, `[batch, dims]`."""
        return self.decoder(self.encode(windows))

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """Codes of length 1 by the energy's encoder, `[batch, latent]`."""
        return self.encoder(as_float32(windows))

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """Energy of each window, its mean squared error: `[batch]`."""
        return tf.reduce_mean(tf.square(self.residual(windows)), axis=-1)

    def project_and_diffuse(self, windows: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Codes of windows `[batch, dims]` by the projecting encoder, moved on the unit sphere, `[batch, latent]`."""
        return tf.math.l2_normalize(self.projecting_encoder(windows) + noise.levels * noise.codes, axis=-1)

    def langevin_step(self, negatives: tf.Tensor, codes: tf.Tensor, levels: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Moves negatives downhill in the energy and towards the codes that they began at, and adds noise.

        Args:
          negatives: `[batch, dims]`.
          codes: `[batch, latent]`, of length 1.
          levels: `[batch, 1]`, sigma.
          noise: `[batch, dims]`, standard normal.

        Returns:
          `[batch, dims]`.
        """
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(negatives)
            cosines = tf.reduce_sum(self.projecting_encoder(negatives) * codes, axis=-1, keepdims=True)
            angles = tf.acos(tf.clip_by_value(cosines, -LARGEST_COSINE, LARGEST_COSINE))
            distances = tf.square(angles / levels)[:, 0] / 2
            objective = self.anomaly_score(negatives) + self.recovery * distances
        return negatives - self.step_size * tape.gradient(objective, negatives) + self.step_noise * noise

    def negatives(self, windows: tf.Tensor, noise: Noise) -> tf.Tensor:
        """Windows x- beside those of a batch, `[batch, dims]` → `[batch, dims]`, no gradient into them."""
        codes = self.project_and_diffuse(windows, noise)
        negatives = self.projecting_decoder(codes)
        for of_step in tf.unstack(noise.steps, num=self.steps):
            negatives = self.langevin_step(negatives, codes, noise.levels, of_step)
        return tf.stop_gradient(negatives)

    def compute_losses(self, windows: tf.Tensor, negatives: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Every loss on one batch, by the names in the class's docstring: scalars, float32.

        Args:
          windows: `[batch, dims]`.
          negatives: `[batch, dims]` for the energy stage; None for pre-training.
        """
        energy = tf.reduce_mean(self.anomaly_score(windows))
        loss = energy + self.l2 * tf.reduce_sum([tf.reduce_sum(tf.square(weight)) for weight in self.encoder.weights])
        if negatives is None:
            return {"loss": loss, "energy": energy, "negative_energy": tf.zeros([])}
        energies = self.anomaly_score(negatives)
        negative_energy = tf.reduce_mean(energies)
        loss += self.w_negative * tf.reduce_mean(tf.square(energies)) - negative_energy
        return {"loss": loss, "energy": energy, "negative_energy": negative_energy}

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on one batch, by the loss of the stage."""
        windows = batch_of(data)
        losses, gradients = tf.cond(
            self.is_pretrained > 0,
            lambda: self._differentiated(
                windows, self.negatives(windows, self._draw(windows, self.optimizer.iterations))
            ),
            lambda: self._differentiated(windows, None),
        )
        self.optimizer.apply(gradients, self.trainable_variables)
        return update_means(self.loss_means, losses, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Every loss on one batch, with noise that is the same every time."""
        windows = batch_of(data)
        return update_means(self.loss_means, self._repeatable_losses(windows), windows)

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The loss on one batch, with noise that is the same every time, with the weights that it moves."""
        return {"loss": (self._repeatable_losses(as_float32(windows))["loss"], self.trainable_variables)}

    def warm_up(self, epochs: int) -> int:
        """Epochs of pre-training among all epochs of a training.

        >>> [MPDR().warm_up(epochs) for epochs in (1, 2, 3, 10)]
        [1, 1, 2, 8]
        """
        return max(1, min(round(self.pretraining_share * epochs), epochs - 1))

    def begin_stage(self, *, is_first: bool) -> None:
        """Ends pre-training when its epochs are over."""
        if not is_first:
            self.begin_energy_stage()

    def begin_energy_stage(self) -> None:
        """Ends pre-training: makes the projecting autoencoder a copy, and lowers the learning rate. Once."""
        if int(self.is_pretrained):
            return
        self.projecting_encoder.set_weights(self.encoder.get_weights())
        self.projecting_decoder.set_weights(self.decoder.get_weights())
        self.is_pretrained.assign(1)
        rate = self.optimizer.learning_rate
        if isinstance(rate, keras.Variable):
            self.optimizer.learning_rate = self.energy_rate * float(rate)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        sizes = ("input_dim", "hidden", "latent", "pretraining_share", "energy_rate", "kernel_initializer", "seed")
        of_negatives = ("noise", "steps", "step_size", "step_noise", "recovery", "w_negative", "l2")
        return super().get_config() | {name: getattr(self, name) for name in sizes + of_negatives}

    def _differentiated(
        self, windows: tf.Tensor, negatives: tf.Tensor | None
    ) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        """Losses and the gradients of `loss`."""
        with tf.GradientTape() as tape:
            losses = self.compute_losses(windows, negatives)
        return losses, tape.gradient(losses["loss"], self.trainable_variables)

    def _repeatable_losses(self, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        return tf.cond(
            self.is_pretrained > 0,
            lambda: self.compute_losses(windows, self.negatives(windows, self._draw(windows, 0))),
            lambda: self.compute_losses(windows),
        )

    def _draw(self, windows: tf.Tensor, step: Any) -> Noise:
        """Noise of a step, which follows from the seed and the step's number: nothing else is to be saved."""
        first = 3 * tf.cast(step, tf.int64)
        of_levels, of_codes, of_steps = (
            tf.stack([tf.constant(self.seed, tf.int64), first + part]) for part in range(3)
        )
        batch = tf.shape(windows)[0]
        return Noise(
            tf.random.stateless_uniform([batch, 1], of_levels, *self.noise),
            tf.random.stateless_normal([batch, self.latent], of_codes),
            tf.random.stateless_normal([self.steps, batch, self.input_dim], of_steps),
        )

    def _make_encoder(self, name: str) -> keras.Sequential:
        network = self._dense(self.input_dim, self.hidden, self.latent)
        return keras.Sequential([*network, layers.UnitNormalization()], name=name)

    def _make_decoder(self, name: str) -> keras.Sequential:
        return keras.Sequential(self._dense(self.latent, self.hidden[::-1], self.input_dim), name=name)

    def _dense(self, input_dim: int, widths: Sequence[int], output_dim: int) -> list[layers.Layer]:
        """Layers with leaky ReLU, and a linear one at the end."""
        stack: list[layers.Layer] = [layers.Input([input_dim])]
        for units in widths:
            stack += [layers.Dense(units, kernel_initializer=self.kernel_initializer), layers.LeakyReLU(0.2)]
        return [*stack, layers.Dense(output_dim, kernel_initializer=self.kernel_initializer)]
