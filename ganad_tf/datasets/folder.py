"""Any folder of recordings with `normal/` and, optionally, `anomaly/` or `abnormal/`, with or without subfolders.

Without `normal/`, recordings that lie in the folder itself are the normal ones. The folder's name is the machine type.
The data directory is such a folder or holds several; MIMII's `id_00/{normal,abnormal}` fits unchanged. The evaluation
data directory is a folder of unlabelled recordings, or holds one per machine type.
"""

import hashlib
from pathlib import Path

from ganad_tf.audio import extensions
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets.base import make_clip, recordings, visible_entries
from ganad_tf.datasets.identical import identical_files

_LABELS = {"normal": 0, "anomaly": 1, "abnormal": 1}
MACHINE_ID = "00"  # a folder is one machine
OUTPUT = "-ganad"  # ends the names of folders that `ganad run FOLDER` writes beside the recordings
NEW_ID = "new"  # of evaluation data, whose score files are separate from those of the test clips


def list_clips(directory: Path, mode: Mode, settings: Dataset) -> list[Listing]:
    """Lists `directory` itself as one machine type, or each folder in it."""
    is_machine = (mode == "dev" and (directory / "normal").is_dir()) or bool(_loose(directory))
    if mode == "dev" and any((path / "normal").is_dir() for path in visible_entries(directory)):
        is_machine = False  # a recording beside the machines' folders
    if is_machine and directory.name in ("", ".."):
        directory = directory.resolve()  # `.` and `..` have no name
    folders = [directory] if is_machine else [path for path in visible_entries(directory) if _may_be_machine(path)]
    list_machine = _list_labelled if mode == "dev" else _list_unlabelled
    return [list_machine(folder, settings.folder.test_split) for folder in folders]


def _may_be_machine(path: Path) -> bool:
    return path.is_dir() and not (path.name.endswith(OUTPUT) and (path / "config.yaml").is_file())


def _list_labelled(folder: Path, test_split: float) -> Listing:
    clips: list[Clip] = []
    foreign: list[str] = []
    loose = [] if (folder / "normal").is_dir() else _loose(folder)
    for path in visible_entries(folder):
        if path.name in _LABELS and path.is_dir():
            files, others = recordings(path)
            foreign.extend(others)
            clips.extend(_labelled(files, folder, path, _LABELS[path.name], test_split))
        elif not path.name.isprintable():
            foreign.append(f"{path}: expected a name in printable characters")
        elif path not in loose:
            foreign.append(f"{path}: expected only the folders `normal`, `anomaly` and `abnormal` here")
    loose = [path for path in loose if path.name.isprintable()]
    clips.extend(_labelled(loose, folder, folder, _LABELS["normal"], test_split))
    note = f"{folder} has no folder `normal`: the {len(loose)} recordings in it are taken as normal" if loose else ""
    return Listing(folder.name, folder.parent, tuple(clips), tuple(foreign), note)


def _labelled(files: list[Path], folder: Path, within: Path, label: int, test_split: float) -> list[Clip]:
    """Clips of one label; anomalies are for the test, and of normal clips those that are held out."""
    held_out = set(files) if label else _held_out(files, within, test_split)
    return [_clip(file, folder, MACHINE_ID, "test" if file in held_out else "train", label) for file in files]


def _loose(folder: Path) -> list[Path]:
    """Recordings that lie in the folder itself."""
    return [path for path in visible_entries(folder) if path.is_file() and path.suffix.lower() in extensions()]


def _list_unlabelled(folder: Path, test_split: float) -> Listing:
    del test_split  # nothing is held out: all clips are scored
    files, foreign = recordings(folder)
    clips = tuple(_clip(file, folder, NEW_ID, "test", None) for file in files)
    return Listing(folder.name, folder.parent, clips, tuple(foreign))


def _clip(file: Path, folder: Path, machine_id: str, split: str, label: int | None) -> Clip:
    """Clip named with its folder, because MIMII has both `normal/00000000.wav` and `abnormal/00000000.wav`."""
    name = file.relative_to(folder).as_posix()
    return make_clip(
        file, folder.parent, machine=folder.name, machine_id=machine_id, split=split, label=label, name=name
    )


def _held_out(files: list[Path], folder: Path, share: float) -> set[Path]:
    """Chooses test clips pseudo-randomly by their names, independent of order and dates.

    A file with an identical copy in training stays in training.
    """
    count = round(share * len(files))
    ordered = sorted(files, key=lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).digest())
    chosen = set(ordered[:count])
    split = [group for group in identical_files(files) if not chosen.issuperset(group)]
    return chosen.difference(*split)
