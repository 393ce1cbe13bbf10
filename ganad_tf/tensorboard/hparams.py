"""Hyperparameters for TensorBoard's HParams tab."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import api


class HyperparameterSummary(api.KerasCallback):
    """One row of the HParams tab, with the last value of every scalar beside the hyperparameters.

    Args:
      log_dir: As for `SummaryCallback`.
      settings: Hyperparameters by name; other values than numbers and booleans are shown as text.
    """

    def __init__(self, log_dir: str | Path, settings: Mapping[str, Any]) -> None:
        super().__init__(str(log_dir), as_shown(settings))


def as_shown(settings: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Hyperparameters as TensorBoard takes them: numbers and booleans as they are, others as text."""
    return {key: value if isinstance(value, bool | int | float) else str(value) for key, value in settings.items()}
