"""The owner of a model directory: a trained detector with its scorers, complete or absent.

`<model_directory>/<mode>/<machine>/` holds `detector.keras` and `training.json`: the full configuration, the clips'
digest, the standardisation, the loss curves and the versions. Each scorer has a folder there, named after its
settings: the scores of the training clips in `train_scores.csv` and, for a density, its constants in `density.npz`.
`folds/` holds detectors that were trained without some of the clips, for calibration. `healthy.json` describes the
sound of the normal training clips, for words about anomalies, and `recording_limits.json` their recording conditions.
"""

import hashlib
import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf import __version__
from ganad_tf.config import Config, Mode, reader, to_dict
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer
from ganad_tf.files import atomic, checksummed
from ganad_tf.findings.healthy import Healthy
from ganad_tf.models import Detector
from ganad_tf.recording_check.limits import RecordingLimits
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import NormalScores
from ganad_tf.run import MachineRun
from ganad_tf.scoring import compound_densities, training_record
from ganad_tf.scoring.compound_densities import AnyDensity

DETECTOR = "detector.keras"
HEALTHY = "healthy.json"
LIMITS = "recording_limits.json"
SCORES, DENSITY, SETTINGS = "train_scores.csv", "density.npz", "scorer.json"


@dataclass(frozen=True)
class TrainedDetector:
    """A trained detector with the preprocessing of its input.

    Attributes:
      detector: The network.
      normalizer: Standardises the spectra; None for none.
      frames: Spectra per window.
      n_mels: Values per spectrum, such as mel bands.
      record: Contents of `training.json`.
      hop: Spectra from one window to the next.
    """

    detector: Detector
    normalizer: Normalizer | None
    frames: int
    n_mels: int
    record: dict[str, Any]
    hop: int = 1

    def weights_checksum(self) -> str:
        """SHA-256 of the detector's weights, in hexadecimal digits."""
        checksum = hashlib.sha256()
        for weight in self.detector.weights:
            checksum.update(weight.numpy().tobytes())
        return checksum.hexdigest()


@dataclass(frozen=True)
class FittedScorer:
    """A scorer, fitted to a detector's normal training clips.

    Attributes:
      settings: The section `scorer`.
      density: None for the paper's score, which needs no fitting.
      train_scores: Scores of the normal training clips; for a density, cross-validated ones.
      calibration_scores: Scores of normal clips by detectors that have not seen them; empty without calibration.
    """

    settings: Scorer
    density: AnyDensity | None
    train_scores: tuple[ClipScore, ...]
    calibration_scores: tuple[ClipScore, ...] = ()

    @property
    def normal_scores(self) -> NormalScores:
        """The scores that decisions are made by."""
        return NormalScores(self.train_scores, self.calibration_scores)


@dataclass(frozen=True)
class ModelDirectory:
    """The owner of `<model_directory>/<mode>/<machine>`.

    Attributes:
      path: The directory.
    """

    path: Path

    @classmethod
    def of(cls, run: MachineRun, mode: Mode | None = None) -> "ModelDirectory":
        """The directory of the run's detector, in the run's mode or another."""
        return cls(Path(run.config.model_directory, mode or run.mode, run.machine))

    @property
    def detector(self) -> Path:
        """File of the detector, in Keras' format."""
        return self.path / DETECTOR

    @property
    def last_good(self) -> Path:
        """File of the last finite weights of a training that ended in NaN, beside the directory."""
        return self.path.with_name(f"{self.path.name}.last_good.keras")

    @property
    def unfinished(self) -> Path:
        """File of the checkpoint of an unfinished training, beside the directory."""
        return self.path.with_name(f"{self.path.name}.unfinished.npz")

    def fold(self, assignment: str, number: int) -> "ModelDirectory":
        """The directory of the detector that was trained without the clips of one fold."""
        return ModelDirectory(self.path / "folds" / assignment / str(number))

    def exists(self) -> bool:
        """Whether there is a trained detector."""
        return self.path.exists()

    def save(self, trained: TrainedDetector) -> None:
        """Writes detector and record; the directory appears under its name when it is complete."""
        with atomic.new_directory(self.path, replace=True) as temporary:
            trained.detector.save(temporary / DETECTOR)
            atomic.write_text(temporary / training_record.FILE, json.dumps(trained.record, indent=1))

    def load(self) -> TrainedDetector:
        """The detector that `save` wrote.

        Raises:
          DataError: If it is missing or can't be read.
        """
        record = self.record()
        try:
            detector = keras.saving.load_model(self.detector, compile=False)
            normalizer = record["normalizer"] and Normalizer(**record["normalizer"])
            feature = record["config"]["feature"]
            hop = feature.get("window_hop", 1)  # version 0.1 has none
            frames = feature["frames"]
            return TrainedDetector(detector, normalizer, frames, detector.input_dim // frames, record, hop)
        except checksummed.READ_ERRORS as error:
            raise training_record.unreadable(self.path, error) from error

    def record(self) -> dict[str, Any]:
        """Contents of `training.json`.

        Raises:
          DataError: If it is missing or can't be read.
        """
        return training_record.read(self.path)

    def save_healthy(self, healthy: Healthy) -> None:
        """Writes the sound of the healthy machine beside the detector; call it only under the directory's lock."""
        atomic.write_text(self.path / HEALTHY, healthy.dump())

    def load_healthy(self) -> Healthy | None:
        """Sound of the healthy machine; None if there were too few clips, or an earlier version trained the detector.

        Raises:
          DataError: If the file can't be read.
        """
        try:
            return Healthy.load((self.path / HEALTHY).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except checksummed.READ_ERRORS as error:
            raise training_record.unreadable(self.path, error) from error

    def identity(self) -> str:
        """SHA-256 of the detector's file: changes with each training, but not in a copy of the project."""
        return checksummed.file_checksum(self.detector)

    def check_settings(self, config: Config) -> None:
        """Refuses a detector that was trained with other settings than `config` has.

        Raises:
          DataError: If there is no detector that can be read.
          ConfigError: Names the first setting that differs.
        """
        advice = "set another `model_directory`, or remove the folder and train again"
        what = f"The detector in {self.path}"
        reader.refuse_other_settings(what, self.record()["settings"], config.training_settings(), advice)

    @property
    def limits(self) -> Path:
        """File of the recording conditions of the normal training clips."""
        return self.path / LIMITS

    def save_limits(self, limits: RecordingLimits) -> None:
        """Writes the recording conditions beside the detector; call it only under the directory's lock."""
        atomic.write_text(self.limits, json.dumps(limits.to_json()))

    def load_limits(self) -> RecordingLimits | None:
        """Loads the recording conditions; None if the detector was trained without.

        Raises:
          DataError: If they can't be read.
        """
        if not self.limits.exists():
            return None
        try:
            return RecordingLimits.from_json(json.loads(self.limits.read_text(encoding="utf-8")))
        except checksummed.READ_ERRORS as error:
            raise training_record.unreadable(self.path, error) from error

    def scorer_path(self, settings: Scorer) -> Path:
        """Folder of a fitted scorer, named after its settings."""
        if settings.name == "paper":
            return self.path / "paper"
        return self.path / f"{settings.density}-{checksummed.fingerprint(settings.relevant_settings(), digits=8)}"

    def save_scorer(self, fitted: FittedScorer) -> None:
        """Writes a fitted scorer beside the detector, in one step; call it only under the directory's lock."""
        folder = self.scorer_path(fitted.settings)
        atomic.clear_leftovers(folder)
        with atomic.new_directory(folder) as temporary:
            score_files.write_scores(temporary / SCORES, fitted.train_scores)
            atomic.write_text(temporary / SETTINGS, json.dumps(fitted.settings.relevant_settings(), indent=1))
            if fitted.density:
                arrays: dict[str, Any] = dict(fitted.density.arrays)
                np.savez(temporary / DENSITY, **arrays)

    def require_scorer(self, settings: Scorer) -> Path:
        """Folder of a fitted scorer that exists.

        Raises:
          DataError: If it does not exist.
        """
        folder = self.scorer_path(settings)
        if not folder.exists():
            raise DataError(
                f"Expected the scorer that the configuration describes in {folder}, but there is none; "
                "run `ganad train`, which fits it without training the detector again."
            )
        return folder

    def load_scorer(self, settings: Scorer) -> FittedScorer:
        """Loads a scorer that `save_scorer` wrote.

        Raises:
          DataError: If it is missing or can't be read.
        """
        folder = self.require_scorer(settings)
        try:
            train_scores = tuple(score_files.read_scores(folder / SCORES))
            if settings.name == "paper":
                return FittedScorer(settings, None, train_scores)
            with (folder / DENSITY).open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
                density = compound_densities.from_arrays(settings.density, dict(arrays))
                return FittedScorer(settings, density, train_scores)
        except (*checksummed.READ_ERRORS, DataError) as error:
            raise training_record.unreadable(folder, error) from error


def make_record(config: Config, **facts: Any) -> dict[str, Any]:
    """Content for `training.json`: the configuration, the versions, and `facts` about this training."""
    return {"config": to_dict(config), "settings": config.training_settings(), "versions": versions(), **facts}


def versions() -> dict[str, str]:
    """Versions of this package and of the libraries that scores depend on."""
    return {
        "ganad_tf": __version__,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
