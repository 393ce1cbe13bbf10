"""A trained detector on disk: complete or not there, and never mistaken for one made with other settings.

`<model_directory>/<mode>/<machine>/` holds `detector.keras` and `training.json`: the full
configuration, the clips' digest, the standardisation, the loss curves and the versions. Each way of
scoring with it has a folder of its own there, named after its settings: the scores of the training
clips in `train_scores.csv` and, for a density, its constants in `density.npz`.
"""

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf import __version__
from ganad_tf.config import Config, reader, to_dict
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer
from ganad_tf.files import atomic, checksummed
from ganad_tf.models import Detector
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring.densities import Density

DETECTOR, RECORD = "detector.keras", "training.json"
SCORES, DENSITY, SETTINGS = "train_scores.csv", "density.npz", "scorer.json"


@dataclass(frozen=True)
class Trained:
    """A detector with what it needs to look at a clip.

    Attributes:
      detector: The network.
      normalizer: Standardises the spectra before it; None for none.
      frames: Spectra per window.
      n_mels: Mel bands per spectrum.
      record: What `training.json` holds.
    """

    detector: Detector
    normalizer: Normalizer | None
    frames: int
    n_mels: int
    record: dict[str, Any]


@dataclass(frozen=True)
class Fitted:
    """A way of scoring, fitted to a detector's normal training clips.

    Attributes:
      settings: The section `scorer`.
      density: None for the paper's score, which needs no fitting.
      train_scores: Of the normal training clips; of a density that has not seen the clip.
    """

    settings: Scorer
    density: Density | None
    train_scores: tuple[ClipScore, ...]


def save(directory: Path, trained: Trained) -> None:
    """Writes everything to a directory of its own that appears under its name when it is complete."""
    with atomic.new_directory(directory, replace=True) as temporary:
        trained.detector.save(temporary / DETECTOR)
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
        feature = record["config"]["feature"]
        return Trained(detector, normalizer, feature["frames"], feature["n_mels"], record)
    except checksummed.DAMAGED as error:
        raise _unreadable(directory, error) from error


def scorer_directory(directory: Path, settings: Scorer) -> Path:
    """Where a way of scoring with the detector in `directory` is kept."""
    if settings.name == "paper":
        return directory / "paper"
    return directory / f"{settings.density}-{checksummed.fingerprint(settings.in_use(), digits=8)}"


def save_scorer(directory: Path, fitted: Fitted) -> None:
    """Writes a way of scoring beside the detector in `directory`, where nobody else writes; complete or not there."""
    folder = scorer_directory(directory, fitted.settings)
    atomic.clear_leftovers(folder)
    with atomic.new_directory(folder) as temporary:
        score_files.write_scores(temporary / SCORES, fitted.train_scores)
        atomic.write_text(temporary / SETTINGS, json.dumps(fitted.settings.in_use(), indent=1))
        if fitted.density:
            arrays: dict[str, Any] = dict(fitted.density.arrays)
            np.savez(temporary / DENSITY, **arrays)


def need_scorer(directory: Path, settings: Scorer) -> Path:
    """Where a fitted way of scoring is.

    Raises:
      DataError: If it is not there.
    """
    folder = scorer_directory(directory, settings)
    if not folder.exists():
        raise DataError(
            f"Expected the scorer that the configuration describes in {folder}, but there is none; "
            "run `ganad train`, which fits it without training the detector again."
        )
    return folder


def load_scorer(directory: Path, settings: Scorer) -> Fitted:
    """Reads what `save_scorer` wrote.

    Raises:
      DataError: If it is missing or can't be read.
    """
    folder = need_scorer(directory, settings)
    try:
        train_scores = tuple(score_files.read_scores(folder / SCORES))
        if settings.name == "paper":
            return Fitted(settings, None, train_scores)
        with np.load(folder / DENSITY, allow_pickle=False) as arrays:
            return Fitted(settings, Density(settings.density, dict(arrays)), train_scores)
    except (*checksummed.DAMAGED, DataError) as error:
        raise _unreadable(folder, error) from error


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
        raise _unreadable(directory, error) from error


def identity(directory: Path) -> str:
    """Names the detector by its contents: other for another training, the same in a copy of the project."""
    return checksummed.file_checksum(directory / DETECTOR)


def check_settings(directory: Path, record: dict[str, Any], config: Config) -> None:
    """Refuses a detector that was trained with other settings than `config` has.

    Raises:
      ConfigError: Names the first setting that differs.
    """
    mend = "set another `model_directory`, or remove the folder and train again"
    what = f"The detector in {directory}"
    reader.refuse_other_settings(what, record["settings"], config.training_settings(), mend)


def make_record(config: Config, **facts: Any) -> dict[str, Any]:
    """What `training.json` shall hold: the configuration, the versions, and `facts` about this training."""
    return {"config": to_dict(config), "settings": config.training_settings(), "versions": versions(), **facts}


def versions() -> dict[str, str]:
    """The versions of what scores depend on."""
    return {
        "ganad_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _unreadable(folder: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(
        f"The trained detector in {folder} can't be read ({reason}); remove the folder and run `ganad train`."
    )
