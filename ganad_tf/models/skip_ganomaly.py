"""Skip-GANomaly: a generator with skip connections, and a discriminator that also says what differs."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from ganad_tf.models.adversarial import RESET_DISCRIMINATOR_BELOW, over_devices, update_means
from ganad_tf.models.detector import batch_of
from ganad_tf.models.networks import dense_blocks, dense_u_net
from ganad_tf.models.skip_gan import SkipGAN


@keras.saving.register_keras_serializable(package="ganad_tf")
class SkipGANomaly(SkipGAN):
    """Normal windows come back as they are, to the eye of a discriminator as well; others don't.

    Akcay et al. 2019 (arXiv 1901.08954), section 3, with the dense networks of de Oliveira Neto et al.
    2024, section 3.2.3. Generator x → x', a U-Net whose encoder blocks are handed to the decoder blocks
    of the same width; discriminator D, shaped like the encoder down to a block of `latent` units, f,
    and one logit. Means are over windows and dims.

        L_adv = BCE(D(x'), 1)                      (Akcay Eq. 1, the generator's side of it)
        L_con = mean |x - x'|                      (Akcay Eq. 2)
        L_lat = mean (f(x) - f(x'))^2              (Akcay Eq. 3)
        L_G   = w_adv L_adv + w_con L_con + w_lat L_lat        (Akcay Eq. 4)
        L_D   = BCE(D(x), 1) + BCE(D(x'), 0), no gradient into x'
        score = 0.9 mean (x - x')^2 + 0.1 mean (f(x) - f(x'))^2 per window       (Akcay Eq. 5)

    Both networks look at the batch once, then the generator steps, then the discriminator, on what it
    said before the generator's step. A discriminator whose loss falls below 1e-5 is re-initialised;
    `discriminator_resets` counts these.

    The input noise that the authors' code declares is never drawn there, so there is none here. Where we differ from
    that code: it adds w_lat L_lat to L_D too, with the sign that it has in L_G, which its users dispute
    (`discriminator_latent_loss`, off by default); dense blocks with ReLU in place of convolutions with leaky ReLU; no
    skip from the input itself; a reset draws from `kernel_initializer`; clip scores are not min-max scaled over the
    test set.

    Args:
      input_dim: Length of a window.
      hidden: Units of the generator's encoder blocks, mirrored in its decoder, and of D's blocks.
      latent: Units of the generator's middle and of f.
      w_adv, w_con, w_lat: Loss weights.
      discriminator_latent_loss: Whether L_D has the latent loss too.
      dropout: Share of units dropped after each block while training.
      kernel_initializer: As Keras names it.
      seed: Of the re-initialised discriminators.

    Raises:
      ValueError: If there is no hidden layer, or `dropout` is out of range.
    """

    divides_batches = True

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128, 128),
        latent: int = 8,
        w_adv: float = 1.0,
        w_con: float = 50.0,
        w_lat: float = 1.0,
        discriminator_latent_loss: bool = False,
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        common: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(
            input_dim=input_dim,
            hidden=hidden,
            latent=latent,
            w_adv=w_adv,
            w_con=w_con,
            w_lat=w_lat,
            discriminator_latent_loss=discriminator_latent_loss,
            seed=seed,
            **common,
            **kwargs,
        )

        self.generator = dense_u_net(input_dim, self.hidden, latent, name="generator", **common)
        self.discriminator_features = dense_blocks(
            input_dim, [*self.hidden, latent], name="discriminator_features", **common
        )
        self.discriminator_logit = dense_blocks(
            latent, [], 1, kernel_initializer=kernel_initializer, name="discriminator_logit"
        )
        self.built = True

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
        resets = tf.cast(self.discriminator_resets, tf.float32)
        return update_means(self.loss_means, losses, windows) | {"discriminator_resets": resets}
