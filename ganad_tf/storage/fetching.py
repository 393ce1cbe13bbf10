"""Store → local image: what is missing or has changed, one unit at a time, each of them whole.

Local files that were never published stay, as after a command that was killed, unless another worker has published the
unit meanwhile: what is published wins.
"""

import logging
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from ganad_tf.clips import Progress
from ganad_tf.storage import placeholders
from ganad_tf.storage.folder import Folder, Index, Known
from ganad_tf.storage.store import CONNECTIONS, ConflictError, Stored
from ganad_tf.storage.units import concerns

logger = logging.getLogger(__name__)

PAUSES = (2, 10)  # before a unit that is being published is looked at again, in `storage.pause_seconds`
TEXTS = (".csv", ".json", ".txt", ".yaml", ".yml", ".config")  # fetched where other files are placeholders
SPARSE = ("dev_directory", "eval_directory", "export_directory")  # of which placeholders are made

Objects = dict[str, Stored]


def fetch(
    folder: Folder,
    mode: str | None = None,
    machines: Collection[str] = (),
    progress: Progress = lambda items, _: items,
) -> None:
    """Brings the local image of a directory up to date.

    Args:
      folder: The directory.
      mode: `dev` or `eval`; None for both.
      machines: Machine types; none for all.
      progress: Displays the progress.

    Raises:
      ConfigError: If there is no such bucket, or there are no credentials.
      DataError: If something can't be fetched.
    """
    chosen = frozenset(machines)
    with folder.index() as index:
        there = _find(folder, mode, chosen)
        units = [unit for unit in sorted({*there, *index.units}) if concerns(folder.kind, unit, mode, chosen)]
        for unit in progress(units, len(units)):
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
    for pause in (*PAUSES, 0):
        found = folder.read_record(unit)
        record, version = found or (None, None)
        if record is None or record.is_whole(objects):
            named = objects if record is None else {name: objects[name] for name in record.files}
            if _is_fetched(folder, index, unit, named, version):
                return
        if pause:
            time.sleep(pause * folder.settings.pause_seconds)
            objects = folder.objects_of(unit)
    logger.info("%s: %s is being published or was left unfinished; it counts as missing", folder.url, unit)


def _is_fetched(folder: Folder, index: Index, unit: str, objects: Objects, version: str | None) -> bool:
    """Brings the local files of a unit up to date; False if it was replaced meanwhile, and is here no longer."""
    known = index.units.get(unit, Known())
    is_new = version != known.record or not known.files
    kept = {
        name: before
        for name, before in known.files.items()
        # An edited file of a unit that is unchanged in the store is kept, to be published.
        if name in objects
        and before[0] == objects[name].version
        and (local := _local(folder.path / name))
        and (not is_new or before[1:] == local)
    }
    missing = [name for name in objects if name not in kept]
    try:
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(lambda name: _get(folder, name, objects[name]), missing))
    except ConflictError:
        index.units.pop(unit, None)
        _remove(folder, [*known.files, *missing])  # those of two units, perhaps
        return False
    fetched = {name: (objects[name].version, *_local(folder.path / name)) for name in missing}
    _remove(folder, _superfluous(folder, unit, known, objects, is_new=is_new and version is not None))
    if objects:
        index.units[unit] = Known(version, kept | fetched)
    else:
        index.units.pop(unit, None)
    return True


def _get(folder: Folder, name: str, stored: Stored) -> None:
    path = folder.path / name
    if folder.kind in SPARSE and stored.size and path.suffix.lower() not in TEXTS:
        placeholders.make(path, stored)
        if placeholders.is_placeholder(path):
            return
    # Also where the file system has no sparse files.
    folder.store.fetch(folder.url_of(name), path, stored)


def _superfluous(folder: Folder, unit: str, known: Known, objects: Objects, *, is_new: bool) -> list[str]:
    """Local files that the unit no longer has: those that were fetched or published and are as they were then.

    Where the unit was published anew, others too: they belong to another making of it.
    """
    local = folder.local_units().get(unit, {}) if is_new else {}
    gone = [name for name, (_, *state) in known.files.items() if tuple(state) == _local(folder.path / name)]
    return [name for name in {*local, *gone} if name not in objects]


def _remove(folder: Folder, names: Collection[str]) -> None:
    """Removes files, and the folders that are empty then: a detector's folder is there only with its files."""
    for name in names:
        path = folder.path / name
        path.unlink(missing_ok=True)
        for above in list(path.relative_to(folder.path).parents)[:-1]:
            with suppress(OSError):  # not empty, or not there
                (folder.path / above).rmdir()


def _local(path: Path) -> tuple[int, int] | tuple[()]:
    """Size and modification time; empty if there is no file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return ()
    return status.st_size, status.st_mtime_ns
