"""A trained detector with its scorer, in a folder of its own: what a fitted estimator holds."""

import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import evenly_spread
from ganad_tf.config import Config
from ganad_tf.errors import DataError, ThresholdError
from ganad_tf.estimator import recordings
from ganad_tf.estimator.recordings import Item
from ganad_tf.exporting.graph import Member, SoundScorer
from ganad_tf.features import fewest_samples, log_mel_layer, memory
from ganad_tf.results.thresholds import NormalScores, threshold
from ganad_tf.run import MachineRun
from ganad_tf.scoring import calibration, clip_values
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory, TrainedDetector

MODEL, EXAMPLES = "model", "examples"
N_EXAMPLES, EXAMPLE_SECONDS = 8, 10  # an export is verified by them when the recordings themselves are gone


class FittedDetector:
    """A trained detector with its scorer and some of its recordings, in a folder that is deleted with the object.

    Copies and pickles hold the folder's files.

    Args:
      config: Configuration that it was trained with.
      machine: Name of the machine.
      source: Folder that `save` or `keep` wrote; it is copied.
    """

    def __init__(self, config: Config, machine: str, source: Path) -> None:
        self.config = config
        self.machine = machine
        self._folder = self._new_folder()
        shutil.copytree(source, self._folder, dirs_exist_ok=True)

    @property
    def run(self) -> MachineRun:
        """Run of the detector on its examples."""
        folder = self._folder
        config = dataclasses.replace(self.config, model_directory=str(folder / MODEL))
        return MachineRun(config, recordings.list_written(folder / EXAMPLES, self.machine), "dev")

    @property
    def normal_scores(self) -> NormalScores:
        """Scores of the training clips."""
        return self._scorer.normal_scores

    def threshold(self) -> float:
        """Score above which a clip is an anomaly.

        Raises:
          ThresholdError: If the scores of the training clips determine none.
        """
        return threshold(self.normal_scores.deciding(self.config.threshold), self.config.threshold)

    def scores(self, items: Sequence[Item]) -> np.ndarray:
        """Anomaly scores `[clips]` float64, to the last digit those of `ganad score`.

        Raises:
          DataError: If recordings can't be used; names them all.
        """
        scores, faults = [], []
        for number, item in enumerate(items):
            try:
                scores.append(float(self._score(self._log_mel(item, number)).numpy()))
            except DataError as error:
                faults.append(error)
        recordings.refuse_faults(faults, len(items))
        if not np.isfinite(scores).all():
            raise DataError(
                "The anomaly score of a recording is not a number; the detector is not usable, fit it again."
            )
        return np.array(scores)

    def explain(self, item: Item) -> dict[str, np.ndarray]:
        """Outputs of the signature `explain` of exported models for one clip, without the batch's axis."""
        waveform = recordings.waveform(item, 0, self.config)
        explained = self._graph.functions["explain"](waveform=waveform[np.newaxis])
        return {name: value[0].numpy() for name, value in explained.items()}

    def save(self, folder: Path) -> None:
        """Copies its files to a folder."""
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)

    def __getstate__(self) -> dict[str, Any]:
        folder = self._folder
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
        return {"config": self.config, "machine": self.machine, "files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.config, self.machine = state["config"], state["machine"]
        self._folder = self._new_folder()
        for name, content in state["files"].items():
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def _new_folder(self) -> Path:
        """A folder that is deleted with the object; a `TemporaryDirectory` would warn then."""
        folder = tempfile.mkdtemp(prefix="ganad-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    @cached_property
    def _model(self) -> TrainedDetector:
        return ModelDirectory.of(self.run).load()

    @cached_property
    def _scorer(self) -> FittedScorer:
        return calibration.load_scorer(ModelDirectory.of(self.run), self.config)

    @cached_property
    def _features(self) -> Callable[[tf.Tensor], tf.Tensor]:
        layer = log_mel_layer(self.config.audio, self.config.feature)
        return tf.function(layer.in_pieces, input_signature=[tf.TensorSpec([None], tf.float32)])

    @cached_property
    def _functions(self) -> Callable[[tf.Tensor], list[tf.Tensor]]:
        return clip_values.clip_function(self._model, [clip_values.scorer_function(self._model, self._scorer)])

    @cached_property
    def _graph(self) -> SoundScorer:
        try:
            limit = self.threshold()
        except ThresholdError:
            limit = np.nan
        normal = self.normal_scores.calibration_values()
        return SoundScorer(self.config, [Member(self._model, self._scorer)], limit, calibration=normal)

    def _log_mel(self, item: Item, number: int) -> tf.Tensor:
        """Log-mel `[frames, mels]` in dB."""
        with memory.enough_for(item if isinstance(item, Path) else Path(f"recording {number}")):
            return self._features(memory.as_tensor(recordings.waveform(item, number, self.config)))

    def _score(self, log_mel: tf.Tensor) -> tf.Tensor:
        return self._functions(log_mel)[0]


def keep(run: MachineRun, folder: Path) -> None:
    """Copies the trained detector of a run to a folder, without its folds, and writes examples of its recordings."""
    source = ModelDirectory.of(run).path
    copied = folder / MODEL / source.relative_to(run.config.model_directory)
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("folds"))
    entries, settings = Cache(run, "train").current().entries, run.config.audio
    most = max(EXAMPLE_SECONDS * settings.sample_rate, fewest_samples(run.config.feature))
    for number, index in enumerate(evenly_spread(len(entries), N_EXAMPLES)):
        samples = audio.read(run.listing.directory / entries[index].clip.file, settings)[:most]
        recordings.write_wav(folder / EXAMPLES / f"{number}.wav", samples, settings)
