"""JSON with a checksum of its content, fingerprints of settings, and the errors of reading damaged files."""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Raised for damaged files by the system, JSON, NumPy and zip archives; the latter raise RuntimeError for a flipped bit
# that looks like encryption, or NotImplementedError for an unknown compression method.
_ARCHIVE_ERRORS = (RuntimeError, zipfile.BadZipFile, zlib.error)
READ_ERRORS = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, *_ARCHIVE_ERRORS)


def dump(name: str, body: Any, default: Callable[[Any], Any] | None = None) -> str:
    """Serialises `body` to a JSON object that holds it under `name`, with its checksum.

    Args:
      name: Key of the body.
      body: JSON-serialisable value.
      default: Converts other objects, as in `json.dumps`.

    >>> load("scores", dump("scores", {"a": 0.5}))
    {'a': 0.5}
    """
    text = json.dumps(body, default=default, sort_keys=True)
    return f'{{"sha256": "{_checksum(text)}", "{name}": {text}}}\n'


def load(name: str, text: str) -> Any:
    """Parses the output of `dump` and returns its body.

    Raises:
      ValueError, LookupError or TypeError: If the text was changed since.
    """
    document = json.loads(text)
    body = document[name]
    if document["sha256"] != _checksum(json.dumps(body, sort_keys=True)):
        raise ValueError("its checksum does not match")
    return body


def fingerprint(value: Any, digits: int = 16) -> str:
    """Hexadecimal digest of a JSON-serialisable value, independent of the order of keys.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}), fingerprint([1], digits=8)
    (True, '080a9ed4')
    """
    return _checksum(json.dumps(value, sort_keys=True))[:digits]


def file_checksum(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits.

    Raises:
      OSError: If the file can't be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
