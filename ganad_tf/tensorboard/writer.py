"""Bases of the callbacks that write for TensorBoard: event files, and the epochs at which to write."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

TRAINING, VALIDATION = "train", "validation"  # runs, as Keras' own callback names them


class SummaryCallback(keras.callbacks.Callback):
    """A callback that writes summaries below a directory, one run for each folder; closed when training ends.

    Args:
      log_dir: The directory; where training goes on after an interruption, the same one.

    Steps are epochs, counted from 1. Event files are flushed after every epoch, so that a kill loses nothing.
    """

    def __init__(self, log_dir: str | Path) -> None:
        super().__init__()
        self.log_dir = Path(log_dir)
        self.last_step: int | None = None
        self._writers: dict[str, Any] = {}

    def writer(self, run: str = TRAINING) -> Any:
        """The event file of a run, made when it is first needed."""
        if run not in self._writers:
            self._writers[run] = tf.summary.create_file_writer(str(self.log_dir / run))
        return self._writers[run]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Calls `write_epoch` and flushes the event files to the disk."""
        self.last_step = epoch + 1
        self.write_epoch(self.last_step, logs or {})
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Calls `write_end`; by then early stopping has restored the best weights."""
        step = self.params["epochs"] if self.last_step is None else self.last_step  # nothing may be left to train
        self.write_end(step)
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:
        """Writes the summaries of an epoch; nothing unless overridden."""

    def write_end(self, step: int) -> None:
        """Writes the last summaries when training has ended; nothing unless overridden."""


def remove_events(directory: Path) -> None:
    """Removes the event files below a directory, of what is done anew."""
    for path in directory.rglob("events.out.tfevents.*"):
        path.unlink()


class PeriodicSummaryCallback(SummaryCallback):
    """Writes after the first epoch, every so many epochs, and when training has ended.

    Args:
      log_dir: As for `SummaryCallback`.
      every: Epochs from one time to the next.
    """

    def __init__(self, log_dir: str | Path, *, every: int = 50) -> None:
        super().__init__(log_dir)
        self.every = every

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:  # noqa: ARG002
        """Writes if it is time to, and the end does not come next."""
        is_last = step == self.params["epochs"] or self.model.stop_training
        if not is_last and (step == 1 or step % self.every == 0):
            self.write(step)

    def write_end(self, step: int) -> None:
        """Writes once more."""
        self.write(step)

    def write(self, step: int) -> None:
        """Writes the summaries of `step`."""
        raise NotImplementedError
