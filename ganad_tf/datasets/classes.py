"""UrbanSound8K and ESC-50: one class is normal, the others are anomalies.

    audio/fold5/100032-3-0-0.wav, metadata/UrbanSound8K.csv (slice_file_name, fsID, fold, class, ...)
    audio/1-100032-A-0.wav, meta/esc50.csv (filename, fold, category, src_file, ...)

Folds are respected: normal clips outside of `dataset.classes.test_folds` are for training, all clips in them for the
test, and anomalies in other folds are left out. Clips of one source on Freesound (`fsID`, `src_file`) are one
recording.

UrbanSound8K: Salamon, Jacoby, Bello 2014 (doi 10.1145/2647868.2655045), Zenodo 1203745, CC BY-NC 3.0; rates differ, so
that `audio.resample` is needed. ESC-50: Piczak 2015 (doi 10.1145/2733373.2806390), github.com/karolpiczak/ESC-50, CC
BY-NC 3.0, 44.1 kHz.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.clips import Listing
from ganad_tf.config import Mode
from ganad_tf.config.reader import nearest
from ganad_tf.config.sections import ClassData, Dataset
from ganad_tf.datasets import tables
from ganad_tf.datasets.base import MachineTypes, make_clip, not_there, recordings, refuse_evaluation
from ganad_tf.errors import ConfigError, DataError

MACHINE_ID = "00"  # a class is one machine


@dataclass(frozen=True)
class Columns:
    """Metadata of a data set: the CSV file, its columns, and the last fold, which is the test by default."""

    table: str
    file: str
    category: str
    source: str
    last_fold: int
    has_fold_folders: bool

    def path(self, row: Mapping[str, str]) -> str:
        """Path of a row's file, relative to the data directory."""
        folder = f"audio/fold{row['fold']}" if self.has_fold_folders else "audio"
        return f"{folder}/{row[self.file]}"


LAYOUTS = {
    "urbansound8k": Columns("metadata/UrbanSound8K.csv", "slice_file_name", "class", "fsID", 10, True),
    "esc50": Columns("meta/esc50.csv", "filename", "category", "src_file", 5, False),
}


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """The one machine type, the normal class.

    Raises:
      ConfigError: If the class or a fold is not one of the data set.
      DataError: If the metadata can't be read.
    """
    refuse_evaluation(mode, settings.name)
    columns = LAYOUTS[settings.name]
    table = directory / columns.table
    rows = tables.read(table, ["fold", columns.category, columns.source], name=columns.file)
    normal = _normal_class(settings.classes, {row[columns.category] for row in rows.values()})
    folds = _test_folds(settings.classes, {row["fold"] for row in rows.values()}, columns.last_fold)
    files, foreign = recordings(directory / "audio") if (directory / "audio").is_dir() else ([], [])
    there = {path.relative_to(directory).as_posix(): path for path in files}
    by_path = {columns.path(row): row for row in rows.values()}
    foreign += [f"{there[name]}: expected a line in {table}" for name in sorted(there.keys() - by_path.keys())]
    if missing := sorted(by_path.keys() - there.keys()):
        foreign.append(not_there(table, missing, directory))
    clips = [
        make_clip(
            there[name],
            directory,
            machine=normal,
            machine_id=MACHINE_ID,
            split="test" if row["fold"] in folds else "train",
            label=int(row[columns.category] != normal),
            group=row[columns.source],
            attributes={"class": row[columns.category], "fold": row["fold"]},
        )
        for name, row in sorted(by_path.items())
        if name in there and (row[columns.category] == normal or row["fold"] in folds)
    ]
    listing = Listing(normal, directory, tuple(clips), tuple(foreign))
    return {normal: lambda: listing}


def _normal_class(settings: ClassData, known: set[str]) -> str:
    name = settings.normal_class
    if name is None:
        raise ConfigError(f"Expected a class for `dataset.classes.normal_class`. Known: {', '.join(sorted(known))}.")
    if name not in known:
        raise ConfigError(f"Unknown `dataset.classes.normal_class: {name}`{nearest(name, known)}")
    return name


def _test_folds(settings: ClassData, known: set[str], last: int) -> set[str]:
    """Folds of the test, as the metadata write them.

    Raises:
      ConfigError: If one is not there, or none is left for training.
      DataError: If a fold of the metadata is no number.
    """
    if wrong := sorted(fold for fold in known if not fold.isdecimal()):
        raise DataError(f"Expected whole numbers in the column `fold`. Received: {', '.join(wrong)}.")
    folds = {str(fold) for fold in settings.test_folds or [last]}
    if not folds < known:
        names = ", ".join(sorted(known, key=int))
        raise ConfigError(
            f"Expected some of the folds {names}, not all, for `dataset.classes.test_folds`. "
            f"Received: {', '.join(sorted(folds, key=int))}."
        )
    return folds
