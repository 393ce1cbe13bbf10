"""The tree of the layout `folder`: which folders are machine types, and which recordings are in them.

A folder is a machine type if it has a folder of `LABELS` or `train`, or recordings that lie in it. It is the data
directory, a folder in it, or a folder in one of these. The names of these folders may be in capitals.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ganad_tf.audio import extensions
from ganad_tf.clips import SPLITS
from ganad_tf.config import Mode
from ganad_tf.config.sections import FolderData
from ganad_tf.datasets import tables
from ganad_tf.datasets.base import Recording, recordings, some, visible_entries
from ganad_tf.errors import DataError

LABELS = {"normal": 0, "anomaly": 1, "abnormal": 1}
CALIBRATION = "calibration"
MACHINE_ID = "00"  # a folder is one machine
OUTPUT = "-ganad"  # ends the names of folders that `ganad run FOLDER` writes beside the recordings
NEW_ID = "new"  # of evaluation data, whose score files are separate from those of the test clips
N_SHOWN = 10  # files of a tree that does not fit

_ID = re.compile(r"id_(\w+)", re.ASCII)
_FAULTY = re.compile(r"(abnormal|anomal|defect|fault)\w*|bad|broken|damaged|ng|not[-_ ]?ok|nok", re.I)


@dataclass(frozen=True)
class Contents:
    """A machine's folder: its recordings, a line for each other file, and a note on what was assumed."""

    folder: Path
    recordings: tuple[Recording, ...]
    foreign: tuple[str, ...] = ()
    note: str = ""

    @property
    def paths(self) -> list[Path]:
        """The files of the recordings."""
        return [recording.path for recording in self.recordings]


def read(directory: Path, mode: Mode, settings: FolderData) -> list[Contents]:
    """Reads the machines' folders in a data directory.

    Raises:
      DataError: If there are recordings, but none, or no normal ones, where the layout has them; shows some of them.
    """
    if directory.name in ("", ".."):
        directory = directory.resolve()  # `.` and `..` have no name
    if settings.split and mode == "dev":
        return [_by_table(directory, Path(settings.split))]
    folders = _machine_folders(directory, settings.machine_type, _has_layout if mode == "dev" else _has_labels)
    if mode == "eval":
        return [_new(folder) for folder in folders]
    contents = [_machine(folder) for folder in folders]
    if not settings.machine_type and contents and all(_ID.fullmatch(folder.name) for folder in folders):
        contents[0] = _with_note(contents[0], _of_individuals(folders))
    found = [recording for machine in contents for recording in machine.recordings]
    if not found or any(_FAULTY.fullmatch(folder.name) and _loose(folder) for folder in folders):
        _refuse_tree(directory)
    if found and not any(recording.label == 0 for recording in found):
        raise DataError(
            f"Expected healthy recordings in a folder `normal` in {directory}, from which a detector learns. "
            f"Received: {len(found)} anomalies, and no others."
        )
    return contents


def label_of(path: Path) -> int | None:
    """Label of the recordings in a folder by its name, `Normal` as `normal`; None if it has none."""
    return LABELS.get(path.name.lower()) if path.is_dir() else None


def _folders_named(folder: Path, *names: str) -> list[Path]:
    """Folders in a folder with one of the names, in small letters or capitals."""
    return [path for path in _folders(folder) if path.name.lower() in names]


def _with_note(contents: Contents, note: str) -> Contents:
    return replace(contents, note=".\n".join(filter(None, (contents.note, note))))


def _of_individuals(folders: Sequence[Path]) -> str:
    """A note on folders such as `id_00` that have become machine types."""
    above = folders[0].resolve().parent
    return (
        f"{above}: each of the folders {some(folder.name for folder in folders)} is taken as a machine type of its "
        f"own; if they are individual machines of one type, set `--machine-type {above.name}`"
    )


def _refuse_tree(directory: Path) -> None:
    """Refuses a tree that holds recordings, but not as the layout has them; shows some of them and what to do."""
    files, _ = recordings(directory)
    if not files:
        return
    shown = [str(path) for path in files[:N_SHOWN]]
    if len(files) > N_SHOWN:
        shown.append(f"... and {len(files) - N_SHOWN} more")
    lines = "\n  ".join(shown)
    raise DataError(
        f"Expected the recordings in {directory} in the layout `folder`. Received:\n  {lines}\n"
        "Rearrange them: healthy recordings in MACHINE/normal/, faulty ones, if there are any, in MACHINE/anomaly/, "
        f"where MACHINE is {directory} or a folder in it; or list them in a CSV file, `dataset.folder.split`."
        f"{_advice_on_ids(files, directory)}"
    )


def _advice_on_ids(files: Sequence[Path], directory: Path) -> str:
    """Advice on recordings of MIMII, whose machines' folders are deeper than the layout has them."""
    above = [part for path in files for part in path.relative_to(directory).parents if _ID.fullmatch(part.name)]
    if not above:
        return ""
    machines = directory / above[0].parent.parent
    return (
        f" Folders such as {above[0]} are those of MIMII: take {machines}, which holds the machine types, or a YAML "
        "file with `dataset: {name: mimii}` and all of them."
    )


def _machine_folders(directory: Path, machine_type: str | None, fits: Callable[[Path], bool]) -> list[Path]:
    """Folders of machine types: `directory`, or those in it or a level lower that fit the layout."""
    folders = _folders(directory)
    fitting = [folder for folder in folders if fits(folder)]
    if fits(directory) or (_loose(directory) and not fitting):
        return [directory]
    if machine_type and fitting == folders and all(_ID.fullmatch(folder.name) for folder in folders):
        return [directory]  # individual machines of one type
    found: list[Path] = []
    for folder in folders:
        deeper = [inner for inner in _folders(folder) if fits(inner)]
        is_lower = deeper and folder not in fitting and not _loose(folder)
        are_ids = all(_ID.fullmatch(inner.name) for inner in deeper)
        found += deeper if is_lower and not are_ids else [folder]
    return found


def _has_layout(folder: Path) -> bool:
    """Whether a folder has folders of labels, or of training and test."""
    return _has_labels(folder) or _has_split(folder)


def _has_labels(folder: Path) -> bool:
    return bool(_folders_named(folder, *LABELS))


def _has_split(folder: Path) -> bool:
    """Whether a folder has training and test; or training alone, and nothing else that could be a machine."""
    train = _folders_named(folder, "train")
    if not train or _folders_named(folder, "normal"):
        return False
    others = [path for path in _folders(folder) if path not in (*train, *_folders_named(folder, CALIBRATION))]
    return bool(_folders_named(folder, "test")) or not (others or any(map(_has_labels, train)))


def _folders(folder: Path) -> list[Path]:
    return [path for path in visible_entries(folder) if path.is_dir() and not _is_output(path)]


def _is_output(folder: Path) -> bool:
    """Whether `ganad run FOLDER` has written the folder."""
    return folder.name.endswith(OUTPUT) and (folder / "config.yaml").is_file()


def _loose(folder: Path) -> list[Path]:
    """Recordings that lie in the folder itself."""
    return [path for path in visible_entries(folder) if path.is_file() and path.suffix.lower() in extensions()]


class _Reader:
    """Collects the recordings of one machine's folder, and a line for each file that does not fit.

    Args:
      folder: The machine's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.recordings: list[Recording] = []
        self.foreign: list[str] = []
        self.note = ""

    def contents(self) -> Contents:
        """The result."""
        return Contents(self.folder, tuple(self.recordings), tuple(self.foreign), self.note)

    def parts(self, *, has_loose: bool) -> Iterator[tuple[Path, str, str]]:
        """Each individual machine's folder, its ID and its name: those of `id_XX`, or the machine's folder itself."""
        are_ids = not _has_layout(self.folder) and not has_loose
        if not are_ids or not any(_ID.fullmatch(path.name) and _has_layout(path) for path in _folders(self.folder)):
            yield self.folder, MACHINE_ID, ""
            return
        for path in visible_entries(self.folder):
            match = _ID.fullmatch(path.name)
            if match and path.is_dir():
                yield path, match[1], path.name
            else:
                self.foreign.append(f"{path}: expected only folders such as `id_00` here")

    def add(self, files: Sequence[Path], within: Path, label: int | None, split: str | None, *ids: str) -> None:
        """Adds recordings with the same label and split; `ids` are the machine ID and the part."""
        self.recordings += [Recording(path, within, label, split, *ids) for path in files]

    def add_all(self, within: Path, label: int | None, split: str | None, *ids: str) -> None:
        """Adds the recordings in a folder and its subfolders."""
        files, others = recordings(within)
        self.foreign += others
        self.add(files, within, label, split, *ids)

    def add_labelled(self, folder: Path, split: str | None, expected: str, others: Sequence[Path], *ids: str) -> None:
        """Adds the folders of labels and, for development data, of calibration; `others` are treated elsewhere.

        Anomalies are for the test, whatever `split` is. `expected` says what else may be there.
        """
        for path in visible_entries(folder):
            label = label_of(path)
            if label is not None:
                self.add_all(path, label, "test" if label else split, *ids)
            elif path.name.lower() == CALIBRATION and path.is_dir() and split is None:
                self.add_all(path, 0, CALIBRATION, *ids)
            elif not path.name.isprintable():
                self.foreign.append(f"{path}: expected a name in printable characters")
            elif path not in others:
                self.foreign.append(f"{path}: expected only {expected} here")


_LABEL_FOLDERS = "the folders `normal`, `anomaly` and `abnormal`"


def _machine(folder: Path) -> Contents:
    """Development data of one machine type."""
    reader = _Reader(folder)
    for part, *ids in reader.parts(has_loose=bool(_loose(folder))):
        if _has_split(part):
            _add_split(reader, part, *ids)
            continue
        loose = [] if _folders_named(part, "normal") else _loose(part)
        reader.add_labelled(part, None, f"{_LABEL_FOLDERS}, or `calibration`,", loose, *ids)
        loose = [path for path in loose if path.name.isprintable()]
        reader.add(loose, part, LABELS["normal"], None, *ids)
        if loose:
            reader.note = f"{part} has no folder `normal`: the {len(loose)} recordings in it are taken as normal"
    return reader.contents()


def _add_split(reader: _Reader, folder: Path, *ids: str) -> None:
    """Adds `train/` and `test/`, either with folders of labels in it or without; then test clips are unlabelled.

    Without `test/`, recordings in `train/` are the normal ones.
    """
    tests = _folders_named(folder, "test")
    for path in visible_entries(folder):
        name = path.name.lower() if path.is_dir() else ""
        if name == CALIBRATION:
            reader.add_all(path, 0, CALIBRATION, *ids)
        elif name == "train":
            _add_training(reader, path, "train" if tests else None, *ids)
        elif name != "test":
            reader.foreign.append(f"{path}: expected only the folders `train`, `test` and `calibration` here")
    for test in tests:
        if _has_labels(test):
            reader.add_labelled(test, "test", _LABEL_FOLDERS, (), *ids)
        else:
            reader.add_all(test, None, "test", *ids)


def _add_training(reader: _Reader, train: Path, split: str | None, *ids: str) -> None:
    """Adds the recordings in `train/`, or in `train/normal/`."""
    normal = _folders_named(train, "normal")
    if normal:
        others = [path for path in visible_entries(train) if path not in normal]
        reader.foreign += [f"{path}: expected only the folder `normal` here" for path in others]
    for folder in normal or [train]:
        reader.add_all(folder, 0, split, *ids)
    if split is None:
        reader.note = (
            f"{train.parent} has no folder `test`: a part of the recordings in {train.name} is held out for it"
        )


def _new(folder: Path) -> Contents:
    """Evaluation data of one machine type: unlabelled, unless they lie in folders of labels."""
    reader = _Reader(folder)
    for part, _, name in reader.parts(has_loose=bool(_loose(folder))):
        if _has_labels(part):
            reader.add_labelled(part, "test", _LABEL_FOLDERS, (), NEW_ID, name)
        else:
            reader.add_all(part, None, "test", NEW_ID, name)
    return reader.contents()


def _by_table(folder: Path, table: Path) -> Contents:
    """Development data with split and labels by a CSV file.

    Raises:
      DataError: If the file can't be read, or names other recordings or splits.
    """
    key = "dataset.folder.split"
    files, foreign = recordings(folder)
    names = tables.Names(files, folder)
    rows = tables.read(table, ["split", "label"], key)
    missing = [name for name in rows if names.find(name) is None]
    if missing:
        raise tables.unknown(table, missing, key, folder)
    labels = LABELS | {"0": 0, "1": 1, "": None}
    found: dict[Path, Recording] = {}
    for name, row in rows.items():
        path, split, label = names.find(name), row["split"], row["label"]
        is_known = split in SPLITS and label in labels
        if path is None or not is_known or (split != "test" and labels[label] != 0):
            raise DataError(
                f"Expected `train` or `calibration` with the label `normal`, or `test` with `normal`, `anomaly` or no "
                f"label, in {table}. Received: {name} with split {split!r} and label {label!r}."
            )
        found[path] = Recording(path, folder, labels[label], split, MACHINE_ID)
    foreign += [f"{path}: expected a line in {table}" for path in files if path not in found]
    return Contents(folder, tuple(found[path] for path in files if path in found), tuple(foreign))
