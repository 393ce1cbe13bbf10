"""Attributes of recordings: conditions such as speed and load, from file names and from `attributes_00.csv`.

A CSV file of a section has the columns `file_name`, `d1p` and `d1v` (name and value of the first attribute), `d2p`,
`d2v` and so on, perhaps none of these. Its file names have the folders before them and `.wav` after them in some
machine types and not in others, so that only the part between counts. `noAttribute` stands for attributes that are not
disclosed (2024 and later).
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from ganad_tf.datasets import tables
from ganad_tf.datasets.base import not_there
from ganad_tf.errors import DataError

HIDDEN = "noAttribute"
CONDITION = "condition"  # attributes that are not pairs of name and value


def of_name(text: str, *, has_pairs: bool = True) -> dict[str, str]:
    """Attributes in a file name.

    Args:
      text: The end of the name, without `.wav`.
      has_pairs: Whether it consists of pairs of name and value; one that does not is a `condition` as a whole.

    >>> of_name("vel_16_loc_A"), of_name("strength_1_ambient", has_pairs=False), of_name("noAttribute")
    ({'vel': '16', 'loc': 'A'}, {'condition': 'strength_1_ambient'}, {})
    """
    text = text.strip("_")
    if text in ("", HIDDEN):
        return {}
    words = text.split("_")
    names = words[::2]
    if not has_pairs or len(words) % 2 or len(set(names)) < len(names):
        return {CONDITION: text}
    return dict(zip(names, words[1::2], strict=True))


class Known:
    """Attributes of a machine type's recordings, by its CSV files."""

    def __init__(self) -> None:
        self._tables: dict[str, Path] = {}
        self._attributes: dict[str, dict[str, str]] = {}

    def read(self, table: Path) -> list[str]:
        """Reads a CSV file; returns what is wrong with it."""
        try:
            rows = tables.read(table, [], name="file_name")
        except DataError as error:
            return [str(error)]
        for name, row in rows.items():
            stem = _stem(name)
            self._tables[stem] = table
            self._attributes[stem] = _of_row(row)
        return []

    def merged(self, file: str, in_name: Mapping[str, str]) -> tuple[dict[str, str], str]:
        """Attributes of a file by its name and by the CSV file, and how these contradict one another, if they do."""
        listed = self._attributes.get(_stem(file), {})
        different = [name for name in in_name.keys() & listed.keys() if not _is_same(in_name[name], listed[name])]
        if different:
            pairs = ", ".join(f"{name}={listed[name]}" for name in sorted(different))
            return {}, f"expected the attributes of its name in {self._tables[_stem(file)]}. Received: {pairs}"
        return {**in_name, **listed}, ""

    def missing(self, files: Iterable[str]) -> list[str]:
        """Lines for the CSV files that name files which are not there."""
        there = {_stem(file) for file in files}
        missing: dict[Path, list[str]] = {}
        for stem, table in self._tables.items():
            if stem not in there:
                missing.setdefault(table, []).append(f"{stem}.wav")
        return [not_there(table, names, table.parent) for table, names in missing.items()]


def _of_row(row: Mapping[str, str]) -> dict[str, str]:
    """Attributes in a row: the values of `d1v`, `d2v`, ... under the names in `d1p`, `d2p`, ..."""
    columns = [column for column in row if re.fullmatch(r"d\d+p", column)]
    pairs = [(row[column], row.get(f"{column[:-1]}v", "")) for column in columns]
    return {name: value for name, value in pairs if name not in ("", HIDDEN) and value not in ("", HIDDEN)}


def _stem(file: str) -> str:
    """The name without folders and `.wav`; values may have dots, as in `ac_0.08`."""
    return PurePosixPath(file).name.removesuffix(".wav")


def _is_same(one: str, other: str) -> bool:
    """Whether two values are equal as texts or, as `0.30` and `0.3` are, as numbers."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False
