"""Any recordings that a CSV file describes: `file,label,id,split,domain`, one line per recording.

The files are in the data directory and are named relative to it, or by their names alone if these occur once. `id` and
`domain` may be missing, and so may `group`, the recording that a clip is a part of; further columns are attributes.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from ganad_tf.clips import DOMAINS, SPLITS, Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets import tables
from ganad_tf.datasets.base import MachineTypes, make_clip, not_there, recordings, refuse_evaluation
from ganad_tf.errors import ConfigError

KEY = "dataset.table.csv"
MACHINE_ID = "00"  # where the column `id` is missing or empty
LABELS = {"normal": 0, "anomaly": 1, "abnormal": 1, "0": 0, "1": 1, "": None}
ANY_DOMAIN = (*DOMAINS, "")
COLUMNS = ("file", "label", "id", "split", "domain", "group")  # others are attributes


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """The one machine type.

    Raises:
      ConfigError: If no CSV file is set.
      DataError: If it can't be read or lacks a column.
    """
    refuse_evaluation(mode, "table")
    if settings.table.csv is None:
        raise ConfigError(f"Expected a CSV file for `{KEY}` with the columns file, label, id, split, domain.")
    table = Path(settings.table.csv)
    folder = directory.resolve() if directory.name in ("", "..") else directory  # `.` and `..` have no name
    machine = settings.table.machine_type or folder.name
    rows = tables.read(table, ["label", "split"], KEY)
    files, foreign = recordings(folder)
    names = tables.Names(files, folder)
    found = {name: path for name in rows if (path := names.find(name))}
    if missing := [name for name in rows if name not in found]:
        foreign.append(not_there(table, missing, folder))
    listed = set(found.values())
    foreign += [f"{table}: expected one line for {path}. Received: {', '.join(names)}" for path, names in _twice(found)]
    foreign += [f"{path}: expected a line in {table}" for path in files if path not in listed]
    foreign += [f"{table}: {wrong}" for name in found if (wrong := _wrong(name, rows[name]))]
    once = {path: name for name, path in reversed(found.items())}  # by its first line
    clips = [_clip(path, folder, machine, rows[name]) for path, name in once.items() if not _wrong(name, rows[name])]
    listing = Listing(machine, folder, tuple(sorted(clips)), tuple(foreign))
    return {machine: lambda: listing}


def _twice(found: Mapping[str, Path]) -> Iterator[tuple[Path, list[str]]]:
    """Files that several lines name, such as `a.wav` and `./a.wav`, with the names."""
    names: dict[Path, list[str]] = {}
    for name, path in found.items():
        names.setdefault(path, []).append(name)
    return ((path, written) for path, written in names.items() if len(written) > 1)


def _wrong(name: str, row: Mapping[str, str]) -> str:
    """Description of a value that a column can't have; empty if there is none."""
    label, split, domain = row["label"], row["split"], row.get("domain", "")
    if label in LABELS and split in SPLITS and domain in ANY_DOMAIN and (split == "test" or LABELS[label] == 0):
        return ""
    return (
        "expected `train` or `calibration` with the label `normal`, or `test` with `normal`, `anomaly` or no label, "
        f"and the domain `source`, `target` or none. Received: {name} with {split!r}, {label!r}, {domain!r}"
    )


def _clip(path: Path, folder: Path, machine: str, row: Mapping[str, str]) -> Clip:
    return make_clip(
        path,
        folder,
        machine=machine,
        machine_id=row.get("id") or MACHINE_ID,
        split=row["split"],
        label=LABELS[row["label"]],
        name=path.relative_to(folder).as_posix(),
        group=row.get("group", ""),
        domain=row.get("domain", ""),
        attributes={name: value for name, value in row.items() if name not in COLUMNS and value},
    )
