"""Local image → store: units that have changed, so that each is whole in the end whoever else publishes it.

Of several workers that publish one unit, the one that began last finishes it: each opens the unit by a conditional
write of its record, writes each file on the condition that the store has the one that was there when it began, and
closes the record on the condition that it is still its own. A worker whose condition fails leaves the unit to the
other.
(https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html)
"""

import logging
import random
import secrets
import time
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from ganad_tf.errors import DataError
from ganad_tf.files import checksummed
from ganad_tf.storage.folder import Folder, Known
from ganad_tf.storage.store import CONNECTIONS, ConflictError, Stored
from ganad_tf.storage.units import RECORDS, Content, Record, concerns, in_order, is_last

logger = logging.getLogger(__name__)

TRIES = 8  # to open a unit, or to write a file that others write too

States = Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Published:
    """Result of `publish`.

    Attributes:
      units: Units that are now in the store as they are here.
      left: Units that another worker was publishing at the same time, to which they were left.
    """

    units: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __add__(self, other: "Published") -> "Published":
        return Published(self.units + other.units, self.left + other.left)


def publish(folder: Folder, mode: str | None = None, machines: Collection[str] = ()) -> Published:
    """Publishes the units of a directory that have changed here.

    Args:
      folder: The directory.
      mode: `dev` or `eval`; None for both.
      machines: Machine types; none for all.

    Raises:
      DataError: If something can't be written, or a version of an exported model is there already. A unit that is
        then half in the store counts as missing.
    """
    done, left, chosen = [], [], frozenset(machines)
    with folder.index() as index:
        for unit, files in folder.local_units().items():
            known = index.units.get(unit)
            if not concerns(folder.kind, unit, mode, chosen) or (known and _states(known) == files):
                continue
            try:
                index.units[unit] = _publish_unit(folder, unit, files)
                done.append(unit)
            except ConflictError as error:
                if folder.kind == "export_directory" and unit != "index":
                    raise _taken(folder, unit) from error
                logger.info("%s: another worker publishes %s, to which it is left", folder.url, unit)
                left.append(unit)
    return Published(tuple(done), tuple(left))


def remove(folder: Folder) -> None:
    """Removes all that a directory has in the store; no unit of it is whole meanwhile.

    Raises:
      StorageError: If something can't be removed.
    """
    with folder.index() as index:
        names = folder.store.find(folder.url)
        for name in sorted(names, key=lambda name: (name.startswith(f"{RECORDS}/"), name)):
            folder.store.remove(folder.url_of(name))
        index.units.clear()


def _states(known: Known) -> States:
    return {name: (size, time_ns) for name, (_, size, time_ns) in known.files.items()}


def _publish_unit(folder: Folder, unit: str, files: States) -> Known:
    """Publishes one unit; what is known of it then.

    Raises:
      ConflictError: If another worker began later.
    """
    contents = {
        name: Content(files[name][0], checksummed.file_checksum(folder.path / name)) for name in in_order(files)
    }
    opened = ""
    for _ in range(TRIES):
        found, objects = folder.read_record(unit), folder.objects_of(unit)
        record, version = found or (None, None)
        if record and record.has_contents(contents) and record.is_whole(objects):
            versions = {name: content.version for name, content in record.files.items()}
            return Known(version, {name: (versions[name], *state) for name, state in files.items()})
        if opened and version != opened:
            raise ConflictError(unit)
        if not opened:
            _refuse_version(folder, unit, record, objects)
        former = record.files if record else {}
        try:
            own = folder.store.write(folder.record_url(unit), Record(False, _token(), former).dump(), version)
        except ConflictError:
            time.sleep(random.uniform(0, 2 * folder.settings.pause_seconds))
            continue
        written = _write_files(folder, unit, own, contents, _reusable(former, objects), objects)
        opened = folder.store.write(folder.record_url(unit), Record(True, _token(), written).dump(), own)
        _remove_former(folder, unit, opened, former, written)
        # Once more: an earlier worker may have been writing a file while this one saw it unchanged.
    raise ConflictError(unit)


def _refuse_version(folder: Folder, unit: str, record: Record | None, objects: Mapping[str, Stored]) -> None:
    is_there = (record.is_complete if record else bool(objects)) and unit != "index"
    if folder.kind == "export_directory" and is_there:
        raise _taken(folder, unit)


def _taken(folder: Folder, unit: str) -> DataError:
    return DataError(f"{folder.url}/{unit} has been published by another command meanwhile; run `ganad export` again.")


def _token() -> str:
    return secrets.token_hex(8)


def _reusable(former: Mapping[str, Content], objects: Mapping[str, Stored]) -> dict[str, Content]:
    """Files of the former unit that the store still has."""
    return {
        name: content
        for name, content in former.items()
        if name in objects and objects[name].version == content.version
    }


def _write_files(
    folder: Folder,
    unit: str,
    own: str,
    contents: Mapping[str, Content],
    reusable: Mapping[str, Content],
    objects: Mapping[str, Stored],
) -> dict[str, Content]:
    """Writes the files that are not in the store yet; contents of all with their versions.

    Raises:
      ConflictError: If the record is no longer `own`.
    """

    def write(name: str) -> Content:
        there = reusable.get(name)
        if there and there.sha256 == contents[name].sha256:
            return there
        expected = objects[name].version if name in objects else None
        return replace(contents[name], version=_write_file(folder, unit, own, name, expected))

    first = [name for name in contents if not is_last(name)]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        written = dict(zip(first, pool.map(write, first), strict=True))
    return written | {name: write(name) for name in contents if is_last(name)}


def _write_file(folder: Folder, unit: str, own: str, name: str, expected: str | None) -> str:
    for _ in range(TRIES):
        try:
            return folder.store.write(folder.url_of(name), folder.path / name, expected)
        except ConflictError:
            _require_own(folder, unit, own)
            there = folder.store.info(folder.url_of(name))  # of a worker that began earlier
            expected = there.version if there else None
    raise ConflictError(unit)


def _require_own(folder: Folder, unit: str, own: str) -> None:
    record = folder.store.info(folder.record_url(unit))
    if record is None or record.version != own:
        raise ConflictError(unit)


def _remove_former(
    folder: Folder, unit: str, own: str, former: Mapping[str, Content], written: Mapping[str, Content]
) -> None:
    """Removes the files of the former unit that this one does not have."""
    for name in sorted(former.keys() - written.keys()):
        _require_own(folder, unit, own)
        folder.store.remove(folder.url_of(name))
