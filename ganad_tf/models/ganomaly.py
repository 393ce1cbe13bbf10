"""GANomaly: a generator that encodes, decodes and encodes again, against a discriminator."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from ganad_tf.models.adversarial import RESET_BELOW, TwoOptimizers, bce, start_afresh, total, update_means
from ganad_tf.models.detector import LossMean, as_float32, batch_of
from ganad_tf.models.networks import dense_blocks

LOSSES = ("loss", "adversarial_loss", "contextual_loss", "encoder_loss", "discriminator_loss")


@keras.saving.register_keras_serializable(package="ganad_tf")
class GANomaly(TwoOptimizers):
    """Normal windows come back with the latent code they went in with; others don't.

    Akcay et al. 2018 (arXiv 1805.06725), section 3, with the dense networks of de Oliveira Neto et
    al. 2024, section 3.2.2. Encoder E1, decoder, encoder E2: x → z → x' → z'. Discriminator D; f is
    what D's last hidden block puts out. Means are over windows and dims.

        L_adv = mean (f(x) - f(x'))^2              (Akcay Eq. 1; or `bce`: BCE(D(x'), 1), the paper's Eq. 5)
        L_con = mean |x - x'|                      (Akcay Eq. 2)
        L_enc = mean (z - z')^2                    (Akcay Eq. 3)
        L_G   = w_adv L_adv + w_con L_con + w_enc L_enc        (Akcay Eq. 4)
        L_D   = (BCE(D(x), 1) + BCE(D(x'), 0)) / 2, no gradient into x'
        score = mean (z - z')^2 per window         (authors' code; Akcay Eq. 5 writes a 1-norm)

    The paper's text also describes the distance between input and reconstruction: `score` selects
    `latent` (default), `reconstruction`, mean (x - x')^2, or `combined`, the sum of both.

    Both networks look at the batch once, then the generator steps, then the discriminator, on what it
    said before the generator's step. A discriminator whose loss falls below 1e-5 is initialised
    afresh; `discriminator_resets` counts these.

    Where we differ from the authors' code: dense blocks with ReLU in place of convolutions with leaky
    ReLU; D looks at x and x' once per step where theirs looks twice, with the same result but for the
    pace of its batch-norm averages; a reset draws from `kernel_initializer`, where theirs draws
    N(0, 0.02); clip scores are not min-max scaled over the test set. The paper calls D a "decoder",
    which can't classify a window; ours is shaped like the encoder.

    Args:
      input_dim: Length of a window.
      hidden: Units of the encoders' blocks; mirrored in the decoder.
      latent: Units of z.
      w_adv, w_con, w_enc: Loss weights.
      adv_loss: `feature_matching` or `bce`.
      score: `latent`, `reconstruction` or `combined`.
      dropout: Share of units dropped after each block while training.
      kernel_initializer: As Keras names it.
      seed: Of the re-initialised discriminators.

    Raises:
      ValueError: If `adv_loss` or `score` is not one of the above, there is no hidden layer, or `dropout` is
        out of range.
    """

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_enc: float = 1.0,
        adv_loss: Literal["feature_matching", "bce"] = "feature_matching",
        score: Literal["latent", "reconstruction", "combined"] = "latent",
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if adv_loss not in ("feature_matching", "bce"):
            raise ValueError(f"Expected adv_loss `feature_matching` or `bce`. Received: {adv_loss!r}.")
        if score not in ("latent", "reconstruction", "combined"):
            raise ValueError(f"Expected score `latent`, `reconstruction` or `combined`. Received: {score!r}.")
        if not hidden:
            raise ValueError("Expected at least one hidden layer. Received: none.")
        self.input_dim = input_dim
        self.hidden = list(hidden)
        self.latent = latent
        self.w_adv, self.w_con, self.w_enc = w_adv, w_con, w_enc
        self.adv_loss = adv_loss
        self.score = score
        self.dropout = dropout
        self.kernel_initializer = kernel_initializer
        self.seed = seed

        shape: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        self.encoder = dense_blocks(input_dim, self.hidden, latent, name="encoder", **shape)
        self.decoder = dense_blocks(latent, self.hidden[::-1], input_dim, name="decoder", **shape)
        self.second_encoder = dense_blocks(input_dim, self.hidden, latent, name="second_encoder", **shape)
        self.discriminator_features = dense_blocks(input_dim, self.hidden, name="discriminator_features", **shape)
        self.discriminator_logit = dense_blocks(
            self.hidden[-1], [], 1, kernel_initializer=kernel_initializer, name="discriminator_logit"
        )
        self.discriminator_resets = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="discriminator_resets"
        )
        self.reset_seeds = keras.random.SeedGenerator(seed)
        self.loss_means = {name: LossMean(name=name) for name in LOSSES}
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """What the generator's step moves."""
        networks = (self.encoder, self.decoder, self.second_encoder)
        return [variable for network in networks for variable in network.trainable_variables]

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """What the discriminator's step moves."""
        return self.discriminator_features.trainable_variables + self.discriminator_logit.trainable_variables

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.decoder(self.encoder(as_float32(windows), training=training), training=training)

    def losses_of(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss on one batch, by the names in the class's docstring."""
        windows = as_float32(windows)
        z = self.encoder(windows, training=training)  # [batch, latent]
        reconstruction = self.decoder(z, training=training)  # [batch, dims]
        second_z = self.second_encoder(reconstruction, training=training)  # [batch, latent]
        real_features = self.discriminator_features(windows, training=training)  # [batch, hidden[-1]]
        fake_features = self.discriminator_features(reconstruction, training=training)
        real_logit = self.discriminator_logit(real_features, training=training)  # [batch, 1]
        fake_logit = self.discriminator_logit(fake_features, training=training)

        if self.adv_loss == "bce":
            adversarial = bce(fake_logit, 1.0)
        else:
            adversarial = tf.reduce_mean(tf.square(real_features - fake_features))
        contextual = tf.reduce_mean(tf.abs(windows - reconstruction))
        encoder = tf.reduce_mean(tf.square(z - second_z))
        return {
            "loss": total(self.w_adv * adversarial, self.w_con * contextual, self.w_enc * encoder),
            "adversarial_loss": adversarial,
            "contextual_loss": contextual,
            "encoder_loss": encoder,
            "discriminator_loss": (bce(real_logit, 1.0) + bce(fake_logit, 0.0)) / 2,
        }

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Forward both, step the generator, step the discriminator, reset it if it has won."""
        windows = batch_of(data)
        self.follow_learning_rate()
        generator, discriminator = self.generator_variables, self.discriminator_variables
        with tf.GradientTape(persistent=True) as tape:
            losses = self.losses_of(windows, training=True)
        # Each gradient is taken for one side's variables alone, so x' is a constant to the discriminator.
        generator_gradients = tape.gradient(losses["loss"], generator)
        discriminator_gradients = tape.gradient(losses["discriminator_loss"], discriminator)
        self.optimizer.apply(generator_gradients, generator)
        self.discriminator_optimizer.apply(discriminator_gradients, discriminator)
        tf.cond(losses["discriminator_loss"] < RESET_BELOW, self._reset_discriminator, lambda: None)
        return update_means(self.loss_means, losses, windows) | {
            "discriminator_resets": tf.cast(self.discriminator_resets, tf.float32)
        }

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Every loss on one batch, networks as in use."""
        windows = batch_of(data)
        return update_means(self.loss_means, self.losses_of(windows, training=False), windows)

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """The score chosen by `score` for each window, `[batch]`."""
        windows = as_float32(windows)
        z = self.encoder(windows, training=False)
        reconstruction = self.decoder(z, training=False)
        by_input = tf.reduce_mean(tf.square(windows - reconstruction), axis=-1)
        if self.score == "reconstruction":
            return by_input
        by_latent = tf.reduce_mean(tf.square(z - self.second_encoder(reconstruction, training=False)), axis=-1)
        return by_latent if self.score == "latent" else by_latent + by_input

    def latent_of(self, windows: tf.Tensor) -> tf.Tensor:
        """z, the code of each window, `[batch, latent]`."""
        return self.encoder(as_float32(windows), training=False)

    def discriminate(self, windows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Logits of windows and of their reconstructions, `[batch, 1]` each."""
        windows = as_float32(windows)
        pair = (windows, self(windows, training=False))
        features = [self.discriminator_features(one, training=False) for one in pair]
        real_logit, fake_logit = (self.discriminator_logit(one, training=False) for one in features)
        return real_logit, fake_logit

    def objectives(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """Each side's loss and weights."""
        losses = self.losses_of(windows, training=False)
        return {
            "generator": (losses["loss"], self.generator_variables),
            "discriminator": (losses["discriminator_loss"], self.discriminator_variables),
        }

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = (
            "input_dim",
            "hidden",
            "latent",
            "w_adv",
            "w_con",
            "w_enc",
            "adv_loss",
            "score",
            "dropout",
            "kernel_initializer",
            "seed",
        )
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _reset_discriminator(self) -> None:
        self.discriminator_resets.assign_add(1)
        networks = (self.discriminator_features, self.discriminator_logit)
        start_afresh(networks, self.kernel_initializer, self.reset_seeds)
