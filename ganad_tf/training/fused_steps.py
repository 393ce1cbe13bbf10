"""Many steps of training in one call, behind `make_train_function`, Keras' door to what `fit` calls.

With small batches, calling a step's thousand operations takes longer than their arithmetic; with large ones, batch
normalisation and optimizer go through memory operation by operation. Here a dataset hands over blocks of batches, and
one function that XLA compiles, with the loop inside, takes the detector's `train_step` on each batch of a block.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from ganad_tf.cache.windows import BatchAt
from ganad_tf.models import Detector
from ganad_tf.training import optimizers

Logs = dict[str, tf.Tensor]

WORTH_COMPILING = 2500  # steps of a training; compiling takes about as long as these gain


@dataclass(frozen=True)
class Limits:
    """Sizes that a block may have.

    Attributes:
      steps: Batches, in each of which no callback is heard and no key stops the process.
      held: Values of a block's windows in a network, where only the numbers of the windows' first spectra are handed
        over; see `Detector.values_per_window`.
      streamed: The same, where the windows are handed over themselves.
    """

    steps: int
    held: int
    streamed: int


PROCESSOR = Limits(steps=500, held=2**15 * 640, streamed=2**12 * 640)  # up to a second or two
GPU = Limits(steps=4096, held=2**19 * 640, streamed=2**15 * 640)  # most epochs in one call


def limits() -> Limits:
    """Limits for the device that TensorFlow trains on."""
    return GPU if tf.config.list_logical_devices("GPU") else PROCESSOR


def steps_per_block(batch_size: int, n_windows: int, most_steps: int, most_windows: int) -> int:
    """Batches of a full block, so many that nearly all batches of an epoch lie in full blocks.

    Args:
      batch_size: Windows of a step.
      n_windows: Windows of an epoch.
      most_steps: Upper bound of the result.
      most_windows: Upper bound of a block's windows, but that a block has at least one batch.

    >>> steps_per_block(16, 7725, most_steps=100, most_windows=4096)
    96
    >>> steps_per_block(10_000, 100_000, most_steps=100, most_windows=4096)
    1
    """
    most = max(1, min(most_steps, most_windows // batch_size))
    n_batches = max(1, n_windows // batch_size)
    return n_batches // -(-n_batches // most)


@dataclass(frozen=True)
class TracedSteps:
    """Graphs of a detector's steps, each of which takes all batches of a block.

    Attributes:
      plain: For blocks of any length.
      compiled: Rows of a block → the function for blocks of this length, compiled by XLA when it is first asked for.
    """

    plain: Callable[[Any], Logs]
    compiled: Callable[[int], Callable[[Any, tf.Tensor], Logs]]


@dataclass(frozen=True)
class FusedSteps:
    """Recipe of a train function that takes all steps of a block.

        with detector.training_by(steps.train_function):
            detector.fit(blocks)

    An element of `blocks` is what an element of a dataset of batches is, only longer: `block_size` rows, the last one
    of an epoch fewer.

    Attributes:
      batch_size: Windows of a step.
      n_steps: Batches of a full block.
      batch_at: Rows of a batch, `[batch]` int64, → windows `[batch, dims]` float32, with their labels, if any; None
        where the elements are batches already.
      augment: Changes the batch of each step before it is taken; None for no change.
      pairs: Whether an element is `((rows, other rows),)`.
      jit_compile: Whether XLA compiles a full block; it takes from 2 to 20 s.
      compiles_rest: Whether it compiles what is left of an epoch too, where calling single operations is slow.
    """

    batch_size: int
    n_steps: int
    batch_at: BatchAt | None = None
    augment: Callable[[Any], Any] | None = None
    pairs: bool = False
    jit_compile: bool = True
    compiles_rest: bool = False

    @property
    def block_size(self) -> int:
        """Rows of a full block."""
        return self.n_steps * self.batch_size

    def train_function(self, detector: Detector) -> Callable[[Iterator[Any]], Logs]:
        """Makes the train function of a compiled detector, and has XLA compile it if it shall.

        The compiler needs some 250 MB for a while, so best before the recordings are read.

        Returns:
          Iterator over blocks → losses, as `train_step` returns them after the last batch of the next block.
        """
        return self.taking(self.trace(detector))

    def trace(self, detector: Detector) -> TracedSteps:
        """Traces the steps of a compiled detector; those of other block sizes and of further trainings are the same."""
        optimizers.build(detector)  # a function that creates variables is traced twice
        batch = batch_spec(detector)
        augment = self.augment or (lambda batch: batch)
        step = traced(lambda batch: detector.train_step(augment(batch)), self._paired(batch))
        row = tf.TensorSpec([None], tf.int64) if self.batch_at else batch

        is_real = tf.TensorSpec([], tf.bool)

        def stacked(block: Any, is_real: tf.Tensor) -> Logs:
            """Batches of one size, which is known while the graph is made; XLA is ten times slower otherwise."""
            n_rows = tf.nest.flatten(block)[0].shape[0]
            n_steps = max(1, n_rows // self.batch_size)
            batches = _each(lambda rows: tf.reshape(rows, [n_steps, n_rows // n_steps, *rows.shape[1:]]), block)
            return tf.cond(
                is_real,
                lambda: self._loop(step, n_steps, lambda number: _each(lambda rows: rows[number], batches)),
                lambda: _nothing(step),
            )

        def sliced(block: Any) -> Logs:
            """Batches of which the last may be smaller."""
            n_steps = -(-tf.shape(tf.nest.flatten(block)[0])[0] // self.batch_size)
            size = self.batch_size
            return self._loop(
                step, n_steps, lambda number: _each(lambda rows: rows[number * size : (number + 1) * size], block)
            )

        @functools.cache
        def compiled(n_rows: int) -> Any:
            rows = _each(lambda spec: tf.zeros([n_rows, *spec.shape[1:]], spec.dtype), row)
            specs = _each(tf.TensorSpec.from_tensor, rows)
            function = traced(stacked, self._paired(specs), is_real, jit_compile=True)
            function(self._paired(rows), tf.constant(False))  # compiles, and takes no step
            return function

        return TracedSteps(traced(sliced, self._paired(row)), compiled)

    def taking(self, graphs: TracedSteps) -> Callable[[Iterator[Any]], Logs]:
        """The train function that takes blocks of this recipe by steps that are traced."""
        plain, compiled = graphs.plain, graphs.compiled
        if self.jit_compile:
            compiled(self.block_size)

        def take_block(iterator: Iterator[Any]) -> Logs:
            block = next(iterator)
            n_rows = len(tf.nest.flatten(block)[0])
            if self.jit_compile and n_rows == self.block_size:
                return compiled(n_rows)(block, tf.constant(True))
            if not (self.jit_compile and self.compiles_rest):
                return plain(block)
            whole = n_rows - n_rows % self.batch_size
            parts = {
                whole: _each(lambda rows: rows[:whole], block),
                n_rows - whole: _each(lambda rows: rows[whole:], block),
            }
            return [compiled(size)(part, tf.constant(True)) for size, part in parts.items() if size][-1]

        return take_block

    def _paired(self, rows: Any) -> Any:
        """An element that has the same rows twice, or once if it is no pair."""
        return ((rows, rows),) if self.pairs else rows

    def _loop(self, step: Any, n_steps: tf.Tensor | int, batch: Callable[[tf.Tensor], Any]) -> Logs:
        """Losses after the last of `n_steps` steps, of which number i is taken on the windows of `batch(i)`."""

        def body(number: tf.Tensor, logs: Logs) -> tuple[tf.Tensor, Logs]:
            del logs  # of the step before
            rows = batch(number)
            return number + 1, step(_each(self.batch_at, rows) if self.batch_at else rows)

        start = (tf.constant(0), _nothing(step))
        return tf.while_loop(lambda number, _: number < n_steps, body, start, parallel_iterations=1)[1]


def batch_spec(detector: Detector) -> Any:
    """Specification of a batch: windows `[batch, dims]`, with the numbers of their machine IDs if those are needed."""
    windows = tf.TensorSpec([None, detector.input_dim], tf.float32)
    return (windows, tf.TensorSpec([None], tf.int32)) if detector.takes_machine_ids else windows


def traced(function: Callable[..., Logs], *specs: Any, jit_compile: bool | None = None) -> Any:
    """The graph of a function; TensorFlow neither traces it again, nor warns of that after some trainings."""
    return tf.function(
        function, autograph=False, input_signature=specs, jit_compile=jit_compile
    ).get_concrete_function()


def _nothing(step: Any) -> Logs:
    """Zeros in the shape of a step's losses."""
    return {name: tf.zeros(value.shape, value.dtype) for name, value in step.structured_outputs.items()}


def _each(function: Callable[[Any], Any], block: Any) -> Any:
    """A block with each of its tensors changed: `rows`, `((rows, other rows),)`, or `(rows, labels)`."""
    return tf.nest.map_structure(function, block)
