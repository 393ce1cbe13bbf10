"""A saved estimator: a folder of the detector's files and `estimator.json`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganad_tf import config as configuration
from ganad_tf.config import Config
from ganad_tf.errors import DataError, WriteError
from ganad_tf.estimator.fitted import FittedDetector
from ganad_tf.files import atomic, checksummed

FILE, BODY = "estimator.json", "estimator"


def save(folder: Path, fitted: FittedDetector, parameters: Mapping[str, Any], clips: list[str]) -> None:
    """Writes an estimator in one step; replaces a saved one.

    Args:
      folder: The folder.
      fitted: The detector.
      parameters: Parameters of the estimator.
      clips: Names of the training clips in the order of its attributes.

    Raises:
      WriteError: If the folder holds something else or can't be written.
    """
    if Path.cwd().is_relative_to(os.path.abspath(folder)):  # noqa: PTH100 - replaced by renaming, which moves links
        raise WriteError(f"Expected a folder other than the current directory and those above. Received: {folder}.")
    if folder.exists() and not (folder / FILE).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WriteError(f"Expected a new folder, or that of a saved estimator. Received: {folder}, which is neither.")
    body = {
        "parameters": dict(parameters),
        "config": configuration.to_dict(fitted.config),
        "machine": fitted.machine,
        "clips": clips,
    }
    with atomic.new_directory(folder, replace=True) as temporary:
        fitted.save(temporary)
        atomic.write_text(temporary / FILE, checksummed.dump(BODY, body, default=_plain))


def load(folder: Path) -> tuple[dict[str, Any], FittedDetector, list[str]]:
    """Reads what `save` wrote: parameters, detector and names of the training clips.

    Raises:
      DataError: If it is missing or can't be read.
    """
    path = folder / FILE
    if not path.exists():
        raise DataError(f"Expected a saved estimator in {folder}, but there is no {FILE}.")
    try:
        body = checksummed.load(BODY, path.read_text(encoding="utf-8"))
        config: Config = configuration.from_mapping(body["config"], source=str(path))
        return dict(body["parameters"]), FittedDetector(config, body["machine"], folder), list(body["clips"])
    except checksummed.READ_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"The estimator in {folder} can't be read ({reason}); fit and save it again.") from error


def _plain(value: Any) -> Any:
    """Paths, mappings and numbers of NumPy as JSON has them."""
    if isinstance(value, Mapping):
        return dict(value)
    return os.fspath(value) if isinstance(value, os.PathLike) else value.item()
