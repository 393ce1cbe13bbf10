"""A trained detector on disk: complete or not there, and never mistaken for one made with other settings.

`<model_directory>/<mode>/<machine>/` holds `detector.keras`, the scores of its training clips in
`train_scores.csv`, and `training.json`: the full configuration, the clips' digest, the standardisation,
the loss curves and the versions.
"""

import json
import platform
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf import __version__, atomic, clips
from ganad_tf import config as configuration
from ganad_tf.clips import ClipScore
from ganad_tf.config import Config, to_dict
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer
from ganad_tf.models import Detector

DETECTOR, RECORD, SCORES = "detector.keras", "training.json", "train_scores.csv"


@dataclass(frozen=True)
class Trained:
    """A detector with what it needs to score.

    Attributes:
      detector: The network.
      normalizer: Standardises the spectra before it; None for none.
      frames: Spectra per window.
      train_scores: Of the normal training clips.
      record: What `training.json` holds.
    """

    detector: Detector
    normalizer: Normalizer | None
    frames: int
    train_scores: tuple[ClipScore, ...]
    record: dict[str, Any]


def save(directory: Path, trained: Trained) -> None:
    """Writes everything to a directory of its own that appears under its name when it is complete."""
    with atomic.new_directory(directory) as temporary:
        trained.detector.save(temporary / DETECTOR)
        clips.write_scores(temporary / SCORES, trained.train_scores)
        atomic.write_text(temporary / RECORD, json.dumps(trained.record, indent=1))


def load(directory: Path) -> Trained:
    """Reads what `save` wrote.

    Raises:
      DataError: If it is missing or can't be read.
    """
    record = read_record(directory)
    try:
        detector = keras.saving.load_model(directory / DETECTOR, compile=False)
        normalizer = record["normalizer"] and Normalizer(**record["normalizer"])
        frames = record["config"]["feature"]["frames"]
        train_scores = tuple(clips.read_scores(directory / SCORES))
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, DataError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"The trained detector in {directory} can't be read ({reason}); remove the folder and train again."
        ) from error
    return Trained(detector, normalizer, frames, train_scores, record)


def read_record(directory: Path) -> dict[str, Any]:
    """What `training.json` holds.

    Raises:
      DataError: If it is missing or can't be read.
    """
    if not directory.exists():
        raise DataError(f"Expected a trained detector in {directory}, but there is none; run `ganad train` first.")
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not {"config", "settings", "cache", "normalizer"} <= record.keys():
            raise ValueError(f"{RECORD} lacks what it should hold")
        return record
    except (OSError, ValueError) as error:
        raise DataError(
            f"The trained detector in {directory} can't be read ({error}); remove the folder and train again."
        ) from error


def check_settings(directory: Path, record: dict[str, Any], config: Config) -> None:
    """Refuses a detector that was trained with other settings than `config` has.

    Raises:
      ConfigError: Names the first setting that differs.
    """
    mend = "set another `model_directory`, or remove the folder and train again"
    what = f"The detector in {directory}"
    configuration.refuse_other_settings(what, record["settings"], config.training_settings(), mend)


def make_record(config: Config, **facts: Any) -> dict[str, Any]:
    """What `training.json` shall hold: the configuration, the versions, and `facts` about this training."""
    versions = {
        "ganad_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return {"config": to_dict(config), "settings": config.training_settings(), "versions": versions, **facts}
