"""Training in two stages under one `fit`."""

import inspect
from typing import Any

import keras

from ganad_tf.models.detector import Detector


class TwoStageDetector(Detector):
    """A detector whose training changes once, at the beginning of an epoch; a subclass says when, and what changes.

    The stage follows from the number of the epoch among all epochs of `fit`, so that a training that goes on from an
    `initial_epoch` is in the right one.
    """

    def fit(self, *arguments: Any, **named: Any) -> keras.callbacks.History:
        """Trains both stages, as Keras trains.

        Raises:
          ValueError: For weights of windows or classes.
        """
        given = inspect.signature(keras.Model.fit).bind(self, *arguments, **named).arguments
        callbacks = keras.tree.flatten(given.get("callbacks") or [])
        given["callbacks"] = [_EpochBegin(), *callbacks]  # others see the stage, and set their learning rate after it
        return super().fit(**{name: value for name, value in given.items() if name != "self"})

    def warm_up(self, epochs: int) -> int:
        """Epochs of the first stage, of all `epochs` of a training."""
        raise NotImplementedError

    def begin_epoch(self, *, is_first_stage: bool) -> None:
        """Prepares for an epoch of the first or the second stage."""
        raise NotImplementedError


class _EpochBegin(keras.callbacks.Callback):
    """Tells the detector the stage of each epoch; Keras counts epochs from 0, those before a resumption with them."""

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Tells it before other callbacks see the weights."""
        self.model.begin_epoch(is_first_stage=epoch < self.model.warm_up(self.params["epochs"]))
