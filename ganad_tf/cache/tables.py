"""Parquet tables of the clips in a cache, one per group of shards, for manifests of many clips.

`manifest.json` names each with its number of clips and its checksum, and keeps what does not fill a group, so that the
manifest of a small cache is that file alone. A table's file is named by its content: one that is unchanged is not
written again. Without pyarrow (extra `parquet`) all clips are in `manifest.json`, whatever their number.
"""

import dataclasses
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.cache.entry import Entry
from ganad_tf.clips import Clip
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import atomic

CLIPS_PER_TABLE = 4096  # those of 64 full shards
PATTERN = "clips-*.parquet"
_OF_CLIP = tuple(field.name for field in dataclasses.fields(Clip))
_OF_ENTRY = tuple(field.name for field in dataclasses.fields(Entry) if field.name != "clip")


@dataclass(frozen=True)
class Table:
    """A Parquet file of entries: its name, their number, and its checksum when it was complete."""

    file: str
    n_clips: int
    sha256: str


def save(directory: Path, entries: Sequence[Entry]) -> tuple[Table, ...]:
    """Writes a table for each full group of entries; none if pyarrow is not installed."""
    if len(entries) < CLIPS_PER_TABLE or not _is_installed():
        return ()
    begins = range(0, len(entries) - CLIPS_PER_TABLE + 1, CLIPS_PER_TABLE)
    return tuple(_save_one(directory, entries[begin : begin + CLIPS_PER_TABLE]) for begin in begins)


def load(directory: Path, table: Table) -> list[Entry]:
    """Reads the entries of a table.

    Raises:
      DataError: If it is missing or damaged.
      ConfigError: If pyarrow is not installed: the cache is in order, and need not be made again.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ConfigError(
            f"Expected pyarrow to read {directory / table.file}; install it with: pip install 'ganad_tf[parquet]'."
        ) from error
    try:
        data = (directory / table.file).read_bytes()
        if hashlib.sha256(data).hexdigest() != table.sha256:
            raise ValueError("its checksum does not match")
        read = parquet.read_table(io.BytesIO(data))
        return list(_entries({name: read.column(name).to_pylist() for name in read.column_names}))
    except (OSError, ValueError, KeyError, TypeError, ArrowException) as error:
        raise DataError(f"The cache in {directory} is corrupted: {table.file} can't be read ({error}).") from error


def remove_others(directory: Path, tables: Iterable[Table]) -> None:
    """Removes the tables of former manifests."""
    named = {table.file for table in tables}
    for path in directory.glob(PATTERN):
        if path.name not in named:
            path.unlink(missing_ok=True)


def _is_installed() -> bool:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        return False
    return True


def _save_one(directory: Path, entries: Sequence[Entry]) -> Table:
    from pyarrow import parquet

    stream = io.BytesIO()
    parquet.write_table(_as_table(entries), stream, compression="zstd")
    data = stream.getvalue()
    sha256 = hashlib.sha256(data).hexdigest()
    path = directory / PATTERN.replace("*", sha256[:16])
    if not path.exists() or path.read_bytes() != data:
        with atomic.replacing(path) as temporary:
            temporary.write_bytes(data)
    return Table(path.name, len(entries), sha256)


def _as_table(entries: Sequence[Entry]) -> Any:
    import pyarrow

    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    types = dict.fromkeys((*_OF_CLIP, *_OF_ENTRY), text)
    types |= dict.fromkeys(("label", "size", "mtime_ns", "channel", "copy", "index", "frames"), whole)
    types |= {"span": pyarrow.list_(real), "sound": pyarrow.list_(real), "remarks": pyarrow.list_(text)}
    types |= {"attributes": pyarrow.list_(pyarrow.list_(text))}
    columns = {name: [getattr(entry.clip, name) for entry in entries] for name in _OF_CLIP}
    columns |= {name: [getattr(entry, name) for entry in entries] for name in _OF_ENTRY}
    return pyarrow.table(columns, schema=pyarrow.schema(list(types.items())))


def _entries(columns: dict[str, list[Any]]) -> Iterable[Entry]:
    columns["span"] = [span and tuple(span) for span in columns["span"]]
    columns["attributes"] = [tuple((name, value) for name, value in pairs) for pairs in columns["attributes"]]
    for name in ("remarks", "sound"):
        columns[name] = [tuple(values) for values in columns[name]]
    clips = (Clip(*values) for values in zip(*(columns[name] for name in _OF_CLIP), strict=True))
    rest = zip(*(columns[name] for name in _OF_ENTRY), strict=True)
    return (Entry(clip, *values) for clip, values in zip(clips, rest, strict=True))
