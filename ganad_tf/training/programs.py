"""Programs: a detector with its traced steps, kept for the next training with the same settings.

Tracing the steps of a GAN takes as long as hundreds of them on few recordings. The folds of a calibration, the trials
of a selection and the machines of a fleet differ in their recordings alone, and take the same steps.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from ganad_tf.cache.windows import HeldSpectra
from ganad_tf.models import Detector
from ganad_tf.training import optimizers
from ganad_tf.training.fused_steps import FusedSteps, Logs, TracedSteps, batch_spec, traced

_lock = threading.Lock()
_kept: "list[Program]" = []  # the last one alone: it holds weights, graphs and what XLA has compiled


class Program:
    """A compiled detector and the graphs of its steps.

    Args:
      detector: The detector, untrained.
      key: Equal for trainings that may use the same program: everything that its graphs and its first weights depend
        on. None for a program that is not kept.

    Attributes:
      held: The spectra that the steps read; None where they are given windows.
    """

    def __init__(self, detector: Detector, key: Any = None) -> None:
        self.detector, self.key = detector, key
        self.held: HeldSpectra | None = None
        self._config = detector.get_config()
        self._beginning = [] if key is None else [variable.numpy() for variable in optimizers.state(detector)]
        self._steps: TracedSteps | None = None
        self._reads_held = False
        self._test: Any = None
        self._made: set[str] = set()

    def begin(self) -> None:
        """Sets everything that a step changes to what it was before the first training."""
        for variable, value in zip(optimizers.state(self.detector), self._beginning, strict=True):
            variable.assign(value)
        self._made.clear()

    def train_function(self, steps: FusedSteps) -> Callable[[Iterator[Any]], Logs]:
        """The train function of `steps`, of graphs that are there already if they can be used.

        A second call within a training means that a callback has changed the detector: everything is traced anew.
        """
        if "train" in self._made:
            self.key, self._steps = None, None
        self._made.add("train")
        if steps.augment:  # has its own count of steps
            return steps.train_function(self.detector)
        reads_held = steps.batch_at is not None
        if self._steps is None or self._reads_held != reads_held:
            self._steps, self._reads_held = steps.trace(self.detector), reads_held
        return steps.taking(self._steps)

    def test_function(self) -> Callable[[Iterator[Any]], Logs]:
        """Iterator over batches → losses, for validation; a second call is answered as by `train_function`.

        Keras' own test function would be traced anew for each training.
        """
        if "test" in self._made:
            self.key, self._test = None, None
        self._made.add("test")
        test = self._test = self._test or traced(self.detector.test_step, batch_spec(self.detector))
        return lambda iterator: test(next(iterator))

    @property
    def is_reusable(self) -> bool:
        """Whether it may be kept: it has weights to train, and no callback has changed what its graphs depend on."""
        if not self.detector.trainable_variables:  # then it may be a file's, which may be another one next time
            return False
        return self.key is not None and self.detector.get_config() == self._config


def take(key: Any) -> Program | None:
    """The program that was kept with this key, at its beginning; None if there is none or another training has it."""
    with _lock:
        program = _kept.pop() if _kept else None
    if program is None or program.key != key:
        return None
    program.begin()
    return program


def keep(program: Program) -> None:
    """Keeps a program that is no longer in use, if it is reusable, in place of another one."""
    if not program.is_reusable:
        return
    if program.held:
        program.held.release()
    with _lock:
        _kept[:] = [program]
