"""Successive halving: all trials are trained for a few epochs, and the better third of them goes on, again and again.

Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016. Trials are
compared by their validation loss after the same number of epochs. A training that goes on does so from its last
checkpoint.
"""

import dataclasses
import time
from typing import Any

import keras

from ganad_tf.errors import HaltError
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.search.objectives import too_few_clips, val_loss
from ganad_tf.search.records import Record
from ganad_tf.search.trial import FAILURES, Laboratory, one_line
from ganad_tf.training import checkpoint
from ganad_tf.training.train import train_detector

FACTOR = 3  # of epochs from one rung to the next; its inverse is the share of trials that goes on


def rungs(epochs: int, n_trials: int) -> list[int]:
    """Epochs at which trials are compared, and those of a whole training as the last.

    >>> rungs(90, 27), rungs(10, 4), rungs(2, 100)
    ([3, 10, 30, 90], [3, 10], [1, 2])
    """
    found = [epochs]
    while found[0] > 1 and n_trials >= FACTOR ** len(found):
        found.insert(0, max(1, found[0] // FACTOR))
    return found


def n_kept(n_trials: int) -> int:
    """Number of trials that go on."""
    return max(1, n_trials // FACTOR)


def go_on(laboratory: Laboratory, record: Record, epochs: int) -> Record:
    """Trains a trial up to a number of epochs and returns its record with the validation loss there.

    Raises:
      HaltError: If a file can't be written, or an object store can't be used.
    """
    begin = time.monotonic()
    try:
        run = laboratory.run_with(record.parameters, record.seed)
        laboratory.prepare(run)
        loss = _loss_after(run, laboratory, epochs)
    except HaltError:
        raise
    except FAILURES as error:
        seconds = record.seconds + time.monotonic() - begin
        return dataclasses.replace(record, state="failed", seconds=seconds, error=one_line(error))
    seconds = record.seconds + time.monotonic() - begin
    return dataclasses.replace(record, seconds=seconds, curve={**record.curve, str(epochs): loss})


def _loss_after(run: MachineRun, laboratory: Laboratory, epochs: int) -> float:
    if epochs >= run.config.fit.epochs or ModelDirectory.of(run).exists():
        return val_loss(run, laboratory.show)
    pause = _Pause(epochs)
    try:
        with laboratory.show(run.config.fit, f"{run.machine} train") as callbacks:
            train_detector(run, callbacks=(*callbacks, pause))
    except _PausedError:
        kept = checkpoint.curve_kept(ModelDirectory.of(run).unfinished, "val_loss")
        if pause.loss is None and len(kept) < epochs:
            raise too_few_clips(run) from None
        return kept[epochs - 1] if pause.loss is None else pause.loss
    return val_loss(run, laboratory.show)  # it has stopped early by itself


class _PausedError(Exception):
    """Ends a training at the beginning of an epoch, when the checkpoint of the epoch before has been written."""


class _Pause(keras.callbacks.Callback):
    """Ends training after a number of epochs, without a detector.

    Attributes:
      loss: Validation loss of the last epoch; None if there was none left to train.
    """

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.loss: float | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if epoch >= self.epochs:
            raise _PausedError

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self.loss = None if logs is None or "val_loss" not in logs else float(logs["val_loss"])
