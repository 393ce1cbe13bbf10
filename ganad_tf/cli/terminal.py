"""Progress and interruption messages on stderr, for terminals and log files, and a quiet import of TensorFlow."""

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
from ganad_tf.cli import environment, interrupts
from ganad_tf.config.sections import Fit
from ganad_tf.engine.board import Board
from ganad_tf.errors import DataError, StageInterrupt

logger = logging.getLogger(__name__)

SECONDS_PER_LINE = 30.0  # between progress lines in a log file

T = TypeVar("T")


@contextmanager
def bar(label: str, unit: str = "clip") -> Iterator[Callable[[Iterable[T], int], Iterator[T]]]:
    """Yields `progress(items, total)`, which iterates over items and shows a progress bar."""
    with _progress_display(label, unit) as shown:

        def progress(items: Iterable[T], total: int) -> Iterator[T]:
            shown.reset(total)
            for item in items:
                yield item
                interrupts.check()
                shown.update()

        yield progress


@contextmanager
def epochs(fit: Fit, label: str) -> Iterator[tuple[Any, ...]]:
    """Yields Keras callbacks that show a progress bar of a training's epochs."""
    import keras

    with _progress_display(label, "epoch", fit.epochs, is_wanted=bool(fit.verbose)) as shown:

        def show(epoch: int, logs: dict[str, float]) -> None:
            if not shown.n:  # epochs of an earlier process do not count for the speed
                shown.n = shown.initial = epoch
            losses = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss") if name in logs}
            shown.set_postfix(losses, refresh=False)
            shown.update()
            interrupts.check()

        def begin(logs: dict[str, float] | None = None) -> None:  # noqa: ARG001
            shown.total = callback.params["epochs"]  # of an ensemble's member, not those of the ensemble

        callback = keras.callbacks.LambdaCallback(on_epoch_end=show, on_train_begin=begin)
        yield (callback,)


@contextmanager
def byte_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields `advance(n_bytes)` of a progress bar; negative numbers take back what has to be received again."""
    with _progress_display(label, "B", total) as shown:
        yield shown.update


@contextmanager
def units() -> Iterator[Callable[[Board], None]]:
    """Yields `show(board)`, which logs a table of the units on a cluster, now and then and at the end."""
    begin = last = time.monotonic()
    latest: list[Board] = []

    def show(board: Board) -> None:
        nonlocal last
        interrupts.check()
        latest[:] = [board]
        if time.monotonic() - last >= SECONDS_PER_LINE:
            last = time.monotonic()
            _log_table(board, last - begin)

    try:
        yield show
    finally:
        for board in latest:
            if board.total > 1:
                _log_table(board, time.monotonic() - begin)


def _log_table(board: Board, seconds: float) -> None:
    for line in board.table():
        logger.info("%s", line)
    logger.info("%.0f s", seconds)


class ProgressLines:
    """Progress for log files: a plain line every `SECONDS_PER_LINE`, with the interface of a tqdm bar.

    Args:
      label: Prefix of each line.
      unit: Singular name of the items.
      total: Number of items.
    """

    def __init__(self, label: str, unit: str, total: int = 0) -> None:
        self.label = label
        self.unit = unit
        self.reset(total)

    def reset(self, total: int) -> None:
        """Starts counting from 0 up to `total`."""
        self.initial = self.n = 0
        self.total = total
        self._begin = self._last = time.monotonic()

    def update(self, n: int = 1) -> None:
        """Counts items, and logs a line if it is due."""
        self.n += n
        now = time.monotonic()
        if now - self._last >= SECONDS_PER_LINE:
            self._last = now
            is_bytes = self.unit == "B"
            total = "{total_fmt}B" if is_bytes else "{total_fmt} {unit}s"
            line = tqdm.format_meter(
                self.n,
                self.total,
                now - self._begin,
                prefix=self.label,
                unit=self.unit,
                unit_scale=is_bytes,
                initial=self.initial,
                bar_format=f"{{desc}}: {{n_fmt}} of {total}, {{rate_fmt}}, {{remaining}} left",
            )
            logger.info("%s", line)

    def set_postfix(self, values: Mapping[str, str], refresh: bool = True) -> None:
        """Does nothing: the losses are in `training.json`."""


@contextmanager
def _progress_display(label: str, unit: str, total: int = 0, *, is_wanted: bool = True) -> Iterator[Any]:
    """Yields a bar on a terminal, lines elsewhere, nothing with -q; a bar is removed when the stage ends or fails."""
    if is_wanted and logger.isEnabledFor(logging.INFO) and not sys.stderr.isatty():
        yield ProgressLines(label, unit, total)
        return
    is_off = not (is_wanted and logger.isEnabledFor(logging.INFO))
    with (
        logging_redirect_tqdm(),
        tqdm(total=total, desc=label, disable=is_off, leave=False, unit=unit, unit_scale=unit == "B") as shown,
    ):
        yield shown


def interruption_message(error: KeyboardInterrupt, command_line: Sequence[str]) -> str:
    """Message after Ctrl-C: the part of the work that is kept, and the command that resumes it.

    >>> interruption_message(KeyboardInterrupt(), ["run", "my fan.yaml"])
    "interrupted; what is finished is kept. To go on: ganad run 'my fan.yaml'"
    """
    what = "; what is finished is kept"
    if isinstance(error, StageInterrupt):
        what = f" while {error.doing}; {error.kept}, and all that was finished before"
    again = [word for word in command_line if not (word.startswith("--f") and "--fresh".startswith(word))]
    advice = "To go on" if len(again) == len(command_line) else "To go on, with what else there is kept as it is"
    return f"interrupted{what}. {advice}: {shlex.join(['ganad', *again])}"


def import_tensorflow(*, for_serving: bool = False, with_workers: bool = False) -> None:
    """Imports TensorFlow, without the messages of its native libraries on stderr, and sets process-wide switches.

    Args:
      for_serving: Whether operations use one thread each, because clips in parallel are then faster.
      with_workers: Whether the process waits for the other workers of TF_CONFIG.

    Raises:
      ConfigError: If TF_CONFIG does not name them.
      DataError: If they can't be reached.
    """
    if with_workers:
        logger.info("waiting for %d workers of TF_CONFIG, of which this is one", environment.check_workers())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment.reset_keras_settings()
    if for_serving:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    else:
        heap.limit_arenas()  # before there are threads
    with silenced():
        import tensorflow as tf

        logging.getLogger("tensorflow").setLevel(logging.ERROR)  # its advice addresses authors of graphs
        from ganad_tf import runtime

        if with_workers:
            try:
                runtime.join_workers()
            except tf.errors.OpError as error:
                raise DataError(f"The workers of TF_CONFIG can't be connected: {error.message}.") from error
        tf.constant(0)
        runtime.full_float32()


@contextmanager
def silenced() -> Iterator[None]:
    """Suppresses warnings and the output of native libraries on stderr."""
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
