"""JSON by its checksum: files that show whether they are as they were written, names for settings.

Also what reading a damaged file of any kind may raise.
"""

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Of the system, JSON, NumPy and zip archives (which call a flipped flag encryption, or a method that they don't know).
_OF_ARCHIVES = (RuntimeError, zipfile.BadZipFile, zlib.error)
DAMAGED = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, *_OF_ARCHIVES)


def dumps(name: str, body: Any, default: Callable[[Any], Any] | None = None) -> str:
    """A JSON object with `body` under `name` and a checksum of it.

    Args:
      name: What the body is.
      body: What JSON can hold.
      default: Turns other objects into that, as `json.dumps` has it.

    >>> loads("scores", dumps("scores", {"a": 0.5}))
    {'a': 0.5}
    """
    text = json.dumps(body, default=default, sort_keys=True)
    return f'{{"sha256": "{_checksum(text)}", "{name}": {text}}}\n'


def loads(name: str, text: str) -> Any:
    """The body that `dumps` was given.

    Raises:
      ValueError, LookupError or TypeError: If it is not as it was written.
    """
    document = json.loads(text)
    body = document[name]
    if document["sha256"] != _checksum(json.dumps(body, sort_keys=True)):
        raise ValueError("its checksum does not match")
    return body


def fingerprint(value: Any, digits: int = 16) -> str:
    """A short name of what JSON can hold: another one for another value.

    >>> fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}), fingerprint([1], digits=8)
    (True, '080a9ed4')
    """
    return _checksum(json.dumps(value, sort_keys=True))[:digits]


def file_checksum(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
      OSError: If it can't be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
