"""What watches over training: ends it when it is lost, tells of what passes unseen."""

import logging
import math
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from ganad_tf.errors import TrainingError
from ganad_tf.models.detector import LossMean

logger = logging.getLogger(__name__)


class StopAtNaN(keras.callbacks.Callback):
    """Ends training when a loss is not a number, and keeps the weights of the last epoch that was sound.

    Args:
      path: Where those weights go, as a `.keras` file; nothing is written while all is well.

    Raises:
      TrainingError: Names the step and the loss term.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epoch = 0
        self.last_good: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Remembers the weights as they are."""
        self.epoch = epoch
        self.last_good = self.model.get_weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Looks at every loss; the epoch's means stay what they are once a batch has spoilt them."""
        if all(math.isfinite(value) for value in (logs or {}).values()):
            return
        means = [mean for mean in self.model.metrics if isinstance(mean, LossMean) and int(mean.first_bad)]
        if not means:
            self.on_epoch_end(self.epoch, logs)
        first = min(means, key=lambda mean: (int(mean.first_bad), mean.name == "loss"))  # a term before the sum
        step = f"step {int(first.first_bad)} of epoch {self.epoch + 1}"
        self._stop(f"`{first.name}` became {float(first.result())} at {step}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks at the validation losses too, and at what the last step made, before anything of it is kept."""
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                self._stop(f"`{name}` became {float(value)} in epoch {epoch + 1}")
        self._check_weights(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Looks at what later callbacks may have made of them."""
        self._check_weights(self.epoch + 1)

    def _check_weights(self, epochs: int) -> None:
        """The last step of an epoch may spoil the weights without showing in any loss."""
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._stop(f"the weights became NaN or infinite at the end of epoch {epochs}")

    def _stop(self, what: str) -> NoReturn:
        uncompiled = self.model.__class__.from_config(self.model.get_config())  # the optimizer's state may be spoilt
        uncompiled.set_weights(self.last_good)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        uncompiled.save(self.path)
        raise TrainingError(
            f"{what}; the weights from before this epoch are kept in {self.path}. Lower `fit.compile.learning_rate`."
        )


class ReportResets(keras.callbacks.Callback):
    """Logs every epoch in which a discriminator was initialised afresh."""

    seen: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Training may go on from where there were some already."""
        if self.seen is None:
            self.seen = int(getattr(self.model, "discriminator_resets", 0))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares the running count with the last epoch's."""
        count = int((logs or {}).get("discriminator_resets", 0))
        before = self.seen or 0
        if count > before:
            logger.warning("the discriminator was initialised afresh %d times in epoch %d", count - before, epoch + 1)
        self.seen = count
