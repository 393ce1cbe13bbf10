"""f-AnoGAN: a Wasserstein GAN of normal windows, and an encoder that is trained afterwards to invert its generator."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.adversarial import TwoOptimizers, gradient_penalty, total, update_means
from ganad_tf.models.detector import as_float32, batch_of
from ganad_tf.models.networks import dense_blocks
from ganad_tf.models.refusals import refuse_unknown
from ganad_tf.models.stages import TwoStageDetector

EncoderLoss = Literal["izi_f", "izi", "ziz"]
EncoderOutput = Literal["tanh", "linear"]
Score = Literal["combined", "reconstruction", "feature", "latent"]
LOSSES = ("loss", "reconstruction_loss", "feature_loss", "generator_loss", "discriminator_loss", "gradient_penalty")
ADVERSARIAL_STAGE, ENCODER_STAGE = 1, 2


@keras.saving.register_keras_serializable(package="ganad_tf")
class FAnoGAN(TwoStageDetector, TwoOptimizers):
    """A generator of normal windows, and an encoder whose codes make it generate a given one as well as it can.

    Schlegl et al. 2019, "f-AnoGAN: fast unsupervised anomaly detection with generative adversarial networks" (Medical
    Image Analysis 54). Generator G: z → x with z ~ N(0, I); discriminator D, a critic whose output is no logit, f its
    last hidden layer; encoder E: x → z. Means are over windows and dims.

    Stage 1 is WGAN-GP (Gulrajani et al. 2017, arXiv 1704.00028, Eq. 3), with x^ between x and G(z) at a random place:

        penalty = mean (||gradient of D at x^|| - 1)^2
        L_D     = mean D(G(z)) - mean D(x) + w_gp penalty        in every step
        L_G     = -mean D(G(z))                                  in one of `critic_steps` steps

    Stage 2 trains E; G and D are frozen and in inference mode, and x' = G(E(x)):

        loss    = mean (x - x')^2 + kappa mean (f(x) - f(x'))^2  (encoder_loss: izi_f)
                = mean (x - x')^2                                (encoder_loss: izi)
                = mean (z - E(G(z)))^2, of no window             (encoder_loss: ziz)
        score   = mean (x - x')^2 + kappa mean (f(x) - f(x'))^2 per window             (score: combined)

    `score: reconstruction` and `feature` are its first term and the mean of its second, `latent` is
    mean (E(x) - E(x'))^2, which the authors report beside it.

    `fit` begins every epoch by setting `stage`, a weight: the last `encoder_share` of its epochs, rounded, are those of
    stage 2, also where it goes on from an `initial_epoch`. A step outside of `fit` is one of the stage that is set.
    Losses of the other stage are reported as 0 in training. In validation all are computed, but `loss` says nothing
    before stage 2: give an `EarlyStopping` `start_from_epoch=detector.warm_up(epochs)`, as `ganad train` does.

    Where we differ from the authors' code: dense blocks in place of residual convolutions, with a linear output for
    standardised windows; E's optimizer is by default the generator's twin, where theirs is RMSProp of 5e-5 (an Adam of
    beta_1 0 is RMSProp with corrected averages) and G's and D's an Adam of 1e-4 with beta_1 0 and beta_2 0.9; all steps
    have a batch of their own. `encoder_share` and the sizes, 128 units of z and 64 channels in theirs, are our choice.
    `kappa` 1, `critic_steps` 5, `w_gp` 10 and the tanh after E are theirs.

    Args:
      input_dim: Length of a window.
      hidden: Units of E's blocks, mirrored in G, and of D's layers, which have LayerNorm: BatchNorm would mix windows.
      latent: Units of z.
      encoder_loss: `izi_f`, `izi` or `ziz`.
      encoder_output: `tanh` or `linear`.
      encoder_share: Share of the epochs that train the encoder, from 0 to 1.
      kappa: Weight of the features' distance, in loss and score.
      critic_steps: Steps of D per step of G.
      w_gp: Weight of the gradient penalty.
      score: `combined`, `reconstruction`, `feature` or `latent`.
      dropout: Share of units dropped after each block of E and G while training.
      kernel_initializer: As Keras names it.
      seed: Of the random codes and of the places of x^.

    Attributes:
      stage: 1 or 2, int64.
      draws: How often random numbers were drawn, int64.

    Raises:
      ValueError: If an argument is not one of the above or out of range, or there is no hidden layer.
    """

    def __init__(
        self,
        input_dim: int = 640,
        hidden: Sequence[int] = (128, 128, 128),
        latent: int = 8,
        encoder_loss: EncoderLoss = "izi_f",
        encoder_output: EncoderOutput = "tanh",
        encoder_share: float = 1 / 3,
        kappa: float = 1.0,
        critic_steps: int = 5,
        w_gp: float = 10.0,
        score: Score = "combined",
        dropout: float = 0.0,
        kernel_initializer: str = "glorot_uniform",
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        common: dict[str, Any] = {"dropout": dropout, "kernel_initializer": kernel_initializer}
        super().__init__(LOSSES, input_dim=input_dim, hidden=hidden, latent=latent, seed=seed, **common, **kwargs)
        refuse_unknown("encoder_loss", encoder_loss, EncoderLoss)
        refuse_unknown("encoder_output", encoder_output, EncoderOutput)
        refuse_unknown("score", score, Score)
        if not 0 <= encoder_share <= 1 or critic_steps < 1:
            raise ValueError(
                "Expected encoder_share from 0 to 1, and critic_steps of 1 or more. "
                f"Received: encoder_share={encoder_share}, critic_steps={critic_steps}."
            )
        self.encoder_loss, self.encoder_output, self.encoder_share = encoder_loss, encoder_output, encoder_share
        self.kappa, self.critic_steps, self.w_gp = kappa, critic_steps, w_gp
        self.score = score

        self.generator = dense_blocks(latent, self.hidden[::-1], input_dim, name="generator", **common)
        self.encoder = dense_blocks(input_dim, self.hidden, latent, name="encoder", **common)
        self.discriminator_features, self.discriminator_value = self._make_discriminator()
        state: dict[str, Any] = {"shape": (), "dtype": "int64", "trainable": False}
        self.stage = self.add_weight(initializer="ones", name="stage", **state)
        self.draws = self.add_weight(initializer="zeros", name="draws", **state)  # saved, as no SeedGenerator is
        self.built = True

    @property
    def generator_variables(self) -> list[keras.Variable]:
        """Weights of the generator's step."""
        return self.generator.trainable_variables

    @property
    def discriminator_variables(self) -> list[keras.Variable]:
        """Weights of the discriminator's step."""
        return self.discriminator_features.trainable_variables + self.discriminator_value.trainable_variables

    @property
    def encoder_variables(self) -> list[keras.Variable]:
        """Weights of the encoder's step."""
        return self.encoder.trainable_variables

    def compile(  # type: ignore[override]
        self,
        optimizer: Any = "adam",
        discriminator_optimizer: Any = None,
        encoder_optimizer: Any = None,
        **kwargs: Any,
    ) -> None:
        """As Keras; discriminator and encoder have their own optimizers, by default with the same settings.

        Raises:
          ValueError: For `loss`, `metrics` and their weights, which nothing would look at.
        """
        super().compile(optimizer, discriminator_optimizer, **kwargs)
        self.add_optimizer("encoder_optimizer", encoder_optimizer, self.encoder_variables)

    def warm_up(self, epochs: int) -> int:
        """Epochs of stage 1, of all `epochs` of a training."""
        return round(epochs * (1 - self.encoder_share))

    def begin_stage(self, *, is_first: bool) -> None:
        """Sets the stage."""
        self.stage.assign(ADVERSARIAL_STAGE if is_first else ENCODER_STAGE)

    def call(self, windows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`[batch, dims]` → reconstruction `[batch, dims]`; the generator is always in inference mode."""
        return self.generator(self._codes(as_float32(windows), training), training=False)

    def compute_losses(self, windows: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """Every loss on one batch and codes that are the same every time, by the names in the class's docstring."""
        windows = as_float32(windows)
        z = self._same_codes(windows)
        places = tf.random.stateless_uniform([tf.shape(windows)[0], 1], seed=[self.seed, -1])
        adversarial = self._adversarial_losses(windows, self.generator(z, training=training), places)
        return _reported(adversarial | self._encoder_losses(windows, z, training))

    def losses_and_variables(self, windows: tf.Tensor) -> dict[str, tuple[tf.Tensor, Sequence[keras.Variable]]]:
        """The three optimized losses on one batch, in inference mode, with the variables of their optimizers."""
        losses = self.compute_losses(windows, training=False)
        return {
            "generator": (losses["generator_loss"], self.generator_variables),
            "discriminator": (losses["discriminator_loss"], self.discriminator_variables),
            "encoder": (losses["loss"], self.encoder_variables),
        }

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Steps what the stage trains."""
        windows = batch_of(data)
        self.follow_learning_rate()
        losses = tf.cond(
            tf.equal(self.stage, ADVERSARIAL_STAGE),
            lambda: self._adversarial_step(windows),
            lambda: self._encoder_step(windows),
        )
        return update_means(self.loss_means, losses, windows)

    def run_batch_norm(self, windows: tf.Tensor) -> Iterator[keras.Model]:
        """Yields the encoder. The generator keeps the averages that the encoder has learned to invert it with."""
        if self.encoder_loss == "ziz":
            windows = self.generator(self._same_codes(windows), training=False)
        self.encoder(windows, training=True)
        yield self.encoder

    def anomaly_score(self, windows: tf.Tensor) -> tf.Tensor:
        """The score chosen by `score` for each window, `[batch]`."""
        windows = as_float32(windows)
        z = self._codes(windows, training=False)
        reconstruction = self.generator(z, training=False)
        if self.score == "latent":
            return _distance(z, self._codes(reconstruction, training=False))
        by_input = _distance(windows, reconstruction)
        if self.score == "reconstruction":
            return by_input
        by_features = _distance(self.discriminator_features(windows), self.discriminator_features(reconstruction))
        return by_features if self.score == "feature" else by_input + self.kappa * by_features

    def encode(self, windows: tf.Tensor) -> tf.Tensor:
        """E(x), the code of each window, `[batch, latent]`."""
        return self._codes(as_float32(windows), training=False)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("encoder_loss", "encoder_output", "encoder_share", "kappa", "critic_steps", "w_gp", "score")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _make_discriminator(self) -> tuple[keras.Sequential, keras.Sequential]:
        """f, `[batch, dims]` → `[batch, hidden[-1]]`, and what makes D of it, → `[batch, 1]`."""
        features: list[layers.Layer] = [layers.Input([self.input_dim])]
        for units in self.hidden:
            dense = layers.Dense(units, kernel_initializer=self.kernel_initializer)
            features += [dense, layers.LayerNormalization(), layers.LeakyReLU(0.2)]
        # Without a bias, which would cancel in L_D and move by its rounding.
        value = layers.Dense(1, use_bias=False, kernel_initializer=self.kernel_initializer)
        return (
            keras.Sequential(features, name="discriminator_features"),
            keras.Sequential([layers.Input([self.hidden[-1]]), value], name="discriminator_value"),
        )

    def _adversarial_step(self, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Steps the discriminator, and the generator when it is its turn; G's loss is that before its step."""
        generated = self.generator(self._draw_codes(windows), training=True)
        places = tf.random.stateless_uniform([tf.shape(windows)[0], 1], seed=self._next_seed())
        variables = self.discriminator_variables
        with tf.GradientTape() as tape:
            losses = self._adversarial_losses(windows, generated, places)
        self.discriminator_optimizer.apply(tape.gradient(losses["discriminator_loss"], variables), variables)
        is_turn = tf.equal(self.discriminator_optimizer.iterations % self.critic_steps, 0)
        tf.cond(is_turn, lambda: self._generator_step(windows), lambda: None)
        return _reported(losses)

    def _generator_step(self, windows: tf.Tensor) -> None:
        """Steps the generator on as many new codes as there are windows."""
        variables = self.generator_variables
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self._criticize(self.generator(self._draw_codes(windows), training=True)))
        self.optimizer.apply(tape.gradient(loss, variables), variables)

    def _encoder_step(self, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        variables = self.encoder_variables
        with tf.GradientTape() as tape:
            losses = self._encoder_losses(windows, self._draw_codes(windows), training=True)
        self.encoder_optimizer.apply(tape.gradient(losses["loss"], variables), variables)
        return _reported(losses)

    def _adversarial_losses(self, windows: tf.Tensor, generated: tf.Tensor, places: tf.Tensor) -> dict[str, tf.Tensor]:
        real, fake = tf.split(self._criticize(tf.concat([windows, generated], axis=0)), 2)
        real, fake = tf.reduce_mean(real), tf.reduce_mean(fake)
        penalty = gradient_penalty(self._criticize, windows, generated, places)
        return {
            "generator_loss": -fake,
            "discriminator_loss": total(fake, -real, self.w_gp * penalty),
            "gradient_penalty": penalty,
        }

    def _encoder_losses(self, windows: tf.Tensor, z: tf.Tensor, training: bool) -> dict[str, tf.Tensor]:
        """The encoder's losses; training is E's mode alone."""
        if self.encoder_loss == "ziz":
            generated = self.generator(z, training=False)
            return {"loss": tf.reduce_mean(_distance(z, self._codes(generated, training)))}
        reconstruction = self(windows, training=training)
        features = [self.discriminator_features(one) for one in (windows, reconstruction)]
        by_input, by_features = tf.reduce_mean(_distance(windows, reconstruction)), tf.reduce_mean(_distance(*features))
        loss = by_input + self.kappa * by_features if self.encoder_loss == "izi_f" else by_input
        return {"loss": loss, "reconstruction_loss": by_input, "feature_loss": by_features}

    def _codes(self, windows: tf.Tensor, training: bool) -> tf.Tensor:
        codes = self.encoder(windows, training=training)
        return tf.tanh(codes) if self.encoder_output == "tanh" else codes

    def _criticize(self, windows: tf.Tensor) -> tf.Tensor:
        """D of each window, `[batch, 1]`; greater for what looks normal."""
        return self.discriminator_value(self.discriminator_features(windows))

    def _draw_codes(self, windows: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_normal([tf.shape(windows)[0], self.latent], seed=self._next_seed())

    def _same_codes(self, windows: tf.Tensor) -> tf.Tensor:
        """Random codes `[batch, latent]`, the same every time."""
        return tf.random.stateless_normal([tf.shape(windows)[0], self.latent], seed=[self.seed, 0])

    def _next_seed(self) -> tf.Tensor:
        self.draws.assign_add(1)
        return tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(self.draws)])


def _distance(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of each row, `[batch, n]` → `[batch]`."""
    return tf.reduce_mean(tf.square(one - other), axis=-1)


def _reported(losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Losses by all names, 0 for those that were not computed."""
    return {name: losses.get(name, tf.zeros([])) for name in LOSSES}
