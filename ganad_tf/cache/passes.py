"""Seeds of the passes over the windows of a training."""

import tensorflow as tf


def pass_seeds(seed: int, first_pass: int, *, endless: bool) -> tf.data.Dataset:
    """Dataset of a seed, `[2]` int64, that is different in each pass over the windows and reproducible.

    Without `endless`, each iterator has the seed of one pass. It is counted when the first element is requested,
    because Keras' `fit` creates more iterators than it uses. (A Python generator could count too, but `from_generator`
    halves the speed of everything that the process computes afterwards.)

    Args:
      seed: Seed of the training.
      first_pass: Number of passes already completed.
      endless: Whether each iterator has the seeds of all passes from the first on.
    """

    @tf.autograph.experimental.do_not_convert
    def draw(number: tf.Tensor) -> tf.Tensor:
        key = tf.stack([tf.constant(seed, tf.int64), number])
        return tf.random.stateless_uniform([2], key, minval=None, maxval=None, dtype=tf.int64)

    if endless:
        return tf.data.Dataset.range(first_pass + 1, tf.int64.max).map(draw)
    passed = tf.Variable(first_pass, dtype=tf.int64, trainable=False)
    return tf.data.Dataset.range(1).map(lambda _: draw(passed.assign_add(1)))
