"""Many steps of training at a time: the dataset hands over blocks of batches, one compiled loop goes through each.

With small batches, calling a step's thousand operations takes longer than their arithmetic; compiled by XLA, with the
loop inside, nobody has to call them. What a step does, and on which windows, is the same.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ganad_tf.models import Detector

WINDOWS = 8192  # of a block at most, about 20 MB
STEPS = 100  # in a block at most; the last, smaller block of an epoch is not compiled
SMALL = 128  # windows of a step at most, for compiling: beyond, the arithmetic takes the time and not the calls
WORTH_COMPILING = 5000  # steps of a training; compiling takes about as long as these gain

Step = Callable[[Any], dict[str, tf.Tensor]]


def steps_per_block(batch_size: int) -> int:
    """Batches in a block.

    >>> steps_per_block(16), steps_per_block(512), steps_per_block(10_000)
    (100, 16, 1)
    """
    return max(1, min(STEPS, WINDOWS // batch_size))


def train_step(detector: Detector, batch_size: int, n_steps: int, *, pairs: bool) -> Step:
    """What takes the place of `detector.train_step` where the dataset hands over blocks.

    Args:
      detector: Compiled.
      batch_size: Windows of a step.
      n_steps: Of the whole training, all epochs together.
      pairs: Whether there are two blocks each time.

    Returns:
      A function of one block, `[at most steps_per_block * batch_size, dims]`, or of a pair of them, that does a
      step on each batch of it, in order, and returns what the last step does.
    """
    full = steps_per_block(batch_size) * batch_size
    spec = tf.TensorSpec([None, detector.input_dim], tf.float32)
    step_of = detector.train_step

    def of_block(block: Any) -> dict[str, tf.Tensor]:
        step = tf.function(step_of, autograph=False).get_concrete_function((spec, spec) if pairs else spec)
        count = tf.shape(tf.nest.flatten(block)[0])[0]
        begin = tf.constant(0)
        if batch_size <= SMALL and n_steps >= WORTH_COMPILING:
            compiled = _all_but_the_last(step, detector.input_dim, batch_size, full)
            begin = tf.cond(tf.equal(count, full), lambda: compiled(block), lambda: tf.constant(0))

        def body(start: tf.Tensor, logs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
            del logs  # of the step before
            size = tf.minimum(batch_size, count - start)
            return start + batch_size, step(_batch(block, start, size, detector.input_dim))

        nothing = {name: tf.zeros(value.shape, value.dtype) for name, value in step.structured_outputs.items()}
        return tf.while_loop(lambda start, _: start < count, body, (begin, nothing), parallel_iterations=1)[1]

    return of_block


def _all_but_the_last(step: Any, dims: int, batch_size: int, full: int) -> Callable[[Any], tf.Tensor]:
    """A compiled function: steps on a full block but for its last batch, whose losses the caller wants to see."""

    @tf.function(autograph=False, jit_compile=True)
    def compiled(block: Any) -> tf.Tensor:
        shaped = tf.nest.map_structure(lambda windows: tf.reshape(windows, [full, dims]), block)

        def body(start: tf.Tensor) -> tf.Tensor:
            step(_batch(shaped, start, batch_size, dims))
            return start + batch_size

        return tf.while_loop(lambda start: start < full - batch_size, body, [tf.constant(0)], parallel_iterations=1)[0]

    return compiled


def _batch(block: Any, start: tf.Tensor, size: tf.Tensor | int, dims: int) -> Any:
    # All sizes are given: XLA makes a slice whose size it doesn't know ten times slower.
    return tf.nest.map_structure(lambda windows: tf.slice(windows, [start, 0], [size, dims]), block)
