"""`SoundAnomalyDetector`: the package as an outlier detector of scikit-learn."""

import dataclasses
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from ganad_tf import config as configuration
from ganad_tf.cache.prepare import cache_paths, prepare_cache
from ganad_tf.config import Config
from ganad_tf.errors import ConfigError, ThresholdError
from ganad_tf.estimator import recordings, saved
from ganad_tf.estimator.fitted import FittedDetector, keep
from ganad_tf.estimator.recordings import Recordings
from ganad_tf.estimator.settings import Settings, make_config
from ganad_tf.exporting import savedmodel
from ganad_tf.findings.finding import in_words
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring.fit import check_clip_count
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.selection import select, words
from ganad_tf.training.build import build
from ganad_tf.training.calibrate import Show, calibrate_detector
from ganad_tf.training.train import train_detector

logger = logging.getLogger(__name__)


class SoundAnomalyDetector(OutlierMixin, BaseEstimator):
    """Detector of anomalies in the sound of one machine, for scikit-learn.

    Recordings are paths of audio files; or arrays `[samples]`, floating-point numbers in [-1, 1] or int16; or one array
    `[clips, samples]`. `fit` takes recordings of the healthy machine alone. The stages of `ganad run` do the work: the
    same recordings, settings and seed give the same scores.

    Directions are those of scikit-learn: for anomalies, `score_samples` and `decision_function` are low and `predict`
    is -1. `anomaly_scores` and the attributes with PyOD's names are high, as everywhere else in this package.

    Args:
      settings: A YAML file, or a mapping of its sections. None for those of `ganad run FOLDER`: the recommended ones
        (`yaml/recommended.yaml`), with scorer and weights selected by the normal recordings alone. The threshold is
        conformal unless they choose another.
      machine: Name of the machine; its section under `machines` in the settings applies.
      sample_rate: Sample rate of arrays and files in Hz; None for that of the settings, 16000 by default.
      false_alarms: Share of normal recordings that may be called anomalous; None for that of the settings, 0.05 by
        default.
      seed: Seed of training and folds; None for that of the settings, 0 by default.
      verbose: 1 for a progress bar per training.

    Attributes:
      settings_: Settings of the fitted detector, with what was selected; as `settings` they give the same detector.
      decision_scores_: Anomaly scores `[clips]` of the training recordings, in their order; with a conformal threshold
        each by a detector that has not seen it.
      threshold_: Anomaly score above which a recording is an anomaly; None if there are too few recordings for
        `false_alarms`.
      offset_: `-threshold_`; `decision_function` is `score_samples - offset_`.
      labels_: `[clips]`, 1 for the training recordings above the threshold and 0 for the others; None without one.
      calibration_scores_: Anomaly scores of normal recordings, for p-values; empty without a conformal threshold.
    """

    def __init__(
        self,
        settings: Settings = None,
        *,
        machine: str = "machine",
        sample_rate: int | None = None,
        false_alarms: float | None = None,
        seed: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.settings = settings
        self.machine = machine
        self.sample_rate = sample_rate
        self.false_alarms = false_alarms
        self.seed = seed
        self.verbose = verbose

    def fit(
        self, X: Recordings, y: object = None, *, groups: Sequence[object] | str | None = "auto"
    ) -> "SoundAnomalyDetector":
        """Trains and calibrates the detector.

        Args:
          X: Recordings of the healthy machine.
          y: Ignored.
          groups: Per recording the longer one that it was cut from, or whose channel it is; None if each stands alone.
            Those of one group are never in different folds, and p-values count them once. `auto` guesses the groups of
            files by names like `rec12_003.wav`, as `ganad run` does, and logs that; of arrays each stands alone.

        Raises:
          ConfigError: If a parameter or a setting is not valid.
          DataError: If recordings can't be used, or are too few.
          TrainingError: If a loss becomes NaN or infinite.
        """
        config = self._config()
        with tempfile.TemporaryDirectory(prefix="ganad-") as name:
            scratch = Path(name)
            listing, clips = recordings.list_training(X, config, self.machine, scratch / "recordings", groups)
            folders: dict[str, Any] = {
                f"{kind}_directory": str(scratch / kind) for kind in ("cache", "model", "result")
            }
            run = MachineRun(dataclasses.replace(config, **folders), listing, "dev")
            show = partial(_bar, bool(self.verbose))
            with _without_advice():
                _prepare(run)
                if self.settings is None and (choice := select(run, show=show)):
                    logger.info(words.in_words(choice))
                    config = self._config(choice.settings())
                    run = run.with_config(dataclasses.replace(config, **folders))
                _train(run, show)
            keep(run, scratch / "kept")
            fitted = FittedDetector(config, self.machine, scratch / "kept")
        self._remember(fitted, [clip.name for clip in clips])
        return self

    def fit_predict(self, X: Recordings, y: object = None, **fit_arguments: Any) -> np.ndarray:
        """Trains the detector and judges its training recordings: -1 for those with the label 1, 1 for the others.

        Raises:
          ThresholdError: If there are too few recordings for `false_alarms`.
        """
        self.fit(X, y, **fit_arguments)
        self._fitted.threshold()
        return np.where(np.asarray(self.labels_) == 1, -1, 1)

    def anomaly_scores(self, X: Recordings) -> np.ndarray:
        """Anomaly scores `[clips]`, those of `ganad score`; higher is more anomalous.

        Raises:
          NotFittedError: If `fit` was not called.
          DataError: If recordings can't be used, or are not judged, as of a dead microphone; names them all. Those
            for which `not_judged` gives no reason have a score.
        """
        check_is_fitted(self)
        return self._fitted.scores(recordings.items_of(X))

    def not_judged(self, X: Recordings) -> np.ndarray:
        """Reasons `[clips]` why recordings have no score, such as `dead microphone`; empty strings for the others.

        They are those of `ganad score` and `ganad predict`: other recording conditions than in training.

        Raises:
          DataError: If recordings can't be used; names them all.
        """
        check_is_fitted(self)
        return np.array(self._fitted.not_judged(recordings.items_of(X)))

    def score_samples(self, X: Recordings) -> np.ndarray:
        """Negated anomaly scores `[clips]`: higher is more normal."""
        return -self.anomaly_scores(X)

    def decision_function(self, X: Recordings) -> np.ndarray:
        """Threshold minus anomaly score, `[clips]`: negative for anomalies.

        Raises:
          ThresholdError: If there were too few recordings for `false_alarms`.
        """
        check_is_fitted(self)
        return self._fitted.threshold() - self.anomaly_scores(X)

    def predict(self, X: Recordings) -> np.ndarray:
        """Decisions `[clips]`: -1 for anomalies, 1 for the others.

        Raises:
          ThresholdError: If there were too few recordings for `false_alarms`.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Recordings) -> np.ndarray:
        """Shares `[clips]` of normal recordings that are at least as unusual; above 0.

        Recordings of one group count as one; see `ganad_tf.results.conformal.p_values`.

        Raises:
          ConfigError: If the threshold is not conformal.
        """
        check_is_fitted(self)
        method = self._fitted.config.threshold.method
        if method != "conformal":
            raise ConfigError(f"Expected `threshold.method: conformal` for p-values. Received: {method}; fit again.")
        return self._fitted.normal_scores.p_values(self.anomaly_scores(X))

    def explain(self, clip: os.PathLike[str] | str | np.ndarray) -> dict[str, np.ndarray]:
        """Explains the score of one recording, as the signature `explain` of exported models does.

        Returns:
          `log_mel` and `reconstruction` `[frames, mels]` in dB, `window_scores` `[windows]`, `band_residual` `[mels]`
          in dB, and `anomaly_score`.

        Raises:
          ConfigError: If the features are not in decibels, such as embeddings.
          DataError: If the recording can't be used, or is not judged.
        """
        check_is_fitted(self)
        (item,) = recordings.items_of([clip])
        return self._fitted.explain(item)

    def explain_in_words(self, clip: os.PathLike[str] | str | np.ndarray) -> str:
        """Differences of one recording from the healthy machine in words, those of `ganad predict --explain`.

        Raises:
          ConfigError: If the features are not in decibels, such as embeddings.
          DataError: If the recording can't be used, or is not judged, or there were fewer than three for `fit`.
        """
        check_is_fitted(self)
        (item,) = recordings.items_of([clip])
        return in_words(self._fitted.findings(item))

    def export(self, directory: str | os.PathLike[str], *, longest_seconds: float = savedmodel.LONGEST_SECONDS) -> Path:
        """Exports a SavedModel from sound to score, as `ganad export`, for `ganad predict` and `ganad serve`.

        Args:
          directory: Folder of the model's versions, such as `exported_models/fan`; its name is the model's.
          longest_seconds: Maximum length of a clip that the model takes.

        Returns:
          Folder of the new version.

        Raises:
          ExportError: If there is no threshold, or the exported model's scores differ.
          DataError: If the folder can't be written.
        """
        check_is_fitted(self)
        path, run = Path(os.path.abspath(directory)), self._fitted.run  # noqa: PTH100 - `resolve` would follow links
        with_path = dataclasses.replace(run.config, export_directory=str(path.parent))
        return savedmodel.export(run.with_config(with_path), path.name, longest_seconds=longest_seconds)

    def save(self, directory: str | os.PathLike[str]) -> None:
        """Writes the fitted estimator to a folder; replaces a saved one.

        Raises:
          WriteError: If the folder holds something else or can't be written.
        """
        check_is_fitted(self)
        saved.save(Path(directory), self._fitted, self.get_params(deep=False), self._clips)

    @classmethod
    def load(cls, directory: str | os.PathLike[str]) -> "SoundAnomalyDetector":
        """Reads an estimator that `save` wrote. No code in the folder is run.

        Raises:
          DataError: If it is missing or can't be read.
        """
        parameters, fitted, clips = saved.load(Path(directory))
        estimator = cls(**parameters)
        estimator._remember(fitted, clips)
        return estimator

    def _config(self, selected: Mapping[str, Any] | None = None) -> Config:
        given = {name: getattr(self, name) for name in ("sample_rate", "false_alarms", "seed")}
        return make_config(self.settings, self.machine, **given, selected=selected)

    def _remember(self, fitted: FittedDetector, clips: list[str]) -> None:
        """Sets the attributes of a fitted estimator, in the order of `clips`."""
        normal = fitted.normal_scores
        scores = {clip.name: clip.score for clip in normal.calibration or normal.training}
        self._fitted, self._clips = fitted, clips
        self.settings_ = configuration.to_dict(fitted.config)
        self.calibration_scores_ = np.array(normal.calibration_values())
        self.decision_scores_ = np.array([scores.get(name, np.nan) for name in clips])
        try:
            self.threshold_: float | None = fitted.threshold()
        except ThresholdError:
            self.threshold_ = self.offset_ = self.labels_ = None
            return
        self.offset_ = -self.threshold_
        self.labels_ = (~(self.decision_scores_ <= self.threshold_)).astype(int)  # also 1 where there is no score


def _prepare(run: MachineRun) -> None:
    """Computes the log-mels, after settings have been refused that no detector can be trained with."""
    for system in run.systems():
        if needs_machine_ids(DETECTORS[system.config.model.name], system.config.scorer):
            raise ConfigError(
                f"Expected a detector and a scorer without labels: `fit` takes no machine IDs, and "
                f"{system.config.model.name} needs them here; `ganad train` does."
            )
        build(system.config)
        check_clip_count(system, run.listing.clips)
    by_caches = {cache_paths(system, "train"): system for system in run.systems()}  # members share caches
    for system in by_caches.values():
        prepare_cache(system, "train")


def _train(run: MachineRun, show: Show) -> None:
    """Trains and calibrates the detector, or the members of an ensemble."""
    for system in run.systems():
        with show(f"{system.title} train") as callbacks:
            train_detector(system, callbacks=callbacks)
        calibrate_detector(system, show=show)


@contextmanager
def _bar(is_wanted: bool, label: str) -> Iterator[tuple[keras.callbacks.Callback, ...]]:
    """Yields Keras callbacks that show a progress bar, in a terminal or a notebook; none if it is not wanted."""
    if not is_wanted:
        yield ()
        return
    with tqdm(desc=label, unit="epoch") as bar:
        yield (
            keras.callbacks.LambdaCallback(on_train_begin=lambda *_: bar.reset(), on_epoch_end=lambda *_: bar.update()),
        )


@contextmanager
def _without_advice() -> Iterator[None]:
    """Drops TensorFlow's advice against tracing a function for each fold, which is meant for authors of graphs."""

    def is_wanted(record: logging.LogRecord) -> bool:
        return "triggered tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(is_wanted)
    try:
        yield
    finally:
        logger.removeFilter(is_wanted)
