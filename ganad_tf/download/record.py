"""The list of files of a part: names, sizes and checksums, from the JSON of its Zenodo record.

The JSON is that of `https://zenodo.org/api/records/<id>`, whose `files` have `key`, `size`, `checksum` (`md5:...`) and
`links.self` (developers.zenodo.org).
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ganad_tf.download.catalogue import Part
from ganad_tf.errors import DataError

RECORD_URL = "https://zenodo.org/api/records/{}"

_NAME = re.compile(r"[^/\\\0.][^/\\\0]*")
_MD5 = re.compile(r"md5:([0-9a-f]{32})")
_VOLUME = re.compile(r"(?P<archive>.+\.7z)\.\d{3}")
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".7z")


@dataclass(frozen=True)
class RemoteFile:
    """A file of a record.

    Attributes:
      name: File name, without folders.
      url: Address of its content.
      size: Length in bytes; None if nobody states it.
      md5: Checksum in hexadecimal digits; None if nobody states it.
    """

    name: str
    url: str
    size: int | None
    md5: str | None

    @property
    def archive(self) -> str | None:
        """Name of the archive that the file is, or that it is a volume of; None for a document."""
        volume = _VOLUME.fullmatch(self.name)
        if volume:
            return volume["archive"]
        return self.name if self.name.lower().endswith(_ARCHIVES) else None


@dataclass(frozen=True)
class Record:
    """The list of files of a part.

    Attributes:
      files: Files, sorted by name.
      licence: Identifier of the licence that the record states; empty if unknown.
    """

    files: tuple[RemoteFile, ...]
    licence: str = ""

    def as_json(self) -> dict[str, Any]:
        """JSON-serialisable form, for the manifest."""
        return {"files": [asdict(file) for file in self.files], "licence": self.licence}

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> "Record":
        """The inverse of `as_json`."""
        return Record(tuple(RemoteFile(**file) for file in value["files"]), value["licence"])


def without_record(part: Part) -> Record:
    """The list of a part that is one archive somewhere else."""
    name = f"{part.folder}-{part.url.rpartition('/')[2]}"
    return Record((RemoteFile(name, part.url, None, None),))


def parse(text: bytes, source: str) -> Record:
    """Parses the JSON of a Zenodo record.

    Args:
      text: The JSON.
      source: Where it is from, for messages.

    Raises:
      DataError: If it is not a record with files, or one of them has an unsafe name.
    """
    try:
        document = json.loads(text)
        files = [_file(file) for file in document["files"]]
        licence = (document.get("metadata") or {}).get("license") or {}
        identifier = str(licence.get("id", ""))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"Expected the JSON of a Zenodo record with files from {source}, but it is not.") from error
    unsafe = [file.name for file in files if not _NAME.fullmatch(file.name) or not file.name.isprintable()]
    if unsafe or len({file.name for file in files}) < len(files):
        raise DataError(f"Expected plain, different file names from {source}. Received: {', '.join(unsafe) or files}.")
    if not files:
        raise DataError(f"Expected files in the record {source}, but it has none.")
    return Record(tuple(sorted(files, key=lambda file: file.name)), identifier)


def _file(value: Mapping[str, Any]) -> RemoteFile:
    checksum = _MD5.fullmatch(value["checksum"])
    size = value["size"]
    if checksum is None or not isinstance(size, int) or size < 0:
        raise ValueError(f"no size and MD5 of {value['key']}")
    return RemoteFile(str(value["key"]), str(value["links"]["self"]), size, checksum[1])
