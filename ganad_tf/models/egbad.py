"""EGBAD: a bidirectional GAN whose encoder makes reconstruction possible without a search."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import TwoOptimizers, bce, update_means
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.dropout import Dropout
from ganad_tf.models.networks import dense_blocks

LARGEST_INITIAL_SHARE = 0.135  # of a usable average, e^-2: 2000 steps with 0.999, 20 000 with 0.9999
LOSSES = ("loss", "generator_loss", "encoder_loss", "discriminator_loss")


@keras.saving.register_keras_serializable(package="ganad_tf")
class EGBAD(TwoOptimizers):
    """A discriminator learns pairs of window and code; encoder and generator learn to be each other's inverse.

    Zenati et al. 2018 (arXiv 1802.06222), section 3, a BiGAN (Donahue et al. 2016), with the dense
    networks of de Oliveira Neto et al. 2024, section 3.2.1. Encoder E: x → z; generator G: z → x with
    z ~ N(0, I); discriminator D(x, z), f its last hidden layer. ||.||_1 sums over dims.

        L_D   = BCE(D(x, E(x)), 1) + BCE(D(G(z), z), 0)        (Zenati Eq. 1, the discriminator's side)
        L_G   = BCE(D(G(z), z), 1)
        L_E   = BCE(D(x, E(x)), 0)
        loss  = L_G + L_E, which is what the second step moves G and E by
        score = 0.9 ||x - G(E(x))||_1 + 0.1 ||f(x, E(x)) - f(G(E(x)), E(x))||_1 per window     (section 3)

    `score: cross_entropy` takes BCE(D(x, E(x)), 1) in place of the features' distance, as the paper
    also does. One step of D, then one of G and E, on another batch: `fit` with pairs of independently
    shuffled batches as its x, `((windows, others),)`; with single batches both steps see the same one. An
    exponential moving average of all weights is what reconstructs and scores; the losses are those of
    the weights being trained.

    Their code averages with 0.9999 per step for vectors, in dense networks, and with 0.999 for images. The default here
    is 0.999: the initial weights' share in the average after n steps is average^n, which for 0.9999 stays above an
    eighth in the first 20 000 steps, more than a training of a few hundred clips has.

    Where we differ from the authors' code: dense blocks with ReLU in E and G in place of convolutions;
    D sees window and code side by side from its first layer.

    Args:
      input_dim: Length of a window.
      hidden: Units of E's blocks, mirrored in G, and of D's hidden layers.
      latent: Units of z.
      score: `feature_matching` or `cross_entropy`.
      average: Decay of the moving average per step, from 0 to below 1.
      discriminator_dropout: Share of units dropped after each hidden layer of D while training.
      dropout: Share of units dropped after each block of E and G while training.
      kernel_initializer: As Keras names it.
      seed: Of the random codes.

    Raises:
      ValueError: If `score` is not one of the above, there is no hidden layer, or `average` or `dropout` is out of
        range.
    """

    takes_pairs = True

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        score: Literal["feature_matching", "cross_entropy"] = "feature_matching",
        average: float = 0.999,
        discriminator_dropout: float = 0.2,
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        common: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(LOSSES, input_dim=input_dim, hidden=hidden, latent=latent, seed=seed, **common, **kwargs)
        if score not in ("feature_matching", "cross_entropy"):
            raise ValueError(f"Expected score `feature_matching` or `cross_entropy`. Received: {score!r}.")
        if not 0 <= average < 1:
            raise ValueError(f"Expected average from 0 to below 1. Received: {average!r}.")
        self.score = score
        self.average = average
        self.discriminator_dropout = discriminator_dropout

        self.networks = self._networks("")
        self.averaged = self._networks("averaged_")
        for mine, theirs in zip(self._weights(self.averaged), self._weights(self.networks), strict=True):
            mine.assign(theirs)
        self.codes = keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the second step: generator and encoder."""
        return self.networks["generator"].trainable_variables + self.networks["encoder"].trainable_variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of the first step."""
        networks = ("discriminator_features", "discriminator_logit")
        return [variable for name in networks for variable in self.networks[name].trainable_variables]

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`, by the averaged weights."""
        del training  # the average is only ever used, never trained
        return self.averaged["generator"](self.encode(windows), training=False)

    def compute_losses(self, windows: tf.Tensor, training: bool, z: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        """Every loss on one batch and its random codes, by the names in the class's docstring.

        Args:
          windows: `[batch, dims]`.
          training: Whether networks are in training mode.
          z: Random codes `[batch, latent]`; None for codes that are the same every time.
        """
        windows = as_float32(windows)
        z = self._same_codes(windows) if z is None else z
        real_logit, fake_logit = self._logits(windows, z, training)
        generator, encoder = bce(fake_logit, 1.0), bce(real_logit, 0.0)
        return {
            "loss": generator + encoder,
            "generator_loss": generator,
            "encoder_loss": encoder,
            "discriminator_loss": bce(real_logit, 1.0) + bce(fake_logit, 0.0),
        }

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Steps the discriminator, then generator and encoder on the other batch, then the average."""
        windows, others = self._pair(data)
        self.follow_learning_rate()
        with tf.GradientTape() as tape:
            first = self.compute_losses(windows, training=True, z=self._draw(windows))
        variables = self.discriminator_variables
        self.discriminator_optimizer.apply(tape.gradient(first["discriminator_loss"], variables), variables)

        with tf.GradientTape() as tape:
            second = self.compute_losses(others, training=True, z=self._draw(others))
        # G has no part in L_E and E none in L_G, so the sum's gradient is to each its own.
        variables = self.generator_variables
        self.optimizer.apply(tape.gradient(second["loss"], variables), variables)

        for mean, weight in zip(self._weights(self.averaged), self._weights(self.networks), strict=True):
            mean.assign(self.average * mean + (1 - self.average) * weight)
        return update_means(self.loss_means, second | {"discriminator_loss": first["discriminator_loss"]}, windows)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Every loss on one batch, in inference mode, with codes that are the same every time."""
        windows, _ = self._pair(data)
        return super().test_step(windows)

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Yields encoder and generator when they have run in training mode: those being trained, and their average."""
        for networks in (self.networks, self.averaged):
            for name, inputs in (("encoder", windows), ("generator", self._same_codes(windows))):
                networks[name](inputs, training=True)
                yield networks[name]

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """0.9 of the reconstruction's distance and 0.1 of the discriminator's doubt for each window, `[batch]`."""
        windows = as_float32(windows)
        z = self.averaged["encoder"](windows, training=False)
        reconstruction = self.averaged["generator"](z, training=False)
        real_features, logit = self._discriminate(self.averaged, windows, z, training=False)
        by_input = tf.reduce_sum(tf.abs(windows - reconstruction), axis=-1)
        if self.score == "cross_entropy":
            return 0.9 * by_input + 0.1 * tf.nn.softplus(-logit[:, 0])
        fake_features, _ = self._discriminate(self.averaged, reconstruction, z, training=False)
        return 0.9 * by_input + 0.1 * tf.reduce_sum(tf.abs(real_features - fake_features), axis=-1)

    def too_few_steps(self, n_steps: int) -> str | None:
        """Reason why a training is too short for the average to have left the initial weights behind.

        >>> EGBAD(average=0.9999).too_few_steps(5000)
        'its averaged weights are still 61 % the initial ones; train longer, or lower `model.average`'
        >>> EGBAD(average=0.999).too_few_steps(5000)
        """
        share = self.average**n_steps
        if share < LARGEST_INITIAL_SHARE:
            return None
        percent = f"{100 * share:.0f} %"
        return f"its averaged weights are still {percent} the initial ones; train longer, or lower `model.average`"

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """E(x) by the averaged weights, `[batch, latent]`."""
        return self.averaged["encoder"](as_float32(windows), training=False)

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of (x, E(x)) and of (G(z), z), in inference mode, with codes that are the same every time."""
        windows = as_float32(windows)
        return self._logits(windows, self._same_codes(windows), training=False)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("score", "average", "discriminator_dropout")
        return super().get_config() | {name: getattr(self, name) for name in names}

    @staticmethod
    def _pair(data: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Both batches of a step, `[batch, dims]` each: the same one twice unless x is a pair of them."""
        windows = batch_of(data)
        return tuple(windows) if isinstance(windows, tuple | list) else (windows, windows)

    def _networks(self, prefix: str) -> dict[str, keras.Model]:
        shape: dict[str, Any] = {"dropout": self.dropout, "kernel_initializer": self.kernel_initializer}
        features: list[layers.Layer] = [layers.Input([self.input_dim + self.latent])]
        for units in self.hidden:
            dense = layers.Dense(units, kernel_initializer=self.kernel_initializer)
            features += [dense, layers.LeakyReLU(0.1), Dropout(self.discriminator_dropout)]
        return {
            "encoder": dense_blocks(self.input_dim, self.hidden, self.latent, name=f"{prefix}encoder", **shape),
            "generator": dense_blocks(
                self.latent, self.hidden[::-1], self.input_dim, name=f"{prefix}generator", **shape
            ),
            "discriminator_features": keras.Sequential(features, name=f"{prefix}discriminator_features"),
            "discriminator_logit": dense_blocks(
                self.hidden[-1],
                [],
                1,
                kernel_initializer=self.kernel_initializer,
                name=f"{prefix}discriminator_logit",
            ),
        }

    def _logits(self, windows: tf.Tensor, z: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of (x, E(x)) and of (G(z), z) by the D that is being trained, `[batch, 1]` each."""
        encoded = self.networks["encoder"](windows, training=training)  # [batch, latent]
        generated = self.networks["generator"](z, training=training)  # [batch, dims]
        pairs = tf.concat([windows, generated], axis=0), tf.concat([encoded, z], axis=0)
        _, logits = self._discriminate(self.networks, *pairs, training=training)  # at once: nothing in D mixes windows
        real_logit, fake_logit = tf.split(logits, 2)
        return real_logit, fake_logit

    def _discriminate(
        self, networks: dict[str, keras.Model], windows: tf.Tensor, z: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """f(x, z) `[batch, hidden[-1]]` and the logit `[batch, 1]`."""
        features = networks["discriminator_features"](tf.concat([windows, z], axis=-1), training=training)
        return features, networks["discriminator_logit"](features, training=training)

    def _draw(self, windows: tf.Tensor) -> tf.Tensor:
        return keras.random.normal([tf.shape(windows)[0], self.latent], seed=self.codes)

    def _same_codes(self, windows: tf.Tensor) -> tf.Tensor:
        """Random codes `[batch, latent]`, the same every time."""
        return tf.random.stateless_normal([tf.shape(windows)[0], self.latent], seed=[self.seed, 0])

    @staticmethod
    def _weights(networks: dict[str, keras.Model]) -> list[keras.Variable]:
        """Weights of all networks, without the state of dropout's random numbers, which is nothing to average."""
        order = ("encoder", "generator", "discriminator_features", "discriminator_logit")
        return [weight for name in order for weight in networks[name].weights]
