"""Checkpoints: everything that the next epoch depends on, in one file, so that a killed training can be resumed.

Weights, batch-norm averages, the state of all optimizers and random generators, the loss curves so far, and the state
of early stopping. The order of the windows follows from the seed and the number of the epoch.
"""

import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ganad_tf.config import reader
from ganad_tf.files import atomic, checksummed
from ganad_tf.files.throttle import Throttle
from ganad_tf.training import optimizers

logger = logging.getLogger(__name__)

META, STATE, BEST = "meta", "state", "best"
STOPPING = ("wait", "best", "best_epoch", "stopped_epoch")  # attributes of Keras' EarlyStopping


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of training after an epoch, and restores it. Has to be the last callback.

    Args:
      path: The file; either complete or absent.
      made_with: Settings and recordings that training depends on, with dotted keys; the file of another training is
        refused.
      stopping: The EarlyStopping callback, whose state is saved too; None for none.
      every_epoch: Whether it saves after every epoch, however long that takes: several workers, which have to read
        their variables together, must not decide by the clock.

    Attributes:
      epoch: Number of completed epochs.
      history: Curve of each loss by name, since the first epoch.
    """

    def __init__(
        self,
        path: Path,
        made_with: Mapping[str, Any],
        stopping: keras.callbacks.EarlyStopping | None = None,
        *,
        every_epoch: bool = False,
    ) -> None:
        super().__init__()
        self.path = path
        self.made_with = dict(made_with)
        self.stopping = stopping
        self.every_epoch = every_epoch
        self.epoch = 0
        self.history: dict[str, list[float]] = {}
        self.is_stopped = False
        self._arrays: dict[str, np.ndarray] = {}
        self._meta: dict[str, Any] = {}
        self._seconds_before = 0.0
        self._begin = time.monotonic()
        self._throttle = Throttle()

    @property
    def seconds(self) -> float:
        """Duration of the training in seconds, without interruptions."""
        return self._seconds_before + time.monotonic() - self._begin

    def read(self) -> None:
        """Reads the file, if there is a readable one; to be called before `fit`.

        Raises:
          ConfigError: If it is that of a training with other settings or recordings.
        """
        if not self.path.exists():
            return
        try:
            with self.path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                loaded = dict(arrays)
            meta = json.loads(str(loaded.pop(META)))
            epoch, history, seconds = int(meta["epoch"]), dict(meta["history"]), float(meta["seconds"])
            made_with, stopped = dict(meta["made_with"]), bool(meta["is_stopped"])
        except checksummed.READ_ERRORS as error:
            logger.warning("%s can't be read (%s); training begins again.", self.path, error)
            return
        advice = "set another `model_directory`, or add --fresh to begin again"
        reader.refuse_other_settings(f"The unfinished training in {self.path}", made_with, self.made_with, advice)
        self.epoch, self.history, self._seconds_before, self.is_stopped = epoch, history, seconds, stopped
        self._arrays, self._meta = loaded, meta

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Restores the state, including that of EarlyStopping, whose own `on_train_begin` has reset it before."""
        if not self.epoch:
            return
        variables = optimizers.state(self.model)
        kept = [self._arrays[f"{STATE}{number}"] for number in range(len(variables))]
        for variable, value in zip(variables, kept, strict=True):
            variable.assign(value)
        if self.stopping:
            for name, value in self._meta["stopping"].items():
                setattr(self.stopping, name, value)
            best = [key for key in self._arrays if key.startswith(BEST)]
            self.stopping.best_weights = [self._arrays[f"{BEST}{number}"] for number in range(len(best))] or None
        self._arrays = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves the state, unless epochs are so short that saving would take too large a share of the time."""
        self.epoch = epoch + 1
        self.is_stopped = self.model.stop_training
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        if self.every_epoch:
            self.write()
        else:
            self._throttle(self.write)

    def write(self) -> None:
        """Saves the current state.

        Raises:
          WriteError: If the file can't be written; an existing file is unchanged then.
        """
        meta = {
            "epoch": self.epoch,
            "history": self.history,
            "seconds": self.seconds,
            "made_with": self.made_with,
            "is_stopped": self.is_stopped,
            "stopping": {name: getattr(self.stopping, name) for name in STOPPING} if self.stopping else {},
        }
        arrays = {f"{STATE}{number}": variable.numpy() for number, variable in enumerate(optimizers.state(self.model))}
        best = (self.stopping.best_weights if self.stopping else None) or []
        arrays |= {f"{BEST}{number}": value for number, value in enumerate(best)}
        with atomic.replacing(self.path) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **{META: np.array(json.dumps(meta)), **arrays})


def epochs_kept(path: Path) -> int:
    """Completed epochs in a checkpoint; 0 without a readable one."""
    return int(_meta_kept(path).get("epoch", 0))


def curve_kept(path: Path, name: str) -> list[float]:
    """Values of a loss by epoch in a checkpoint; none without a readable one."""
    return [float(value) for value in _meta_kept(path).get("history", {}).get(name, ())]


def _meta_kept(path: Path) -> dict[str, Any]:
    """Everything in a checkpoint but its arrays; empty without a readable one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return dict(json.loads(str(arrays[META])))
    except checksummed.READ_ERRORS:
        return {}
