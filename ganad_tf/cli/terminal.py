"""What a terminal, or a log file, shows while something takes long and when it is interrupted, all of it on stderr."""

import logging
import os
import shlex
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from ganad_tf import heap
from ganad_tf.cli import environment
from ganad_tf.config.sections import Fit
from ganad_tf.errors import Interrupted

logger = logging.getLogger(__name__)

SECONDS_PER_LINE = 30.0  # where there is no terminal to draw a bar on

T = TypeVar("T")


@contextmanager
def bar(label: str, unit: str = "clip") -> Iterator[Callable[[Iterable[T], int], Iterator[T]]]:
    """What wraps an iterable of so many of a unit and shows how far it is."""
    with _shown(label, unit) as shown:

        def progress(items: Iterable[T], total: int) -> Iterator[T]:
            shown.reset(total)
            for item in items:
                yield item
                shown.update()

        yield progress


@contextmanager
def epochs(fit: Fit, machine: str) -> Iterator[tuple[Any, ...]]:
    """Keras callbacks that show how far a training is."""
    import keras

    with _shown(f"{machine} train", "epoch", fit.epochs, is_wanted=bool(fit.verbose)) as shown:

        def show(epoch: int, logs: dict[str, float]) -> None:
            if not shown.n:  # what an earlier process has trained took none of this one's time
                shown.n = shown.initial = epoch
            losses = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss") if name in logs}
            shown.set_postfix(losses, refresh=False)
            shown.update()

        yield (keras.callbacks.LambdaCallback(on_epoch_end=show),)


class Lines:
    """A progress bar for log files: a plain line now and then, which a stage of some seconds does without.

    Args:
      label: What each line begins with.
      unit: What is counted.
      total: How many there are.
    """

    def __init__(self, label: str, unit: str, total: int = 0) -> None:
        self.label = label
        self.unit = unit
        self.initial = self.n = 0
        self.reset(total)

    def reset(self, total: int) -> None:
        """Begins to count."""
        self.total = total
        self._begin = self._last = time.monotonic()

    def update(self) -> None:
        """Counts one more, and says so if it is time."""
        self.n += 1
        now = time.monotonic()
        if now - self._last >= SECONDS_PER_LINE:
            self._last = now
            line = tqdm.format_meter(
                self.n,
                self.total,
                now - self._begin,
                prefix=self.label,
                unit=self.unit,
                initial=self.initial,
                bar_format="{desc}: {n_fmt} of {total_fmt} {unit}s, {rate_fmt}, {remaining} left",
            )
            logger.info("%s", line)

    def set_postfix(self, values: Mapping[str, str], refresh: bool = True) -> None:
        """Nothing: the losses are in `training.json`."""


@contextmanager
def _shown(label: str, unit: str, total: int = 0, *, is_wanted: bool = True) -> Iterator[Any]:
    """A bar on a terminal, lines elsewhere, nothing with -q; it goes when the stage ends, in whatever way."""
    if is_wanted and logger.isEnabledFor(logging.INFO) and not sys.stderr.isatty():
        yield Lines(label, unit, total)
        return
    is_off = not (is_wanted and logger.isEnabledFor(logging.INFO))
    with logging_redirect_tqdm(), tqdm(total=total, desc=label, disable=is_off, leave=False, unit=unit) as shown:
        yield shown


def interrupted(error: KeyboardInterrupt, command_line: Sequence[str]) -> str:
    """What Ctrl-C has left, and the command that goes on.

    >>> interrupted(KeyboardInterrupt(), ["run", "my fan.yaml"])
    "interrupted; what is finished is kept. To go on: ganad run 'my fan.yaml'"
    """
    what = "; what is finished is kept"
    if isinstance(error, Interrupted):
        what = f" while {error.doing}; {error.kept}, and all that was finished before"
    again = [word for word in command_line if not (word.startswith("--f") and "--fresh".startswith(word))]
    mend = "To go on" if len(again) == len(command_line) else "To go on, with what else there is kept as it is"
    return f"interrupted{what}. {mend}: {shlex.join(['ganad', *again])}"


def import_tensorflow(*, for_serving: bool = False) -> None:
    """Imports TensorFlow without the lines that its libraries write past Python to stderr.

    Args:
      for_serving: One thread per operation: clips in parallel are faster than parts of one clip in parallel.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment.settle_keras()
    if for_serving:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    else:
        heap.limit()  # before there are threads
    with silenced():
        import tensorflow as tf

        tf.constant(0)
        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice is for whoever writes the graph
        from ganad_tf import runtime

        runtime.full_float32()


@contextmanager
def silenced() -> Iterator[None]:
    """Keeps what libraries write past Python, and warn of, from stderr."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
