"""Selection of a scorer for a density without a network, over many choices of training clips, for `false_alarms.py`.

What `ganad select` computes again for each training, the pooled log-mels of clips and of their corrupted copies, is
computed once for all normal clips, because nothing that is learned changes it.
"""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import evenly_spread
from ganad_tf.config.sections import Scorer
from ganad_tf.features import memory
from ganad_tf.scoring import clip_values, densities
from ganad_tf.scoring.folds import folds, has_enough_clips
from ganad_tf.scoring.model_directory import ModelDirectory
from ganad_tf.selection import trials
from ganad_tf.selection.corruptions import KINDS, N_STRENGTHS, Original, corrupt
from ganad_tf.selection.evidence import TrialScores
from ganad_tf.selection.select import compare
from ganad_tf.training.train import train_on


class PooledClips:
    """Pooled residuals of clips by a detector without weights, and the selection among scorers by them.

    Args:
      run: Run of the machine type, whose detector learns nothing.
      splits: Cached clips of training and test.
      is_selected: Whether the scorers of `selection.scorers` are candidates too; corrupted copies are made then.
    """

    def __init__(self, run: Any, splits: Sequence[Sequence[Any]], *, is_selected: bool) -> None:
        changes = run.config.selection.changes() if is_selected else []
        self._changes = [{}, *changes]
        self.scorers = [dataclasses.replace(run.config.scorer, **change) for change in self._changes]
        self._block = run.config.calibration.block
        with tempfile.TemporaryDirectory() as folder:
            directory = ModelDirectory(Path(folder, "detector"))
            train_on(run, directory, Cache(run, "train").current(), splits[0], ())
            model = directory.load()
        functions = {_pooling(scorer): clip_values.vector_function(model, scorer) for scorer in self.scorers}
        self._poolings = list(functions)
        self._compute = clip_values.clip_function(model, list(functions.values()))
        log_mels = {
            entry: log_mel
            for split, entries in zip(("train", "test"), splits, strict=True)
            for entry, log_mel in spectra.read(Cache(run, split), entries)
        }
        self._vectors = {entry.clip: self._pooled(log_mel) for entry, log_mel in log_mels.items()}
        normal = {entry: log_mel for entry, log_mel in log_mels.items() if entry.clip.label == 0}
        self._copies = self._corrupted(run, normal) if is_selected else {}

    def vectors(self, scorer: Scorer, entries: Sequence[Any]) -> np.ndarray:
        """Pooled residuals `[clips, mels]`."""
        number = self._poolings.index(_pooling(scorer))
        return np.stack([self._vectors[entry.clip][number] for entry in entries])

    def select(self, entries: Sequence[Any], seed: int) -> Scorer:
        """The scorer that `ganad select` chooses by these normal clips; the configured one if they are too few."""
        made = folds(entries, trials.N_FOLDS, self._block, seed)
        if not all(has_enough_clips(fold, scorer) for fold in made for scorer in self.scorers):
            return self.scorers[0]
        tried = made[:1] if made and len(made[0].held_out) >= trials.ENOUGH else made
        scores = [self._trial_scores(scorer, tried, seed) for scorer in self.scorers]
        chosen = compare([scores], self._changes, seed)[0]
        return self.scorers[self._changes.index(dict(chosen.scorer))]

    def _trial_scores(self, scorer: Scorer, tried: Sequence[Any], seed: int) -> TrialScores:
        number = self._poolings.index(_pooling(scorer))
        normal, corrupted = [], []
        for fold in tried:
            held_out = [fold.held_out[index] for index in evenly_spread(len(fold.held_out), trials.MOST_HELD_OUT)]
            density = densities.fit(self.vectors(scorer, fold.training), scorer, seed)
            normal.append(densities.score_in_chunks(density, self.vectors(scorer, held_out)))
            copies = np.stack([self._copies[entry.clip][number] for entry in held_out], axis=1)  # [kinds * ..., clips]
            scores = densities.score_in_chunks(density, copies.reshape(-1, copies.shape[-1]))
            corrupted.append(scores.reshape(len(KINDS), N_STRENGTHS, len(held_out)))
        return TrialScores(np.concatenate(normal), np.concatenate(corrupted, axis=2))

    def _pooled(self, log_mel: np.ndarray) -> list[np.ndarray]:
        return [value.numpy() for value in self._compute(memory.as_tensor(log_mel))]

    def _corrupted(self, run: Any, log_mels: dict[Any, np.ndarray]) -> dict[Any, list[np.ndarray]]:
        """Pooled residuals of each clip's corrupted copies, `[kinds * strengths, mels]` by pooling."""
        seconds, hz = trials.axes(run.config)
        entries = list(log_mels)
        copies = {}
        for index, entry in enumerate(entries):
            clip = Original(log_mels[entry], log_mels[entries[index - 1]], seconds, hz)
            rows = [
                self._pooled(corrupt(clip, kind, strength, seed=(number, index)))
                for number, kind in enumerate(KINDS)
                for strength in range(N_STRENGTHS)
            ]
            copies[entry.clip] = [np.stack(column) for column in zip(*rows, strict=True)]
        return copies


def _pooling(scorer: Scorer) -> tuple[str, float]:
    return scorer.pooling, scorer.decay
