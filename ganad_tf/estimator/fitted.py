"""A trained detector with its scorer, in a folder of its own: what a fitted estimator holds."""

import dataclasses
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import audio
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import evenly_spread
from ganad_tf.config import Config
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.estimator import recordings
from ganad_tf.estimator.recordings import Item
from ganad_tf.exporting import trained_system
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.features import fewest_samples, memory
from ganad_tf.findings.explain import explain
from ganad_tf.findings.finding import Finding
from ganad_tf.findings.healthy import LEAST_CLIPS
from ganad_tf.recording_check import NOT_JUDGED
from ganad_tf.results.thresholds import NormalScores
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory

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

    @cached_property
    def normal_scores(self) -> NormalScores:
        """Scores of the training clips."""
        return self._system.normal_scores()

    def threshold(self) -> float:
        """Score above which a clip is an anomaly.

        Raises:
          ThresholdError: If the scores of the training clips determine none.
        """
        return self._system.decision_threshold()

    def scores(self, items: Sequence[Item]) -> np.ndarray:
        """Anomaly scores `[clips]` float64, to the last digit those of `ganad score`.

        Raises:
          DataError: If recordings can't be used, or are not judged; names them all.
        """
        scores, faults = [], []
        for number, item in enumerate(items):
            try:
                scores.append(self._score(item, number))
            except DataError as error:
                faults.append(error)
        recordings.refuse_faults(faults, len(items))
        if not np.isfinite(scores).all():
            raise DataError(
                "The anomaly score of a recording is not a number; the detector is not usable, fit it again."
            )
        return np.array(scores)

    def not_judged(self, items: Sequence[Item]) -> list[str]:
        """Reason why each clip is not judged, as of a dead microphone; empty for those that are.

        Raises:
          DataError: If recordings can't be used; names them all.
        """
        reasons, faults = [], []
        for number, item in enumerate(items):
            try:
                reasons.append(self._system.not_judged(*self._read(item, number)))
            except DataError as error:
                faults.append(error)
        recordings.refuse_faults(faults, len(items))
        return reasons

    def explain(self, item: Item) -> dict[str, np.ndarray]:
        """Outputs of the signature `explain` of exported models for one clip, without the batch's axis.

        Raises:
          ConfigError: If the features are not in decibels, such as embeddings.
          DataError: If the clip can't be used, or is not judged.
        """
        self._require_decibels()
        waveform, _ = self._judged(item, 0)
        explained = self._graph.functions["explain"](waveform[np.newaxis])
        return {name: value[0].numpy() for name, value in explained.items()}

    def findings(self, item: Item) -> list[Finding]:
        """Differences of one clip from the healthy machine, the most telling first.

        Raises:
          ConfigError: If the features are not in decibels, such as embeddings.
          DataError: If the clip can't be used, or is not judged, or too few clips describe the healthy machine.
        """
        self._require_decibels()
        if self._system.healthy is None:
            raise DataError(
                f"Expected at least {LEAST_CLIPS} recordings of the healthy machine in training to find differences "
                "from it; fit again with more."
            )
        waveform, log_mel = self._judged(item, 0)
        return explain(self._system.healthy, log_mel, waveform)

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
    def _system(self) -> TrainedSystem:
        return trained_system.load(self.run)

    @cached_property
    def _graph(self) -> SoundScorer:
        return self._system.graph()

    def _require_decibels(self) -> None:
        if not self.config.feature.is_in_decibels:
            raise ConfigError(
                f"Expected spectra in decibels to explain a recording by. Received: {self.config.feature.in_words}."
            )

    def _score(self, item: Item, number: int) -> float:
        _, log_mel = self._judged(item, number)
        with memory.enough_for(Path(recordings.name_of(item, number))):
            (score,) = self._system.live_scores([log_mel])
        return float(score)

    def _judged(self, item: Item, number: int) -> tuple[np.ndarray, np.ndarray]:
        """As `_read`; raises a DataError if the clip is not judged."""
        waveform, log_mel = self._read(item, number)
        if reason := self._system.not_judged(waveform, log_mel):
            raise DataError(f"{recordings.name_of(item, number)}: {NOT_JUDGED} {reason}.")
        return waveform, log_mel

    def _read(self, item: Item, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Waveform `[samples]` and log-mel `[frames, mels]` in dB of a clip."""
        with memory.enough_for(Path(recordings.name_of(item, number))):
            waveform = recordings.waveform(item, number, self.config, self._system.shortest_clip()[0])
            (log_mel,) = self._system.live_log_mels([waveform])
        return waveform, log_mel


def keep(run: MachineRun, folder: Path) -> None:
    """Copies the trained detectors of a run to a folder, without their folds, and writes examples of its recordings."""
    for system in run.systems():
        source = ModelDirectory.of(system).path
        copied = folder / MODEL / source.relative_to(run.config.model_directory)
        shutil.copytree(source, copied, ignore=shutil.ignore_patterns("folds"))
    entries, settings = Cache(run.systems()[0], "train").current().entries, run.config.audio
    most = max(EXAMPLE_SECONDS * settings.sample_rate, fewest_samples(run.config.feature))
    for number, index in enumerate(evenly_spread(len(entries), N_EXAMPLES)):
        samples = audio.read(run.listing.directory / entries[index].clip.file, settings)[:most]
        recordings.write_wav(folder / EXAMPLES / f"{number}.wav", samples, settings)
