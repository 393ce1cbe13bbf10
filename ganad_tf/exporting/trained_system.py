"""Detectors, fitted scorers and scores of normal clips of one machine type, read from disk to score sound by them."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import config as configuration
from ganad_tf.config import Config, reader
from ganad_tf.config.sections import Scorer, Storage
from ganad_tf.errors import ExportError, ThresholdError
from ganad_tf.exporting.graph import (
    Member,
    Precision,
    SoundScorer,
    frozen_networks,
    recording_limits,
    shortest_clip,
)
from ganad_tf.features import feature_layer, memory
from ganad_tf.findings.healthy import Healthy
from ganad_tf.results import ensemble, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import NormalScores
from ganad_tf.run import MachineRun
from ganad_tf.scoring import calibration, clip_values, score
from ganad_tf.scoring import recordings as scoring_recordings
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.model_directory import ModelDirectory


@dataclass(frozen=True)
class TrainedSystem:
    """Detectors of one machine type, or those of an ensemble, with all that turns sound into scores and decisions.

    Attributes:
      run: Run of the machine type, with the members' audio and feature settings.
      members: One detector, or those of an ensemble.
      training: Scores of the normal training clips, `[members, clips]`.
      threshold: Clips with a higher score are anomalies; NaN if it is not set.
      calibration: Scores of normal clips that the members have not seen, `[members, clips]`; no clips without
        calibration.
      healthy: Sound of the healthy machine, with the first member's features; None if it was not described.
    """

    run: MachineRun
    members: tuple[Member, ...]
    training: np.ndarray
    threshold: float
    calibration: np.ndarray
    healthy: Healthy | None = None

    @property
    def config(self) -> Config:
        """Configuration of the run."""
        return self.run.config

    def graph(self, *, precision: Precision = "float64", longest_samples: int | None = None) -> SoundScorer:
        """Builds the graph, for clips of up to `longest_samples`."""
        return SoundScorer(
            self.config,
            self.members,
            self.threshold,
            calibration=self.normal_scores().calibration,
            precision=precision,
            longest_samples=longest_samples,
        )

    def normal_scores(self) -> NormalScores:
        """Scores of the normal training clips and of those for calibration, by name."""
        first = self.members[0].fitted
        unseen = _named(first.calibration_scores, self.calibration_scores())
        pairs = zip(unseen, self.calibration_recordings(), strict=True)
        calibration = [dataclasses.replace(clip, recording=name) for clip, name in pairs]
        return NormalScores(_named(first.train_scores, self.train_scores()), calibration)

    def decision_threshold(self) -> float:
        """The threshold of the section `threshold`.

        Raises:
          ThresholdError: If the scores of normal clips determine none.
        """
        return self.normal_scores().threshold(self.config.threshold)

    def shortest_clip(self) -> tuple[int, int]:
        """Number of samples and of spectra of the shortest clip that can be scored."""
        return shortest_clip(self.config, self.members)

    def train_scores(self) -> np.ndarray:
        """Scores `[clips]` of the normal training clips, those of an ensemble combined."""
        return self._combined(self.training)

    def calibration_scores(self) -> np.ndarray:
        """Scores `[clips]` for calibration, those of an ensemble combined."""
        return self._combined(self.calibration) if self.calibration.size else np.empty(0)

    def calibration_recordings(self) -> list[str]:
        """Recording of each calibration clip, in the order of the scores; empty for clips that stand alone."""
        recordings = ensemble.recordings_of(member.fitted.calibration_scores for member in self.members)
        return [recordings[clip.name] for clip in self.members[0].fitted.calibration_scores]

    def live_scores(self, log_mels: Sequence[np.ndarray], machine_ids: Sequence[str] | None = None) -> np.ndarray:
        """Scores `[clips]` of log-mels `[frames, mels]` in dB, by the code of `ganad score`.

        Args:
          log_mels: The clips.
          machine_ids: Machine ID of each clip; None if no member needs them.
        """
        scores = []
        for scorer, compute in self._functions:
            values = [compute(memory.as_tensor(log_mel))[0].numpy() for log_mel in log_mels]
            machines = machine_ids or [""] * len(values)
            pairs = zip(values, machines, strict=True)
            scores.append([clip_values.of_machine(value, scorer, machine_id) for value, machine_id in pairs])
        return self._combined(np.array(scores, np.float64))

    def not_judged(self, waveform: np.ndarray, log_mel: np.ndarray) -> str:
        """Reason why a clip, `[samples]` and `[frames, mels]` in dB, is not judged; empty if it is."""
        return self._verdict(waveform, log_mel)

    def live_log_mels(self, waveforms: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Log-mels `[frames, mels]` in dB of waveforms `[samples]`, by the code of `ganad prepare`."""
        return [self._log_mel(memory.as_tensor(waveform)).numpy() for waveform in waveforms]

    def scale(self, scores: np.ndarray) -> np.ndarray:
        """Denominators of relative score differences: |score|, with a floor near zero.

        An ensemble's z-scores pass through zero, and nearest-neighbour distances start there.
        """
        least = 1.0 if self.config.ensemble.members else max(1e-6 * abs(self.threshold), 1e-30)
        return np.maximum(np.abs(scores), least)

    @cached_property
    def _functions(self) -> list[tuple[ClipFunction, Callable[[tf.Tensor], list[tf.Tensor]]]]:
        """Scorers of the members, each with its compiled function from log-mels."""
        scorers = [clip_values.scorer_function(member.model, member.fitted) for member in self.members]
        return [
            (scorer, clip_values.clip_function(member.model, [scorer]))
            for member, scorer in zip(self.members, scorers, strict=True)
        ]

    @cached_property
    def _verdict(self) -> Callable[[np.ndarray, np.ndarray], str]:
        limits = recording_limits(self.members)
        return scoring_recordings.clip_verdict(limits) if limits else lambda *_: ""

    @cached_property
    def _log_mel(self) -> Callable[[tf.Tensor], tf.Tensor]:
        layer = feature_layer(self.config.audio, self.config.feature)
        return tf.function(layer.in_pieces, input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)

    def _combined(self, scores: np.ndarray) -> np.ndarray:
        if not self.config.ensemble.members:
            return scores[0]
        how, shares = self.config.ensemble.combine, self.config.ensemble.shares()
        if not ensemble.combines_by_calibration(self.config):
            return ensemble.combine(scores, self.training, how, shares=shares)
        if scores is self.calibration:
            return ensemble.combine_each_without_itself(scores, how, shares, self.calibration_recordings())
        return ensemble.combine(scores, self.calibration, how, shares=shares)


def gather(run: MachineRun) -> TrainedSystem:
    """As `load`, with the threshold.

    Raises:
      ExportError: If the scores of normal clips give no threshold, the members do not fit together, or a frozen network
        is in ONNX.
      DataError, ConfigError: As `load`.
    """
    system = load(run)
    if not all(network.is_in_graph for network in frozen_networks(system.config, system.members)):
        raise ExportError(
            f"Expected a network of TensorFlow, as SavedModel or .keras file, in an exported model of {run.machine}; "
            "one in ONNX is computed outside its graph."
        )
    try:
        return dataclasses.replace(system, threshold=system.decision_threshold())
    except ThresholdError as error:
        raise ExportError(f"An exported model of {run.machine} needs a threshold. {error}") from error


def load(run: MachineRun) -> TrainedSystem:
    """Reads the detector of one machine type, or the detectors of an ensemble, without a threshold.

    Raises:
      DataError: If a file is missing or can't be read.
      ConfigError: If the detector was trained with different settings.
      ExportError: If the members do not fit together.
    """
    if not run.config.ensemble.members:
        gathered = [_trained(run)]
    else:
        gathered = _members(run)
        run = run.with_config(_with_shared_features(run.config, [config for config, _, _ in gathered]))
    members = [member for _, member, _ in gathered]
    training = _aligned([member.fitted.train_scores for member in members], run.config)
    unseen = _aligned([member.fitted.calibration_scores for member in members], run.config)
    return TrainedSystem(run, tuple(members), training, np.nan, calibration=unseen, healthy=gathered[0][2])


def _members(run: MachineRun) -> list[tuple[Config, Member, Healthy | None]]:
    """An ensemble's members: trained with it, or behind a result directory; as `_trained`."""
    trained = {member.config.result_directory: member for member in run.members()}
    with_limits = run.config.checks_recordings
    return [
        _trained(trained[folder])
        if folder in trained
        else _member(MachineResults(Path(folder), run.mode, run.machine), run.config.storage, with_limits=with_limits)
        for folder in run.config.member_directories()
    ]


def _trained(run: MachineRun) -> tuple[Config, Member, Healthy | None]:
    """Configuration, detector and healthy sound of a run that is trained."""
    directory = score.detector_directory(run)
    return run.config, _load(directory, run.config, with_limits=run.config.checks_recordings), directory.load_healthy()


def _load(directory: ModelDirectory, config: Config, *, with_limits: bool) -> Member:
    limits = directory.load_limits() if with_limits else None
    return Member(directory.load(), calibration.load_scorer(directory, config), limits)


def _member(results: MachineResults, storage: Storage, *, with_limits: bool) -> tuple[Config, Member, Healthy | None]:
    """Configuration, detector and healthy sound behind the score files in a member's result directory."""
    origin = results.read_origin()
    if not origin or "detector" not in origin:
        raise ExportError(
            f"Expected the scores of a trained detector in {results.directory}, as `ganad score` notes it in "
            f"{results.origin.name}; scores from elsewhere, or of an ensemble, can't be exported."
        )
    directory = ModelDirectory(Path(storage.local(origin["detector"])))
    record = directory.record()
    settings = {key: value for key, value in origin["settings"].items() if not key.startswith("scorer.")}
    advice = "run `ganad score` on the members again"
    subject = f"The detector in {directory.path}"
    reader.refuse_other_settings(subject, record["settings"], settings, advice)
    scored_by = dataclasses.replace(
        configuration.from_mapping(origin["config"], source=str(results.origin)), scorer=_scorer(origin["settings"])
    )
    member = _load(directory, scored_by, with_limits=with_limits)
    if tuple(score_files.read_scores(results.train_scores)) != member.fitted.train_scores:
        raise ExportError(
            f"The scores in {results.directory} are not those of the detector in {directory.path} any more; {advice}."
        )
    config = configuration.from_mapping(record["config"], source=str(directory.path))
    return config, member, directory.load_healthy()


def _scorer(settings: dict[str, Any]) -> Scorer:
    prefix = "scorer."
    return Scorer(**{key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)})


def _with_shared_features(config: Config, members: list[Config]) -> Config:
    """The ensemble's configuration with the audio and feature settings that all members share."""
    first, labels = members[0], config.ensemble.labels()
    for member, label in zip(members, labels, strict=True):
        if _log_mel_settings(member) != _log_mel_settings(first):
            raise ExportError(
                f"Expected the same `audio` and `feature` settings in {label} as in {labels[0]}: "
                "one exported model has one set of features."
            )
    return dataclasses.replace(config, audio=first.audio, feature=first.feature)


def _log_mel_settings(config: Config) -> dict[str, Any]:
    """Settings that a log-mel depends on; `frames` and `standardize` may differ between members."""
    settings = config.feature_settings()
    del settings["feature"]["frames"]
    settings.pop("cache", None)  # exported models compute log-mels from recordings
    return settings


def _named(clips: Sequence[ClipScore], scores: np.ndarray) -> list[ClipScore]:
    """Scores with the names of clips."""
    return [ClipScore(clip.name, float(score)) for clip, score in zip(clips, scores, strict=True)]


def _aligned(scores: Sequence[Sequence[ClipScore]], config: Config) -> np.ndarray:
    """Scores of the same clips by each member, `[members, clips]`."""
    tables = [{score.name: score.score for score in of_member} for of_member in scores]
    labels = config.ensemble.labels()
    for table, label in zip(tables, labels, strict=False):
        if table.keys() != tables[0].keys():
            raise ExportError(f"{label} was trained on other clips than {labels[0]}.")
    return np.array([[table[name] for name in tables[0]] for table in tables])
