"""Callbacks that guard a training: stop at NaN, stop early, report discriminator resets."""

import logging
import math
from pathlib import Path
from typing import Any, NoReturn

import keras
import numpy as np

from ganad_tf.cache.windows import Source
from ganad_tf.errors import TrainingError
from ganad_tf.models.detector import LossMean
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)


class StopAtNaN(keras.callbacks.Callback):
    """Stops training when a loss or a weight is NaN or infinite, and saves the weights from before that epoch.

    Args:
      path: File of those weights, in Keras' format; written only in that case.

    Raises:
      TrainingError: If so; names the step and the loss term.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.epoch = 0
        self.last_good: list[np.ndarray] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Stores the current weights."""
        self.epoch = epoch
        self.last_good = self.model.get_weights()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Checks every loss. One NaN batch makes the running mean of its epoch NaN."""
        if all(math.isfinite(value) for value in (logs or {}).values()):
            return
        means = [mean for mean in self.model.metrics if isinstance(mean, LossMean) and first_bad(mean)]
        if not means:
            self.on_epoch_end(self.epoch, logs)
        first = min(means, key=lambda mean: (first_bad(mean), mean.name == "loss"))  # prefer a term to the total
        step = f"step {first_bad(first)} of epoch {self.epoch + 1}"
        self._stop(f"`{first.name}` became {float((logs or {}).get(first.name, math.nan))} at {step}")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Checks the validation losses too, and the weights, before later callbacks save them."""
        for name, value in (logs or {}).items():
            if not math.isfinite(value):
                self._stop(f"`{name}` became {float(value)} in epoch {epoch + 1}")
        self._check_weights(epoch + 1)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Checks the weights again, which later callbacks may have changed."""
        self._check_weights(self.epoch + 1)

    def _check_weights(self, epochs: int) -> None:
        """Checks the weights: the last step of an epoch may make them NaN without showing in any loss."""
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._stop(f"the weights became NaN or infinite at the end of epoch {epochs}")

    def _stop(self, what: str) -> NoReturn:
        uncompiled = self.model.__class__.from_config(
            self.model.get_config()
        )  # without the optimizer's state, which may be NaN
        uncompiled.set_weights(self.last_good)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        uncompiled.save(self.path)
        raise TrainingError(
            f"{what}; the weights from before this epoch are kept in {self.path}. Lower `fit.compile.learning_rate`."
        )


def first_bad(mean: LossMean) -> int:
    """Number of the first batch, from 1, whose loss was not finite, on several devices on the first; 0 for none."""
    return int(mean.first_bad.numpy())


class ReportResets(keras.callbacks.Callback):
    """Logs every epoch in which the discriminator was re-initialised."""

    seen: int | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Reads the initial count, which is not 0 in a resumed training."""
        if self.seen is None:
            resets = getattr(self.model, "discriminator_resets", None)
            self.seen = 0 if resets is None else int(resets.numpy())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Compares the count with that of the last epoch."""
        count = int((logs or {}).get("discriminator_resets", 0))
        before = self.seen or 0
        if count > before:
            logger.warning("the discriminator was re-initialised %d times in epoch %d", count - before, epoch + 1)
        self.seen = count


def early_stopping(run: MachineRun, validation: Source) -> keras.callbacks.EarlyStopping | None:
    """The configured EarlyStopping callback, or None; also None, with a warning, where no clips validate."""
    settings = run.config.fit
    if not (settings.restore_best or settings.patience):
        return None
    if not validation.entries:
        logger.warning(
            "%s: `fit.restore_best` and `fit.patience` have no effect: there are too few recordings to hold any "
            "out for validation.",
            run.machine,
        )
        return None
    return keras.callbacks.EarlyStopping(
        monitor="val_loss",
        mode="min",
        patience=settings.patience or settings.epochs,
        restore_best_weights=settings.restore_best,
    )
