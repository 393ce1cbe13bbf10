"""Store → local image: what is missing or has changed, one unit at a time, each of them whole.

Local files that were never published stay, as after a command that was killed, unless another worker has published the
unit meanwhile: what is published wins.
"""

import logging
import time
from collections.abc import Collection
from pathlib import Path

from ganad_tf.storage import placeholders
from ganad_tf.storage.folder import Folder, Index, Known
from ganad_tf.storage.store import ConflictError, Stored
from ganad_tf.storage.units import concerns

logger = logging.getLogger(__name__)

PAUSES_SECONDS = (0.5, 2.0)  # before a unit that is being published is looked at again
TEXTS = (".csv", ".json", ".txt", ".yaml", ".yml", ".config")  # fetched where other files are placeholders
SPARSE = ("dev_directory", "eval_directory", "export_directory")  # of which placeholders are made

Objects = dict[str, Stored]


def fetch(folder: Folder, mode: str | None = None, machines: Collection[str] = ()) -> None:
    """Brings the local image of a directory up to date.

    Args:
      folder: The directory.
      mode: `dev` or `eval`; None for both.
      machines: Machine types; none for all.

    Raises:
      ConfigError: If there is no such bucket, or there are no credentials.
      DataError: If something can't be fetched.
    """
    chosen = frozenset(machines)
    with folder.index() as index:
        there = _find(folder, mode, chosen)
        for unit in sorted({*there, *index.units}):
            if concerns(folder.kind, unit, mode, chosen):
                _fetch_unit(folder, index, unit, there.get(unit, {}))
    folder.path.mkdir(parents=True, exist_ok=True)


def _find(folder: Folder, mode: str | None, machines: frozenset[str]) -> dict[str, Objects]:
    """Objects by unit, of single machine types without a scan of the others."""
    if not machines or folder.kind not in ("cache_directory", "model_directory"):
        return folder.find()
    units: dict[str, Objects] = {}
    for machine in sorted(machines):
        for each in [mode] if mode else ["dev", "eval"]:
            units |= folder.find(f"{each}/{machine}")
    return units


def _fetch_unit(folder: Folder, index: Index, unit: str, objects: Objects) -> None:
    for pause in (*PAUSES_SECONDS, None):
        found = folder.read_record(unit)
        record, version = found or (None, None)
        is_whole = record is None or record.is_whole(objects)
        if is_whole:
            named = objects if record is None else {name: objects[name] for name in record.files}
            try:
                _bring_up_to_date(folder, index, unit, named, version)
                return
            except ConflictError:  # replaced while it was fetched
                logger.debug("%s: %s has changed while it was fetched", folder.url, unit)
        if pause:
            time.sleep(pause)
            objects = folder.objects_of(unit)
    logger.info("%s: %s is being published or was left unfinished; it counts as missing", folder.url, unit)


def _bring_up_to_date(folder: Folder, index: Index, unit: str, objects: Objects, version: str | None) -> None:
    known = index.units.get(unit, Known())
    is_new = version != known.record or not known.files
    files: dict[str, tuple[str, int, int]] = {}
    for name, stored in objects.items():
        path, before = folder.path / name, known.files.get(name)
        is_same = before is not None and before[0] == stored.version and path.exists()
        # An edited file of a unit that is unchanged in the store is kept, to be published.
        if before and is_same and (not is_new or before[1:] == _local(path)):
            files[name] = before
        else:
            _get(folder, name, path, stored)
            status = path.stat()
            files[name] = (stored.version, status.st_size, status.st_mtime_ns)
    for name in _superfluous(folder, unit, known, objects, is_new=is_new and version is not None):
        (folder.path / name).unlink(missing_ok=True)
    index.units[unit] = Known(version, files)
    if not files:
        del index.units[unit]


def _get(folder: Folder, name: str, path: Path, stored: Stored) -> None:
    if folder.kind in SPARSE and stored.size and path.suffix.lower() not in TEXTS:
        placeholders.make(path, stored)
    else:
        folder.store.fetch(folder.url_of(name), path, stored)


def _superfluous(folder: Folder, unit: str, known: Known, objects: Objects, *, is_new: bool) -> list[str]:
    """Local files that the unit no longer has: those that were fetched or published and are as they were then.

    Where the unit was published anew, others too: they belong to another making of it.
    """
    local = folder.local_units().get(unit, {}) if is_new else {}
    gone = [name for name, (_, *state) in known.files.items() if tuple(state) == _local(folder.path / name)]
    return [name for name in {*local, *gone} if name not in objects]


def _local(path: Path) -> tuple[int, ...]:
    """Size and modification time; empty if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_size, status.st_mtime_ns
