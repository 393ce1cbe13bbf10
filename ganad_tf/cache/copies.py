"""Augmented copies of the normal training clips (`augmentation.waveform`), in a cache of their own beside theirs.

No listing has them, so that nothing but a training sees them: they are not validated with, scored or counted.
"""

import dataclasses
from collections.abc import Sequence

from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.windows import Source
from ganad_tf.clips import COPIES
from ganad_tf.run import MachineRun


def run_of_copies(run: MachineRun, entries: Sequence[Entry]) -> MachineRun | None:
    """Run whose listing is that of the copies; None if there are none.

    Args:
      run: The machine type's run.
      entries: The training clips in its cache.
    """
    count = run.config.augmentation.waveform.copies
    normal = [entry.clip for entry in entries if entry.clip.label == 0]
    if not count or not normal:
        return None
    clips = [dataclasses.replace(clip, split=COPIES, copy=number) for clip in normal for number in range(1, count + 1)]
    listing = dataclasses.replace(run.listing, clips=tuple(clips), foreign=())
    return dataclasses.replace(run, listing=listing)


def added(run: MachineRun, training: Source, entries: Sequence[Entry]) -> Source:
    """The training clips with their copies, where there are some.

    Args:
      run: The machine type's run.
      training: The clips that are trained on, perhaps without those of a fold.
      entries: The clips in the cache.

    Raises:
      DataError: If the cache of the copies is missing, stale, unfinished or corrupted.
    """
    copied = run_of_copies(run, entries)
    if copied is None:
        return training
    cache, originals = Cache(copied, COPIES), {entry.clip.original for entry in training.entries}
    of_training = [
        dataclasses.replace(entry, shard=f"../{cache.path.name}/{entry.shard}")
        for entry in cache.current().entries
        if entry.clip.original in originals
    ]
    return dataclasses.replace(training, entries=(*training.entries, *of_training))
