"""What the callbacks that write for TensorBoard share: event files, and the epochs at which to write."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

TRAINING, VALIDATION = "train", "validation"  # runs, as Keras' own callback names them


class Board(keras.callbacks.Callback):
    """A callback that writes summaries below a directory, one run for each folder; closed when training ends.

    Args:
      log_dir: The directory; where training goes on after an interruption, the same one.

    Steps are epochs, counted from 1. What is there is as good as written after every epoch, whatever happens.
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
        """Writes what `write_epoch` has to say, to the disk."""
        self.last_step = epoch + 1
        self.write_epoch(self.last_step, logs or {})
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Writes what `write_end` has to say; by then early stopping has put the best weights back."""
        step = self.params["epochs"] if self.last_step is None else self.last_step  # nothing may be left to train
        self.write_end(step)
        for writer in self._writers.values():
            writer.close()
        self._writers = {}

    def write_epoch(self, step: int, logs: dict[str, Any]) -> None:
        """What is written after an epoch."""

    def write_end(self, step: int) -> None:
        """What is written when training has ended."""


def remove_events(directory: Path) -> None:
    """Removes the event files below a directory, of what is done anew."""
    for path in directory.rglob("events.out.tfevents.*"):
        path.unlink()


class SparseBoard(Board):
    """Writes after the first epoch, every so many epochs, and when training has ended.

    Args:
      log_dir: As for `Board`.
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
        """What is written."""
        raise NotImplementedError
