"""Many steps of training at a time: the dataset hands over blocks of batches, one compiled loop goes through each.

With small batches, calling a step's thousand operations takes longer than their arithmetic; with large ones, batch
normalisation and optimizer go through memory operation by operation. Compiled by XLA, with the loop inside, nobody
calls anything, and neighbours are computed at one go. What a step does, and on which windows, is the same.
"""

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ganad_tf import heap
from ganad_tf.models import Detector
from ganad_tf.training import optimizers

WINDOWS = 4096  # of a block at most, about 10 MB
STEPS = 100  # in a block at most; the last, smaller block of an epoch is not compiled
TIDY_AFTER = 20  # blocks, one or two seconds; it takes 14 ms
WORTH_COMPILING = 2500  # steps of a training; compiling takes about as long as these gain


def steps_per_block(batch_size: int, n_windows: int) -> int:
    """Batches in a block, so many that nearly all of an epoch's lie in whole blocks.

    Args:
      batch_size: Windows of a step.
      n_windows: Of an epoch.

    >>> steps_per_block(16, 7725), steps_per_block(512, 100_000), steps_per_block(10_000, 100_000)
    (96, 7, 1)
    """
    most = max(1, min(STEPS, WINDOWS // batch_size))
    n_batches = max(1, n_windows // batch_size)
    return n_batches // -(-n_batches // most)


def prepare(detector: Detector, batch_size: int, n_windows: int, epochs: int, *, pairs: bool) -> int:
    """Makes `fit` take blocks, `[at most steps_per_block * batch_size, dims]`, and do a step on each batch of them.

    `train_step` is then a function of a block (or a pair of them) that returns what its last step does. Keras calls
    it from Python: what is worth compiling is compiled here, before the recordings fill the memory that this needs,
    and would be compiled once more as a part of Keras' own graph.

    Args:
      detector: Compiled, in Keras' sense.
      batch_size: Windows of a step.
      n_windows: Of an epoch.
      epochs: Of the whole training.
      pairs: Whether there are two blocks each time.

    Returns:
      Windows of a block, which is what the dataset's batches must have; until `undo`.
    """
    full = steps_per_block(batch_size, n_windows) * batch_size
    state = optimizers.state(detector)
    spec = tf.TensorSpec([None, detector.input_dim], tf.float32)
    specs = (spec, spec) if pairs else spec
    step = _traced(_pair_step(detector) if pairs else detector.train_step, specs)

    def any_block(block: Any) -> dict[str, tf.Tensor]:
        return _steps(step, block, batch_size, tf.shape(tf.nest.flatten(block)[0])[0])

    def full_block(block: Any) -> dict[str, tf.Tensor]:
        shaped = tf.nest.map_structure(lambda windows: tf.reshape(windows, [full, detector.input_dim]), block)
        return _steps(step, shaped, batch_size, full)

    is_compiled = epochs * -(-n_windows // batch_size) >= WORTH_COMPILING
    smaller = _traced(any_block, specs)
    larger = _traced(full_block, specs, jit_compile=True) if is_compiled else smaller
    numbers = itertools.count(1)

    def train_step(block: Any) -> dict[str, tf.Tensor]:
        if next(numbers) % TIDY_AFTER == 0:
            heap.give_back()
        return (larger if len(tf.nest.flatten(block)[0]) == full else smaller)(block)

    if is_compiled:
        nothing = tf.zeros([full, detector.input_dim])
        _compile(lambda: larger((nothing, nothing) if pairs else nothing), state)
    detector.train_step = train_step
    detector.test_step = _traced(detector.test_step, spec)
    detector.run_eagerly = True
    return full


def undo(detector: Detector) -> None:
    """Gives the detector its steps on batches back, which `prepare` has put others before."""
    del detector.train_step, detector.test_step
    detector.run_eagerly = False
    detector.make_train_function(force=True)
    detector.make_test_function(force=True)


def _pair_step(detector: Detector) -> Callable[[Any], dict[str, tf.Tensor]]:
    """A step on a pair of batches, which are a detector's x; the pipeline's datasets have them as two elements."""
    train_step = detector.train_step
    return lambda pair: train_step((pair,))


def _traced(call: Callable[[Any], dict[str, tf.Tensor]], specs: Any, **how: bool) -> Any:
    """The graph of a function; TensorFlow neither traces it again, nor warns of that after some trainings."""
    return tf.function(call, autograph=False, input_signature=[specs], **how).get_concrete_function()


def _compile(call: Callable[[], Any], state: list[keras.Variable]) -> None:
    """Calls a function for the first time, without leaving a trace of it in `state`."""
    before = [variable.numpy() for variable in state]
    call()
    for variable, value in zip(state, before, strict=True):
        variable.assign(value)
    heap.give_back()  # the compiler leaves some 150 MB that nobody else would get


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
