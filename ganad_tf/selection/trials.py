"""Trials of a system: it is trained without some of the normal clips, and scores these and corrupted copies of them."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import evenly_spread
from ganad_tf.config import Config
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import ConfigError
from ganad_tf.features import memory
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values, densities
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.folds import Fold, folds, has_enough_clips
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory, TrainedDetector
from ganad_tf.selection.corruptions import KINDS, N_STRENGTHS, Original, corrupt
from ganad_tf.selection.evidence import TrialScores
from ganad_tf.training.calibrate import Show, depends_on_clips, train_fold

N_FOLDS = 4
MOST_HELD_OUT = 40  # clips of a fold that are corrupted
ENOUGH = 20  # held-out clips; with them in one fold, the others are not tried


def trial_folds(run: MachineRun, scorers: Sequence[Scorer]) -> list[Fold]:
    """Folds of the normal training clips for trials: one of many clips, all four of few.

    Returns:
      The folds; none if there are too few recordings to leave some out.

    Raises:
      ConfigError: As `check_selectable`.
    """
    check_selectable(run.config)
    entries = Cache(run, "train").current().normal
    made = folds(entries, N_FOLDS, run.config.calibration.block, run.config.seed)
    if not all(has_enough_clips(fold, scorer) for fold in made for scorer in scorers):
        return []
    return made[:1] if made and len(made[0].held_out) >= ENOUGH else made


def check_selectable(config: Config) -> None:
    """Checks that corrupted copies of clips can judge a system.

    Raises:
      ConfigError: If its spectra are not in decibels, or its detector needs labels.
    """
    if not config.feature.is_in_decibels:
        raise ConfigError(
            "Expected spectra in decibels, of which copies can be corrupted, to select by. "
            f"Received: {config.feature.in_words}."
        )
    if DETECTORS[config.model.name].takes_machine_ids:
        raise ConfigError(f"Expected a detector without labels, to be selected by. Received: {config.model.name}.")


def trial_scores(
    run: MachineRun, scorers: Sequence[Scorer], tried: Sequence[Fold], show: Show, *, kept: Path | None = None
) -> list[TrialScores]:
    """Trains a system for each fold, without the fold's held-out clips, and scores these and corrupted copies.

    Args:
      run: The system's run; its log-mels are in the cache.
      scorers: Settings of the scorers, which share the trained detectors.
      tried: The folds.
      show: Displays the progress of each training.
      kept: Folder in which the folds' detectors stay, so that other scorers need no training; None to keep none.

    Returns:
      One per scorer, over the held-out clips of all folds.
    """
    by_fold: list[list[TrialScores]] = []
    trial, learned_little = None, None
    for number, fold in enumerate(tried, start=1):
        fold = _of_cache(fold, Cache(run, "train"))
        if trial is None or trial.depends_on_clips:
            with show(f"{run.title} trial {number} of {len(tried)}") as callbacks:
                model = _kept(run, fold, kept / str(number), callbacks) if kept else train(run, fold, callbacks)
            trial = Trial(run, scorers, model)
            learned_little = learned_little or model.record["learned_little"]
        by_fold.append(trial.score(fold, n_before=sum(len(of_scorer[0].normal) for of_scorer in by_fold)))
    return [
        TrialScores(
            np.concatenate([scores.normal for scores in of_scorer]),
            np.concatenate([scores.corrupted for scores in of_scorer], axis=2),
            learned_little,
        )
        for of_scorer in zip(*by_fold, strict=True)
    ]


def train(run: MachineRun, fold: Fold, callbacks: tuple[Any, ...] = ()) -> TrainedDetector:
    """Trains a detector without the fold's held-out clips; no file of it stays."""
    with tempfile.TemporaryDirectory(prefix="ganad-") as scratch:
        directory = ModelDirectory(Path(scratch, "detector"))
        train_fold(run, directory, Cache(run, "train").current(), fold.training, callbacks)
        return directory.load()


def _kept(run: MachineRun, fold: Fold, path: Path, callbacks: tuple[Any, ...]) -> TrainedDetector:
    """The fold's detector in a folder; trains it, or goes on with its training, unless it is complete."""
    directory = ModelDirectory(path)
    if not directory.exists() or directory.unfinished.exists():
        train_fold(run, directory, Cache(run, "train").current(), fold.training, callbacks)
    return directory.load()


class Trial:
    """A detector with several scorers; those with the same pooling share the values of a clip.

    Args:
      run: The system's run.
      scorers: Settings of the scorers.
      model: The detector.
    """

    def __init__(self, run: MachineRun, scorers: Sequence[Scorer], model: TrainedDetector) -> None:
        self._run = run
        self._scorers = scorers
        self.depends_on_clips = depends_on_clips(model, scorers)
        self._functions = {_pooling(settings): _function(model, settings) for settings in scorers}
        self._compute = clip_values.clip_function(model, list(self._functions.values()))

    def score(self, fold: Fold, *, n_before: int = 0) -> list[TrialScores]:
        """Scores a fold's held-out clips and corrupted copies of them, by each scorer.

        Args:
          fold: The fold.
          n_before: Number of held-out clips of the folds before, whose corruptions are others.
        """
        originals = list(_originals(self._run, fold))
        n_clips = len(originals)
        log_mels = itertools.chain(
            (clip.log_mel for clip in originals), _copies(originals, self._run.config.seed, n_before)
        )
        return [
            TrialScores(scores[:n_clips], scores[n_clips:].reshape(len(KINDS), N_STRENGTHS, n_clips))
            for scores in self.score_log_mels(fold, log_mels)
        ]

    def score_log_mels(self, fold: Fold, log_mels: Iterable[np.ndarray]) -> list[np.ndarray]:
        """Scores clips by each scorer, fitted to the fold's training clips.

        Args:
          fold: The fold.
          log_mels: `[frames, mels]` in dB, one per clip.

        Returns:
          Anomaly scores `[clips]` per scorer.
        """
        values, known = self._values(log_mels), self._values(_log_mels(self._run, fold.training))
        scores = []
        for settings in self._scorers:
            of_clips = values[_pooling(settings)]
            if settings.name == "density":
                density = densities.fit(  # of all machines and domains together, also where each has one otherwise
                    known[_pooling(settings)], settings, self._run.config.seed
                )
                of_clips = densities.score_in_chunks(density, of_clips)
            scores.append(of_clips)
        return scores

    def _values(self, log_mels: Iterable[np.ndarray]) -> dict[tuple[str, str, str, float], np.ndarray]:
        """Values of the clips before the density, by the settings of the pooling."""
        rows = [[value.numpy() for value in self._compute(memory.as_tensor(log_mel))] for log_mel in log_mels]
        return {key: np.stack(column) for key, column in zip(self._functions, zip(*rows, strict=True), strict=True)}


def _pooling(settings: Scorer) -> tuple[str, str, str, float]:
    return settings.name, settings.of, settings.pooling, settings.decay


def _function(model: TrainedDetector, settings: Scorer) -> ClipFunction:
    if settings.name == "density":
        return clip_values.vector_function(model, settings)
    return clip_values.scorer_function(model, FittedScorer(settings, None, ()))


def _of_cache(fold: Fold, cache: Cache) -> Fold:
    """The fold with the entries of another cache of the same clips, as members with other features have."""
    entries = {entry.clip.key: entry for entry in cache.current().entries}
    return Fold(*(tuple(entries[entry.clip.key] for entry in part) for part in (fold.training, fold.held_out)))


def _copies(originals: Sequence[Original], seed: int, first: int) -> Iterator[np.ndarray]:
    """Corrupted copies of clips, in the order of `TrialScores.corrupted`."""
    for number, kind in enumerate(KINDS):
        for strength in range(N_STRENGTHS):
            for index, clip in enumerate(originals):
                yield corrupt(clip, kind, strength, seed=(seed, number, first + index))


def _originals(run: MachineRun, fold: Fold) -> Iterator[Original]:
    """The fold's held-out clips, each with another clip to be mixed in."""
    held_out = [fold.held_out[index] for index in evenly_spread(len(fold.held_out), MOST_HELD_OUT)]
    others = [fold.training[index] for index in evenly_spread(len(fold.training), len(held_out))]
    seconds, hz = axes(run.config)
    mixed_in = list(_log_mels(run, others))
    # Members are compared clip by clip, and their caches may hold the clips in different orders.
    by_entry = dict(spectra.read(Cache(run, "train"), held_out))
    for number, entry in enumerate(held_out):
        yield Original(by_entry[entry], mixed_in[number % len(mixed_in)], seconds, hz)


def _log_mels(run: MachineRun, entries: Sequence[Entry]) -> Iterator[np.ndarray]:
    return (log_mel for _, log_mel in spectra.read(Cache(run, "train"), entries))


def axes(config: Config) -> tuple[float, np.ndarray]:
    """Time between spectra in seconds, and centre frequencies of the mel bands in hertz."""
    rate = config.audio.sample_rate
    return config.feature.hop_length / rate, config.feature.band_edges(rate)[1:-1]
