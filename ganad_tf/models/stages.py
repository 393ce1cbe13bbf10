"""Training that depends on the number of the epoch, under one `fit`."""

import inspect
from typing import Any

import keras

from ganad_tf.models.detector import Detector


class EpochwiseDetector(Detector):
    """A detector that prepares for every epoch of `fit`; a subclass says how.

    The number of the epoch counts those before a resumption with it, so that a training that goes on from an
    `initial_epoch` does what an uninterrupted one would.
    """

    def fit(self, *arguments: Any, **named: Any) -> keras.callbacks.History:
        """Trains as Keras trains, with a preparation for each epoch.

        Raises:
          ValueError: For weights of windows or classes.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *arguments, **named).arguments
        callbacks = keras.tree.flatten(given.get("callbacks") or [])
        given["callbacks"] = [_EpochBegin(), *callbacks]  # others see the stage, and set their learning rate after it
        return super().fit(**{name: value for name, value in given.items() if name != "self"})

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Prepares for an epoch.

        Args:
          epoch: Its number, from 0.
          epochs: Epochs of the whole training.
        """
        raise NotImplementedError


class TwoStageDetector(EpochwiseDetector):
    """A detector whose training changes once, at the beginning of an epoch; a subclass says when, and what changes."""

    def warm_up(self, epochs: int) -> int:
        """Epochs of the first stage, of all `epochs` of a training."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Prepares for an epoch of its stage."""
        self.begin_stage(is_first=epoch < self.warm_up(epochs))

    def begin_stage(self, *, is_first: bool) -> None:
        """Prepares for an epoch of the first or the second stage."""
        raise NotImplementedError


class _EpochBegin(keras.callbacks.Callback):
    """Tells the detector the number of each epoch, before other callbacks see its weights."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Tells it; Keras counts epochs from 0, those before a resumption with them."""
        self.model.begin_epoch(epoch, self.params["epochs"])
