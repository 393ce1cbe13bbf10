"""CSV files about recordings: a column `file`, and others that say what is known about each."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from ganad_tf.errors import DataError


def read(path: Path, columns: Sequence[str], key: str) -> dict[str, dict[str, str]]:
    """Reads a CSV file: its rows by the column `file`.

    Args:
      path: The file, in UTF-8, with a header.
      columns: The columns that it must have beside `file`; others are ignored.
      key: Setting that names the file, for messages.

    Raises:
      DataError: If it can't be read, lacks a column, or names a recording twice.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            lines = list(csv.DictReader(stream, skipinitialspace=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Can't read {path}, which `{key}` names: {reason}.") from error
    wanted = ("file", *columns)
    rows: dict[str, dict[str, str]] = {}
    for number, line in enumerate(lines, start=2):
        row = {column: (line.get(column) or "").strip() for column in wanted}
        if not set(wanted) <= line.keys() or not row["file"]:
            raise DataError(
                f"Expected the columns {', '.join(wanted)} in {path}, which `{key}` names. "
                f"Received: {', '.join(filter(None, line))} in line {number}."
            )
        if row["file"] in rows:
            raise DataError(f"Expected every recording once in {path}. Received: {row['file']} again in line {number}.")
        rows[row["file"]] = row
    return rows


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
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return DataError(
        f"Expected files in {directory} in the column `file` of {path}, which `{key}` names. Received: {some}."
    )
