"""CSV files about recordings: a column of their names, and others that say what is known about each."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganad_tf.datasets.base import some
from ganad_tf.errors import DataError


def read(path: Path, columns: Sequence[str], key: str = "", *, name: str = "file") -> dict[str, dict[str, str]]:
    """Reads a CSV file: its rows by the column of the recordings' names.

    Args:
      path: The file, in UTF-8, with a header.
      columns: The columns that it must have beside that of the names. Rows have the others too.
      key: Setting that names the file, for messages; empty if the layout does.
      name: Column of the names.

    Raises:
      DataError: If it can't be read, lacks a column, or names a recording twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            lines, header = list(reader), reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Can't read {path}{_named_by(key)}: {reason}.") from error
    expected = f"Expected the columns {', '.join((name, *columns))} in {path}{_named_by(key)}."
    if not {name, *columns} <= set(header):
        raise DataError(f"{expected} Received: {', '.join(header) or 'an empty file'}.")
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=2):
        row = {column: (value or "").strip() for column, value in line.items() if column is not None}
        if not row[name]:
            raise DataError(f"{expected} Received: line {number} without `{name}`.")
        if row[name] in rows:
            raise DataError(f"Expected every recording once in {path}. Received: {row[name]} again in line {number}.")
        rows[row[name]] = row
    return rows


def _named_by(key: str) -> str:
    return f", which `{key}` names" if key else ""


class Names:
    """Recordings by the names that a list may have for them.

    These are the path relative to the machine's folder, the same with that folder's name, and the file name alone
    where no other file has it.

    Args:
      paths: The recordings.
      folder: The machine's folder.
    """

    def __init__(self, paths: Iterable[Path], folder: Path) -> None:
        self._paths: dict[str, Path] = {}
        by_file_name: dict[str, list[Path]] = {}
        for path in paths:
            by_file_name.setdefault(path.name, []).append(path)
            for above in (folder, folder.parent):
                self._paths[path.relative_to(above).as_posix()] = path
        for name, same in by_file_name.items():
            if len(same) == 1:
                self._paths.setdefault(name, same[0])

    def find(self, name: str) -> Path | None:
        """The recording of that name; None if there is none."""
        return self._paths.get(name.replace("\\", "/").removeprefix("./"))


def unknown(path: Path, names: Sequence[str], key: str, directory: Path) -> DataError:
    """The error for rows of a list that name no recording."""
    return DataError(
        f"Expected files in {directory} in the column `file` of {path}, which `{key}` names. Received: {some(names)}."
    )
