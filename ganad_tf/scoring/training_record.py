"""`training.json` beside a detector: configuration, clips' digest, standardisation, loss curves and versions.

Needs no TensorFlow, so that the report can read a detector's provenance.
"""

import json
from pathlib import Path
from typing import Any

from ganad_tf.errors import DataError

FILE = "training.json"
KEYS = {"config", "settings", "cache", "normalizer"}  # required keys


def read(directory: Path) -> dict[str, Any]:
    """Contents of `training.json` in a model directory.

    Raises:
      DataError: If it is missing or can't be read.
    """
    if not directory.exists():
        raise DataError(f"Expected a trained detector in {directory}, but there is none; run `ganad train` first.")
    try:
        record = json.loads((directory / FILE).read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not record.keys() >= KEYS:
            raise ValueError(f"{FILE} lacks what it should hold")
        return record
    except (OSError, ValueError) as error:
        raise unreadable(directory, error) from error


def unreadable(folder: Path, error: Exception) -> DataError:
    """Error for a damaged file of a trained detector or scorer."""
    reason = " ".join(str(error).split())[:200]
    return DataError(
        f"The trained detector in {folder} can't be read ({reason}); remove the folder and run `ganad train`."
    )
