"""Any folder of recordings with `normal/` and, optionally, `anomaly/` or `abnormal/`, with or without subfolders.

Without `normal/`, recordings that lie in the folder itself are the normal ones. A folder with `train/` and
`test/{normal,anomaly}` has a split of its own; `calibration/` holds normal recordings that are kept out of both. The
folder's name is the machine type. The data directory is such a folder or holds several, perhaps a level lower;
MIMII's `fan/id_00/{normal,abnormal}` fits unchanged. The evaluation data directory is a folder of recordings, or holds
one per machine type; they are unlabelled unless they lie in `normal/` and `anomaly/`.

`folder_tree.py` finds the folders and their recordings, `groups.py` what belongs together.
"""

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from ganad_tf import splits
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset, FolderData, GroupTable
from ganad_tf.datasets import folder_tree, groups
from ganad_tf.datasets.base import MachineTypes, Recording, make_clip
from ganad_tf.datasets.folder_tree import Contents
from ganad_tf.datasets.identical import identical_files
from ganad_tf.errors import ConfigError, DataError


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """`directory` itself as one machine type, or each folder in it."""
    chosen = settings.folder
    contents = folder_tree.read(directory, mode, chosen)
    if chosen.machine_type and len(contents) > 1:
        names = ", ".join(machine.folder.name for machine in contents)
        raise ConfigError(
            f"Expected one machine type in {directory} for `dataset.folder.machine_type: {chosen.machine_type}`. "
            f"Received: {names}."
        )
    if mode == "dev" and isinstance(chosen.group, GroupTable):
        by_folder = {machine.folder: machine.paths for machine in contents}
        groups.refuse_unknown(Path(chosen.group.csv), by_folder, directory)
    types = [chosen.machine_type or name for name in _types(contents)]
    return {name: partial(_listing, machine, mode, chosen, name) for machine, name in zip(contents, types, strict=True)}


def fewest_files(n_training: int, test_split: float) -> int:
    """Fewest normal files, each a recording of its own, of which so many are for training.

    >>> fewest_files(3, test_split=0.2)
    4
    """
    return next(
        count
        for count in itertools.count(n_training)
        if count - len(splits.chosen([1] * count, round(test_split * count))) >= n_training
    )


def _types(contents: Sequence[Contents]) -> list[str]:
    """Machine types: the folders' names, after those of the folders above where two are equal."""
    names = [machine.folder.name for machine in contents]
    above = [f"{machine.folder.parent.name}_{name}" for machine, name in zip(contents, names, strict=True)]
    return [longer if names.count(name) > 1 else name for name, longer in zip(names, above, strict=True)]


def _listing(contents: Contents, mode: Mode, settings: FolderData, name: str) -> Listing:
    folder, recordings = contents.folder, contents.recordings
    by_path, note = groups.by_setting(settings.group, recordings, folder) if mode == "dev" else ({}, "")
    held_out, shortage = _held_out(recordings, settings.test_split, by_path, folder)
    clips = [
        _clip(recording, folder, name, by_path.get(recording.path, ""), recording in held_out)
        for recording in recordings
    ]
    _refuse_shared_calibration(clips, folder)
    notes = [text for text in (contents.note, note, shortage, _leak(clips, folder)) if text]
    return Listing(name, folder.parent, tuple(clips), contents.foreign, ".\n".join(notes))


def _clip(recording: Recording, folder: Path, machine: str, group: str, is_held_out: bool) -> Clip:
    """Clip named with its folder, because MIMII has both `normal/00000000.wav` and `abnormal/00000000.wav`."""
    clip = make_clip(
        recording.path,
        folder.parent,
        machine=machine,
        machine_id=recording.machine_id,
        split=recording.split or ("test" if is_held_out else "train"),
        label=recording.label,
        name=recording.path.relative_to(folder).as_posix(),
    )
    return dataclasses.replace(clip, group=group)


def _held_out(
    recordings: Sequence[Recording], share: float, by_path: Mapping[Path, str], folder: Path
) -> tuple[set[Recording], str]:
    """Chooses test clips pseudo-randomly by their names, independent of order and dates, and notes a shortage.

    The parts of one recording stay together, and so do identical files, in training if one of them is there.
    """
    free = [recording for recording in recordings if recording.split is None]
    by_folder: dict[Path, list[Path]] = {}
    for recording in free:
        by_folder.setdefault(recording.within, []).append(recording.path)
    chosen: set[Path] = set()
    shortage = ""
    for within, files in by_folder.items():
        parts = _by_recording(files, within, by_path)
        count = round(share * len(files))
        taken = splits.chosen([len(same) for same in parts], count)
        chosen.update(path for number in taken for path in parts[number])
        if count and not taken and len(files) > 1:
            shortage = (
                f"{folder}: the {len(files)} normal files are parts of {len(parts)} recordings, too few and too long "
                "for a test with normal clips"
            )
    paths = [recording.path for recording in free]
    copies = {path: str(number) for number, same in enumerate(identical_files(paths)) for path in same}
    related = [[names.get(path, "") for path in paths] for names in (by_path, copies)]
    held_out = splits.without_relatives([i for i, path in enumerate(paths) if path in chosen], *related)
    return {free[index] for index in held_out}, shortage


def _by_recording(files: Sequence[Path], within: Path, by_path: Mapping[Path, str]) -> list[list[Path]]:
    """Files of each recording, in pseudo-random order by the recordings' names."""
    names = [path.relative_to(within).as_posix() for path in files]
    same = splits.grouped([(path in by_path, by_path.get(path, name)) for path, name in zip(files, names, strict=True)])
    # A recording of one file is chosen as if it stood alone.
    keys = [by_path[files[indices[0]]] if len(indices) > 1 else names[indices[0]] for indices in same]
    digests = [hashlib.sha256(key.encode()).digest() for key in keys]
    return [[files[index] for index in same[number]] for number in sorted(range(len(same)), key=digests.__getitem__)]


def _leak(clips: Sequence[Clip], folder: Path) -> str:
    """A note on normal test clips whose recording is in training too, as only a split by the user can have them."""
    trained_on = {clip.group for clip in clips if clip.split == "train" and clip.group}
    tests = [clip for clip in clips if clip.split == "test" and clip.label != 1 and clip.group in trained_on]
    if not tests:
        return ""
    return (
        f"{folder}: {len(tests)} test clips are parts of recordings in training, such as {tests[0].name}, which makes "
        "results too good"
    )


def _refuse_shared_calibration(clips: Sequence[Clip], folder: Path) -> None:
    """Refuses recordings for calibration that are in training or in the test too.

    Raises:
      DataError: Names the first.
    """
    kept_out = [clip for clip in clips if clip.split == "calibration"]
    if not kept_out:
        return
    others = [clip for clip in clips if clip.split != "calibration"]
    paths = {folder.parent / clip.file: clip for clip in clips}
    groups_of_others = {clip.group: clip for clip in others if clip.label == 0 and clip.group}
    pairs = [(clip, groups_of_others[clip.group]) for clip in kept_out if clip.group in groups_of_others]
    why = "a part of the same recording as"
    for same in identical_files(paths):
        inside = [paths[path] for path in same if paths[path].split == "calibration"]
        outside = [paths[path] for path in same if paths[path].split != "calibration"]
        if inside and outside:
            pairs, why = [(inside[0], outside[0])], "the same as"
            break
    if pairs:
        raise DataError(
            f"Expected recordings for calibration that are in neither training nor test. Received: {pairs[0][0].name} "
            f"in {folder}, {why} {pairs[0][1].name}."
        )
