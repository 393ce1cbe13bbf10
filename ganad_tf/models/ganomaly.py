"""GANomaly: a generator that encodes, decodes and encodes again, against a discriminator."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf

from ganad_tf.models.adversarial import (
    RESET_DISCRIMINATOR_BELOW,
    ReconstructionGAN,
    bce,
    over_devices,
    total,
    update_means,
)
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.networks import dense_blocks

LOSSES = ("loss", "adversarial_loss", "contextual_loss", "encoder_loss", "discriminator_loss")


@keras.saving.register_keras_serializable(package="ganad_tf")
class GANomaly(ReconstructionGAN):
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
    said before the generator's step. A discriminator whose loss falls below 1e-5 is re-initialised;
    `discriminator_resets` counts these.

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

    divides_batches = True

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
        common: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(LOSSES, input_dim=input_dim, hidden=hidden, latent=latent, seed=seed, **common, **kwargs)
        if adv_loss not in ("feature_matching", "bce"):
            raise ValueError(f"Expected adv_loss `feature_matching` or `bce`. Received: {adv_loss!r}.")
        if score not in ("latent", "reconstruction", "combined"):
            raise ValueError(f"Expected score `latent`, `reconstruction` or `combined`. Received: {score!r}.")
        self.w_adv, self.w_con, self.w_enc = w_adv, w_con, w_enc
        self.adv_loss = adv_loss
        self.score = score

        self.encoder = dense_blocks(input_dim, self.hidden, latent, name="encoder", **common)
        self.decoder = dense_blocks(latent, self.hidden[::-1], input_dim, name="decoder", **common)
        self.second_encoder = dense_blocks(input_dim, self.hidden, latent, name="second_encoder", **common)
        self.discriminator_features = dense_blocks(input_dim, self.hidden, name="discriminator_features", **common)
        self.discriminator_logit = dense_blocks(
            self.hidden[-1], [], 1, kernel_initializer=kernel_initializer, name="discriminator_logit"
        )
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the generator's step."""
        networks = (self.encoder, self.decoder, self.second_encoder)
        return [variable for network in networks for variable in network.trainable_variables]

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`."""
        return self.decoder(self.encoder(as_float32(windows), training=training), training=training)

    def compute_losses(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
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
        """Runs both networks, steps the generator, then the discriminator, and re-initialises one that has won."""
        windows = batch_of(data)
        self.follow_learning_rate()
        generator, discriminator = self.generator_variables, self.discriminator_variables
        with tf.GradientTape(persistent=True) as tape:
            losses = self.compute_losses(windows, training=True)
        # Each gradient is taken for one side's variables alone, so x' is a constant to the discriminator.
        generator_gradients = tape.gradient(losses["loss"], generator)
        discriminator_gradients = tape.gradient(losses["discriminator_loss"], discriminator)
        self.optimizer.apply(generator_gradients, generator)
        self.discriminator_optimizer.apply(discriminator_gradients, discriminator)
        has_won = over_devices(losses["discriminator_loss"]) < RESET_DISCRIMINATOR_BELOW
        tf.cond(has_won, self._reset_discriminator, lambda: None)
        return update_means(self.loss_means, losses, windows) | {
            "discriminator_resets": tf.cast(self.discriminator_resets, tf.float32)
        }

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Yields each network when it has run in training mode, the discriminator once per side."""
        z = self.encoder(windows, training=True)
        yield self.encoder
        reconstruction = self.decoder(z, training=True)
        yield self.decoder
        self.second_encoder(reconstruction, training=True)
        yield self.second_encoder
        for side in (windows, reconstruction):
            self.discriminator_features(side, training=True)
            yield self.discriminator_features

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

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """z, the code of each window, `[batch, latent]`."""
        return self.encoder(as_float32(windows), training=False)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("w_adv", "w_con", "w_enc", "adv_loss", "score")
        return super().get_config() | {name: getattr(self, name) for name in names}
