"""What an export is made of: the detectors, scorers and training scores of one machine type, from disk."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import config as configuration
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode, reader
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ExportError, ThresholdError
from ganad_tf.exporting.graph import Member, Precision, SoundScorer, shortest_clip
from ganad_tf.features import log_mel_of
from ganad_tf.results import ensemble, score_files
from ganad_tf.results.thresholds import threshold
from ganad_tf.scoring import model_directory
from ganad_tf.scoring import score as scoring


@dataclass(frozen=True)
class Gathered:
    """One machine type's detectors, ready to be put into one graph.

    Attributes:
      config: The experiment, with the members' audio and feature settings.
      members: One detector, or those of an ensemble.
      directories: Where each of them is.
      training: Scores of the normal training clips, `[members, clips]`.
      threshold: Above which score a clip is anomalous.
    """

    config: Config
    members: tuple[Member, ...]
    directories: tuple[Path, ...]
    training: np.ndarray
    threshold: float

    def graph(self, *, precision: Precision = "float64", longest_samples: int | None = None) -> SoundScorer:
        """The one graph, for clips of up to `longest_samples`."""
        return SoundScorer(
            self.config, self.members, self.threshold, precision=precision, longest_samples=longest_samples
        )

    def shortest_clip(self) -> tuple[int, int]:
        """Samples and spectra of the shortest clip that can be scored."""
        return shortest_clip(self.config, self.members)

    def train_scores(self) -> np.ndarray:
        """Scores of the normal training clips, `[clips]`, combined where there are several members."""
        return self._combined(self.training)

    def live_scores(self, log_mels: Sequence[np.ndarray]) -> np.ndarray:
        """The scores `[clips]` of log-mels `[frames, mels]` in dB, by the way that `ganad score` takes."""
        functions = [
            scoring.clip_function(member.model, [scoring.scorer_function(member.model, member.fitted)])
            for member in self.members
        ]
        scores = [[function(tf.constant(log_mel))[0].numpy() for log_mel in log_mels] for function in functions]
        return self._combined(np.array(scores, np.float64))

    def live_log_mels(self, waveforms: Iterable[np.ndarray]) -> list[np.ndarray]:
        """`[samples]` each → `[frames, mels]` in dB by the way that `ganad prepare` takes."""
        layer = log_mel_of(self.config.audio, self.config.feature)
        log_mel = tf.function(layer.in_pieces, input_signature=[tf.TensorSpec([None], tf.float32)])
        return [log_mel(waveform).numpy() for waveform in waveforms]

    def scale(self, scores: np.ndarray) -> np.ndarray:
        """What differences of scores are compared with: the score itself, but for those about zero.

        An ensemble's scores, in deviations, pass through zero; a nearest neighbour's begin there.
        """
        least = 1.0 if self.config.ensemble.members else max(1e-6 * abs(self.threshold), 1e-30)
        return np.maximum(np.abs(scores), least)

    def _combined(self, scores: np.ndarray) -> np.ndarray:
        if not self.config.ensemble.members:
            return scores[0]
        return ensemble.combine(scores, self.training, self.config.ensemble.combine)


def gather(config: Config, listing: Listing, mode: Mode) -> Gathered:
    """Reads the detector of one machine type, or the detectors of an ensemble.

    Args:
      config: The experiment, as it is for this machine type.
      listing: The machine type's clips.
      mode: `dev` or `eval`.

    Raises:
      DataError: If something is missing or can't be read.
      ConfigError: If the detector was trained with other settings.
      ExportError: If the members don't fit together, or the training scores give no threshold.
    """
    if not config.ensemble.members:
        directory = scoring.detector_directory(config, listing, mode)
        found = [
            (
                config,
                directory,
                Member(model_directory.load(directory), model_directory.load_scorer(directory, config.scorer)),
            )
        ]
    else:
        found = [_member(config.within(folder), listing.machine, mode) for folder in config.ensemble.members]
        config = _shared(config, [own for own, _, _ in found])
    directories, members = [place for _, place, _ in found], [member for _, _, member in found]
    gathered = Gathered(config, tuple(members), tuple(directories), _training(members, config), threshold=np.nan)
    try:
        limit = threshold(list(gathered.train_scores()), config.threshold)
    except ThresholdError as error:
        raise ExportError(f"An exported model of {listing.machine} needs a threshold. {error}") from error
    return dataclasses.replace(gathered, threshold=limit)


def _member(config: Config, machine: str, mode: Mode) -> tuple[Config, Path, Member]:
    """The detector that made the score files in a member's result directory, with its configuration."""
    path = config.origin_path(mode, machine)
    origin = score_files.read_origin(path)
    if not origin or "detector" not in origin:
        raise ExportError(
            f"Expected the scores of a trained detector in {config.result_directory}, as `ganad score` notes it in "
            f"{path.name}; scores from elsewhere, or of an ensemble, can't be exported."
        )
    directory = Path(origin["detector"])
    model = model_directory.load(directory)
    settings = {key: value for key, value in origin["settings"].items() if not key.startswith("scorer.")}
    reader.refuse_other_settings(
        f"The detector in {directory}", model.record["settings"], settings, "run `ganad score` on the members again"
    )
    fitted = model_directory.load_scorer(directory, _scorer(origin["settings"]))
    if tuple(score_files.read_scores(config.train_score_path(mode, machine))) != fitted.train_scores:
        raise ExportError(
            f"The scores in {config.result_directory} are not those of the detector in {directory} any more; "
            "run `ganad score` on the members again."
        )
    own = configuration.from_mapping(model.record["config"], source=str(directory))
    return own, directory, Member(model, fitted)


def _scorer(settings: dict[str, Any]) -> Scorer:
    prefix = "scorer."
    return Scorer(**{key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)})


def _shared(config: Config, members: list[Config]) -> Config:
    """The ensemble's configuration with the features that all members have."""
    first = members[0]
    for member, folder in zip(members, config.ensemble.members, strict=True):
        if _sound(member) != _sound(first):
            raise ExportError(
                f"Expected the same `audio` and `feature` settings in {folder} as in {config.ensemble.members[0]}: "
                "one exported model hears with one set of features."
            )
    return dataclasses.replace(config, audio=first.audio, feature=first.feature)


def _sound(config: Config) -> dict[str, Any]:
    """What a log-mel depends on; `frames` and `standardize` are each member's own."""
    settings = config.feature_settings()
    del settings["feature"]["frames"]
    return settings


def _training(members: list[Member], config: Config) -> np.ndarray:
    tables = [{score.name: score.score for score in member.fitted.train_scores} for member in members]
    for table, folder in zip(tables, config.ensemble.members, strict=False):
        if table.keys() != tables[0].keys():
            raise ExportError(f"{folder} was trained on other clips than {config.ensemble.members[0]}.")
    return np.array([[table[name] for name in tables[0]] for table in tables])
