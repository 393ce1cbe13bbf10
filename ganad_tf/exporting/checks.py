"""Checks in the graph: what is wrong with the input is said in a sentence that begins with its name."""

import tensorflow as tf


def not_empty(name: str, clips: tf.Tensor) -> tf.Tensor:
    """The batch, refused if there is no clip in it."""
    some = tf.shape(clips)[0] > 0
    with tf.control_dependencies([expect(some, f"{name}: expected at least one clip, received none")]):
        return tf.identity(clips)


def expect_finite(name: str, values: tf.Tensor) -> tf.Operation:
    """Refuses a batch with a value, or a score, that is no number; names the clip."""
    finite = tf.reduce_all(tf.math.is_finite(values), axis=list(range(1, len(values.shape))))  # [batch]
    first = tf.argmin(tf.cast(finite, tf.int32))
    return expect(
        tf.reduce_all(finite), f"{name}: expected usable numbers, but there is NaN or infinity in clip", first
    )


def expect(condition: tf.Tensor, *sentence: object) -> tf.Operation:
    """An operation that fails with a sentence of words and tensors; what depends on it is not computed then."""
    return tf.debugging.Assert(condition, list(sentence))
