"""Many steps of training at a time: the dataset hands over blocks of batches, one compiled loop goes through each.

With small batches, calling a step's thousand operations takes longer than their arithmetic; with large ones, batch
normalisation and optimizer go through memory operation by operation. Compiled by XLA, with the loop inside, nobody
calls anything, and neighbours are computed at one go. What a step does, and on which windows, is the same.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ganad_tf.models import Detector

WINDOWS = 8192  # of a block at most, about 20 MB
STEPS = 100  # in a block at most; the last, smaller block of an epoch is not compiled
WORTH_COMPILING = 2500  # steps of a training; compiling takes about as long as these gain

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

        @tf.function(autograph=False, jit_compile=True)
        def compiled(block: Any) -> dict[str, tf.Tensor]:
            shaped = tf.nest.map_structure(lambda windows: tf.reshape(windows, [full, detector.input_dim]), block)
            return _steps(step, shaped, batch_size, full)

        count = tf.shape(tf.nest.flatten(block)[0])[0]
        if n_steps < WORTH_COMPILING:
            return _steps(step, block, batch_size, count)
        return tf.cond(tf.equal(count, full), lambda: compiled(block), lambda: _steps(step, block, batch_size, count))

    return of_block


def _steps(step: Any, block: Any, batch_size: int, count: tf.Tensor | int) -> dict[str, tf.Tensor]:
    """A step on each batch of a block of `count` windows, in order; what the last one returns."""
    is_even = isinstance(count, int)  # XLA makes a slice whose size it doesn't know ten times slower

    def body(start: tf.Tensor, logs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        del logs  # of the step before
        size = batch_size if is_even else tf.minimum(batch_size, count - start)
        batch = tf.nest.map_structure(lambda windows: tf.slice(windows, [start, 0], [size, windows.shape[1]]), block)
        return start + batch_size, step(batch)

    nothing = {name: tf.zeros(value.shape, value.dtype) for name, value in step.structured_outputs.items()}
    loop = (tf.constant(0), nothing)
    return tf.while_loop(lambda start, _: start < count, body, loop, parallel_iterations=1)[1]
