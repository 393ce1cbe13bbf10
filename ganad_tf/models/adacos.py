"""Sub-cluster AdaCos: class probabilities by angles to several fixed centres per class, on a scale that adapts."""

import math
from typing import Any, Literal

import keras
import tensorflow as tf

from ganad_tf.models.refusals import refuse_unknown

Scale = Literal["published", "fixed"]


@keras.saving.register_keras_serializable(package="ganad_tf")
class SubClusterAdaCos(keras.layers.Layer):
    """Class probabilities of embeddings by their angles to random centres, S per class, none of which is trained.

    Wilkinghoff 2021 and 2023 ("Design choices for learning embeddings from auxiliary tasks for domain generalization
    in anomalous sound detection", and the author's code), after AdaCos (Zhang et al. 2019). C classes; theta_j is the
    angle between an embedding and centre j:

        p_c = sum over the centres j of class c of softmax(s cos theta)_j
        s_0 = sqrt 2 log(C S - 1)
        s  <- log(mean over the batch of sum over j of exp(s cos theta_j)) / cos(min(pi / 4, median Theta))

    with Theta the sum of the angles to the centres of the embedding's class, so that with many of them the minimum is
    pi / 4. `scale="published"` updates s so after each training step, by the class with the larger share of a mixture;
    the author's code of 2021 does so before the step's loss, by both. `fixed` leaves s at s_0.

    Args:
      n_classes: C.
      sub_clusters: S.
      scale: `published` or `fixed`.

    Attributes:
      centres: `[C * S, units]`, those of a class one after another; not trained.
      s: The scale, `[]`.

    Raises:
      ValueError: If an argument is out of range.
    """

    def __init__(self, n_classes: int, sub_clusters: int = 16, scale: Scale = "published", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if n_classes < 2 or sub_clusters < 1:
            raise ValueError(
                f"Expected two classes or more, and a positive number of sub_clusters. Received: {n_classes}, "
                f"{sub_clusters}."
            )
        refuse_unknown("scale", scale, Scale)
        self.n_classes, self.sub_clusters, self.scale = n_classes, sub_clusters, scale

    def build(self, input_shape: Any) -> None:
        """Draws the centres."""
        n_centres = self.n_classes * self.sub_clusters
        self.centres = self.add_weight(
            shape=(n_centres, input_shape[-1]), initializer="glorot_uniform", trainable=False, name="centres"
        )
        first = keras.initializers.Constant(math.sqrt(2) * math.log(max(2, n_centres - 1)))
        self.s = self.add_weight(shape=(), initializer=first, trainable=False, name="s")

    def call(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Logarithms of the class probabilities: `[batch, units]` → `[batch, classes]`."""
        by_centre = tf.nn.log_softmax(self.s * self.cosines(embeddings))
        return tf.reduce_logsumexp(self._by_class(by_centre), axis=-1)

    def cosines(self, embeddings: tf.Tensor) -> tf.Tensor:
        """Cosines of the angles to all centres: `[batch, units]` → `[batch, C * S]`."""
        lengths = tf.math.l2_normalize(embeddings, axis=-1)
        return tf.matmul(lengths, tf.math.l2_normalize(self.centres, axis=-1), transpose_b=True)

    def update_scale(self, embeddings: tf.Tensor, classes: tf.Tensor) -> None:
        """Adapts the scale to a batch of embeddings `[batch, units]` of the classes `[batch]` int32."""
        if self.scale == "fixed":
            return
        cosines = self.cosines(embeddings)
        of_class = tf.gather(self._by_class(cosines), classes, batch_dims=1)  # [batch, S]
        angles = tf.sort(tf.reduce_sum(tf.math.acos(tf.clip_by_value(of_class, -1.0, 1.0)), axis=-1))
        n_angles = tf.shape(angles)[0]
        median = (angles[(n_angles - 1) // 2] + angles[n_angles // 2]) / 2
        mean = tf.reduce_logsumexp(self.s * cosines) - tf.math.log(tf.cast(n_angles, tf.float32))
        self.s.assign(mean / tf.cos(tf.minimum(math.pi / 4, median)))

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        names = ("n_classes", "sub_clusters", "scale")
        return super().get_config() | {name: getattr(self, name) for name in names}

    def _by_class(self, values: tf.Tensor) -> tf.Tensor:
        """`[batch, C * S]` → `[batch, C, S]`."""
        return tf.reshape(values, [-1, self.n_classes, self.sub_clusters])
