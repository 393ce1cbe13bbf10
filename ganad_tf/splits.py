"""Splits of clips that never separate the clips of one recording.

Every clip is given by the name of its recording, `Clip.recording`; clips that stand alone have a name of their own.
Validation, test, and the folds of a cross-validation are all chosen here.
"""

import hashlib
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from ganad_tf.errors import DataError


def folds(recordings: Sequence[str], n_folds: int, seed: int) -> list[np.ndarray]:
    """Divides clips into folds of about equal size, each recording into one fold.

    Clips that all stand alone are divided evenly and at random. Longer recordings are assigned first, each to the
    smallest fold so far, in random order among recordings of equal length.

    Args:
      recordings: Name of each clip's recording, such as `[clip.recording for clip in clips]`.
      n_folds: Number of folds; fewer if there are fewer recordings.
      seed: Seed of the random order.

    Returns:
      Indices of the clips of each fold, ascending. Each clip is in one fold, no fold is empty.

    Raises:
      DataError: If there are fewer than two recordings, so that nothing could be left out.

    >>> [fold.tolist() for fold in folds(["a", "a", "b", "b", "b", "c"], 2, seed=0)]
    [[2, 3, 4], [0, 1, 5]]
    """
    members = grouped(recordings)
    if len(members) < 2:
        raise DataError(
            "Expected clips of at least two recordings for a cross-validation, which leaves whole recordings out. "
            f"Received: {len(recordings)} clips of {len(members)}; add recordings, or name others by "
            "`dataset.folder.group`."
        )
    rank = np.random.default_rng(seed).permutation(len(members))
    order = sorted(range(len(members)), key=lambda index: (-len(members[index]), rank[index]))
    parts: list[list[int]] = [[] for _ in range(min(n_folds, len(members)))]
    for index in order:
        min(parts, key=len).extend(members[index])
    return [np.array(sorted(part)) for part in parts]


def chosen(sizes: Sequence[int], count: int, *, most: float = 0.5) -> list[int]:
    """Chooses recordings, in the given order, whose clips number about `count`.

    A recording is taken if its clips bring the number nearer to `count`. If none does, because all are long, the
    shortest is taken, unless that were more than the share `most` of the clips.

    Args:
      sizes: Number of clips of each recording.
      count: Number of clips to choose; 0 chooses none.
      most: Greatest share of the clips that the shortest recording may have.

    Returns:
      Indices of the chosen recordings, ascending; never of all.

    >>> chosen([1, 1, 1, 1, 1], 2), chosen([8, 3, 4], 3), chosen([8, 8], 3), chosen([16], 3)
    ([0, 1], [1], [0], [])
    """
    taken: list[int] = []
    total = 0
    for index, size in enumerate(sizes):
        if abs(total + size - count) < abs(total - count) and len(taken) < len(sizes) - 1:
            taken.append(index)
            total += size
    if not taken and count > 0 and len(sizes) > 1:
        shortest = min(range(len(sizes)), key=lambda index: sizes[index])
        taken = [shortest] if sizes[shortest] <= most * sum(sizes) else []
    return taken


def held_out(recordings: Sequence[str], count: int) -> set[int]:
    """Chooses whole recordings pseudo-randomly by their names, independent of order and dates.

    Args:
      recordings: Name of each clip's recording.
      count: Number of clips to choose, as nearly as whole recordings allow; see `chosen`.

    Returns:
      Indices of their clips.

    >>> sorted(held_out(["a", "a", "b", "b", "c", "c"], 2))
    [4, 5]
    """
    members = sorted(grouped(recordings), key=lambda same: hashlib.sha256(recordings[same[0]].encode()).digest())
    return {index for number in chosen([len(same) for same in members], count) for index in members[number]}


def without_relatives(held_out: Iterable[int], *kinships: Sequence[Hashable]) -> set[int]:
    """Removes clips that are related to one that is not held out, directly or by way of others.

    Args:
      held_out: Indices of the clips that are held out.
      *kinships: As in `families`.

    Returns:
      Indices of those that stay held out.

    >>> without_relatives({0, 1, 2}, ["a", "a", "b", "c"], ["x", "y", "z", "x"])
    {2}
    """
    remaining, numbers = set(held_out), families(*kinships)
    others = {number for index, number in enumerate(numbers) if index not in remaining}
    return {index for index in remaining if numbers[index] not in others}


def families(*kinships: Sequence[Hashable]) -> list[int]:
    """Numbers of the families of clips that are related directly or by way of others.

    Args:
      *kinships: One name per clip each, such as its recording, or the checksum of its file; clips of the same name are
        related. Empty names relate no clips.

    Returns:
      One number per clip, equal for the clips of a family: the index of its first clip.

    >>> families(["a", "b", "b", "c"], ["x", "y", "z", "x"])
    [0, 1, 1, 0]
    """
    parents = list(range(len(kinships[0])))

    def first(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    for names in kinships:
        for same in grouped(names):
            for index in same[1:] if names[same[0]] else []:
                one, other = first(same[0]), first(index)
                parents[max(one, other)] = min(one, other)
    return [first(index) for index in range(len(parents))]


def shared(recordings: Sequence[str], *kinships: Sequence[Hashable]) -> list[str]:
    """Names of the recordings of clips, for each clip that shares its recording with another; empty for the others.

    Where all clips are of one recording, nothing can be said of others, and each clip stands alone.

    Args:
      recordings: Name of each clip's recording.
      *kinships: What else makes clips parts of one recording, as in `families`.

    >>> shared(["a", "b", "b", "c"]), shared(["a", "b", "c"], ["x", "y", "x"]), shared(["a", "a"])
    (['', 'b', 'b', ''], ['a', '', 'a'], ['', ''])
    """
    if len(set(recordings)) == 1:
        return [""] * len(recordings)
    numbers = families(recordings, *kinships)
    counts = Counter(numbers)
    return [recordings[number] if counts[number] > 1 else "" for number in numbers]


def grouped(names: Sequence[Hashable]) -> list[list[int]]:
    """Indices of equal names, in the order of their first occurrence.

    >>> grouped(["b", "a", "b"])
    [[0, 2], [1]]
    """
    members: dict[Hashable, list[int]] = {}
    for index, name in enumerate(names):
        members.setdefault(name, []).append(index)
    return list(members.values())
