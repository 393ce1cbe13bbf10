"""Folds of the training clips for calibration: each is scored by a detector that was trained on the others."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ganad_tf import splits
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import by_id
from ganad_tf.config.sections import Scorer
from ganad_tf.scoring import densities, domain_densities

# A density of few clips suffers from each that it lacks, and a detector of few is soon trained. At 20 clips, 5 folds
# cost 1 to 3 points of AUC on ToyCar, 10 folds half of that; at 80 clips, 5 folds cost nothing.
FEWEST, ENOUGH = 5, 400


@dataclass(frozen=True)
class Fold:
    """Clips that a detector is trained on, and those that it scores."""

    training: tuple[Entry, ...]
    held_out: tuple[Entry, ...]


def folds(entries: Sequence[Entry], n_folds: int | Literal["auto"], block: int, seed: int) -> list[Fold]:
    """Splits training clips into folds of whole blocks of recordings, with the same share of each machine ID.

    Clips of one recording, and clips with identical files, are never on both sides. If all clips are of one recording,
    each fold is a run of adjacent clips.

    Args:
      entries: Normal training clips.
      n_folds: Number of folds, fewer if there are fewer blocks; `auto` for 400 by the number of clips, but 5 or more.
      block: Number of recordings, adjacent by name, that stay together.
      seed: Seed of the assignment.

    Returns:
      The folds; none if there are fewer than two blocks.
    """
    count = max(FEWEST, -(-ENOUGH // max(1, len(entries)))) if n_folds == "auto" else n_folds
    ordered = sorted(entries, key=lambda entry: entry.clip.key)
    recordings = [entry.clip.recording for entry in ordered]
    if len(set(recordings)) == 1:
        recordings, block = [entry.clip.key for entry in ordered], max(block, -(-len(ordered) // count))
    blocks = _blocks(ordered, recordings, block)
    fold_of = _dealt(blocks, count, seed)
    numbers = sorted(set(fold_of.values()))
    if len(numbers) < 2:
        return []
    assigned = [fold_of[name] for name in blocks]
    return [
        Fold(
            tuple(entry for entry, fold in zip(ordered, assigned, strict=True) if fold != number),
            tuple(entry for entry, fold in zip(ordered, assigned, strict=True) if fold == number),
        )
        for number in numbers
    ]


def has_enough_clips(fold: Fold, settings: Scorer, *, by_machine: bool = False) -> bool:
    """Whether the fold's training clips, or those of each machine ID, are enough for the configured density."""
    fewest = 1 if settings.name == "paper" else densities.fewest_vectors(settings)
    training = [entry.clip for entry in fold.training]
    groups = by_id(training).values() if by_machine else [training]
    if settings.tells_domains and not all(domain_densities.can_be_fitted(clips, settings) for clips in groups):
        return False
    if not by_machine:
        return len(fold.training) >= fewest
    counts = Counter(entry.clip.machine_id for entry in fold.training)
    return all(counts[entry.clip.machine_id] >= fewest for entry in (*fold.training, *fold.held_out))


def _blocks(entries: Sequence[Entry], recordings: Sequence[str], block: int) -> list[tuple[str, int]]:
    """Machine ID and number of the block of each clip."""
    families = splits.families(recordings, [entry.sha256 for entry in entries])
    numbers: dict[str, dict[int, int]] = {}
    blocks = []
    for entry, family in zip(entries, families, strict=True):
        of_machine = numbers.setdefault(entry.clip.machine_id, {})
        blocks.append((entry.clip.machine_id, of_machine.setdefault(family, len(of_machine)) // block))
    return blocks


def _dealt(blocks: Sequence[tuple[str, int]], n_folds: int, seed: int) -> dict[tuple[str, int], int]:
    """Fold of each block: shuffled per machine ID, then dealt out one after another."""
    random = np.random.default_rng(seed)
    shuffled = []
    for machine_id in sorted({machine_id for machine_id, _ in blocks}):
        of_machine = sorted({name for name in blocks if name[0] == machine_id})
        shuffled += [of_machine[index] for index in random.permutation(len(of_machine))]
    return {name: position % n_folds for position, name in enumerate(shuffled)}
