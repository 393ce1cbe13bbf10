"""Split of the normal training clips into those that a network learns from and those that validate it."""

import random
from collections.abc import Sequence

from ganad_tf import splits
from ganad_tf.cache.manifest import Entry

LARGEST_VALIDATION = 0.25  # of the clips, where recordings are too long for the share that is wanted


def split_by_file(entries: Sequence[Entry], share: float, seed: int) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Splits clips into training and validation: whole recordings, with the same share of each machine ID.

    A clip whose file is identical to one in training stays in training, together with the others of its recording.

    Args:
      entries: Normal clips.
      share: Share for validation, in [0, 1); rounded per ID, and each ID keeps at least one training clip.
      seed: Seed of the random choice.

    Returns:
      Training and validation entries.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.clip.key):
        groups.setdefault(entry.clip.machine_id, []).append(entry)
    training: list[Entry] = []
    validation: list[Entry] = []
    for machine_id, group in sorted(groups.items()):
        recordings = splits.grouped([entry.clip.recording for entry in group])
        random.Random(f"{seed}/{machine_id}").shuffle(recordings)
        sizes = [len(members) for members in recordings]
        held_out = set(splits.chosen(sizes, round(share * len(group)), most=LARGEST_VALIDATION))
        for number, members in enumerate(recordings):
            (validation if number in held_out else training).extend(group[index] for index in members)
    everything = training + validation
    stays = splits.without_relatives(
        range(len(training), len(everything)),
        [entry.sha256 for entry in everything],
        [entry.clip.recording for entry in everything],
    )
    twins = [entry for index, entry in enumerate(everything) if index >= len(training) and index not in stays]
    return (*training, *twins), tuple(everything[index] for index in sorted(stays))
