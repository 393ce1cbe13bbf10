"""Settings for TensorBoard: what one training has otherwise than others."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboard.plugins.hparams import api


class Settings(api.KerasCallback):
    """One line of the HParams tab; every loss, and whatever else is a scalar, stands there beside the settings.

    Args:
      log_dir: The directory that the other callbacks were given.
      settings: By name; what is neither number nor truth value is shown as text.
    """

    def __init__(self, log_dir: str | Path, settings: Mapping[str, Any]) -> None:
        shown = {key: value if isinstance(value, bool | int | float) else str(value) for key, value in settings.items()}
        super().__init__(str(log_dir), shown)
