"""Dropout whose masks are the same, and quickly drawn, whether XLA compiles the step or not."""

import keras
import tensorflow as tf

N_HASHES = 2**32


@keras.saving.register_keras_serializable(package="ganad_tf")
class Dropout(keras.layers.Dropout):
    """`keras.layers.Dropout`, whose random numbers are a hash of element, call and seed.

    Those of TensorFlow, compiled for a processor, take longer than all other work of a discriminator, and are others
    than when they are not compiled. The hash is `lowbias32` of Chris Wellons ("Prospecting for Hash Functions",
    2018), once for the call and once for the seed: no random numbers for a cipher, but dropout needs none.

    Args:
      rate: Share of elements that become 0 while training; the others grow by 1 / (1 - rate).
      seed: An integer; None draws one from Keras' global seed.

    >>> layer = Dropout(0.25, seed=1)
    >>> float(tf.reduce_mean(layer(tf.ones([100, 1000]), training=True))).__round__(2)
    1.0
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """`inputs`, or `inputs` with holes; any shape."""
        if not training or not self.rate:
            return inputs
        seed, call = tf.unstack(tf.cast(self.seed_generator.next(), tf.uint32))
        element = tf.cast(tf.reshape(tf.range(tf.size(inputs)), tf.shape(inputs)), tf.uint32)
        drawn = _hash(_hash(element + _hash(seed)) + _hash(call))
        is_kept = drawn >= tf.constant(round(self.rate * N_HASHES), tf.uint32)
        return tf.where(is_kept, inputs / (1 - self.rate), tf.zeros([], inputs.dtype))


def _hash(numbers: tf.Tensor) -> tf.Tensor:
    """uint32 → uint32, one to one; each bit of the input turns about half of the output's."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        numbers = _fold(numbers, shift) * tf.constant(factor, tf.uint32)
    return _fold(numbers, 16)


def _fold(numbers: tf.Tensor, shift: int) -> tf.Tensor:
    return tf.bitwise.bitwise_xor(numbers, tf.bitwise.right_shift(numbers, tf.constant(shift, tf.uint32)))
