"""Objects of a store by URL: listed, fetched, and written whole or not at all, with retries.

`fsspec` has a file system per scheme. It is asked one request at a time here, without caches of listings, so that
another worker's objects are seen; `s3.py` holds the two requests that fsspec has no conditions for.
"""

import errno
import functools
import importlib
import logging
import os
import random
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from ganad_tf.config.sections import Storage
from ganad_tf.errors import ConfigError, StorageError, WriteError

logger = logging.getLogger(__name__)

T = TypeVar("T")

CONNECTIONS = 8  # at the same time, of one directory
PART_BYTES = 2**26  # of a multipart upload
LONGEST_PAUSE_SECONDS = 20.0
PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs"}
_S3 = ("s3", "s3a")
_PERMANENT = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)
_HOPELESS = (errno.EINVAL, errno.ENOSPC)
# Errors of the file systems' libraries, besides OSError; of those that are imported.
_OF_LIBRARIES = (
    ("botocore.exceptions", "BotoCoreError"),
    ("aiohttp", "ClientError"),
    ("gcsfs.retry", "HttpError"),
    ("azure.core.exceptions", "AzureError"),
)
_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "ProfileNotFound")
# Names of the environment variables that hold endpoints and credentials begin with these.
_VARIABLES = ("AWS_", "AZURE_", "FSSPEC_", "GCSFS_", "GOOGLE_")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")


class ConflictError(Exception):
    """An object is not the one that a conditional write expects: another worker has written it."""


def changed(url: str) -> StorageError:
    """The error for a user of an object that is another one than was listed, or is gone."""
    return StorageError(f"{url} has changed or is gone since it was listed; run the command again.")


@dataclass(frozen=True)
class Stored:
    """Facts about an object.

    Attributes:
      size: In bytes.
      version: ETag, or what the store has in its place; other for other contents.
      mtime_ns: Time of last modification in nanoseconds, in whole seconds.
    """

    size: int
    version: str
    mtime_ns: int


class Store:
    """The store of a URL's scheme.

    Args:
      url: Any URL in it, for its scheme.
      settings: Attempts and timeout.
      part_bytes: Size from which a file is uploaded in parts of this size.

    Raises:
      ConfigError: If the scheme is unknown or its file system is not installed.
    """

    def __init__(self, url: str, settings: Storage, part_bytes: int = PART_BYTES) -> None:
        self.scheme = url.partition("://")[0]
        self._settings, self._part_bytes = settings, part_bytes
        variables = tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith(_VARIABLES)))
        self._fs = _file_system(self.scheme, settings.timeout_seconds, os.getpid(), variables)

    def find(self, url: str) -> dict[str, Stored]:
        """Lists the objects below a folder in one scan, by path relative to it; empty if there are none.

        Raises:
          ConfigError: If there is no such bucket.
          StorageError: If it can't be listed, or a name can't be that of a local file.
        """
        folder = self._path(url)
        found = self._retrying(url, "be listed", lambda: self._fs.find(folder, detail=True), missing={})
        objects = {
            name[len(folder) + 1 :]: _stored(info)
            for name, info in found.items()
            if info.get("type") != "directory" and name.startswith(f"{folder}/") and not name.endswith("/")
        }
        odd = sorted(name for name in objects if {"", ".", ".."} & set(name.split("/")) or "\0" in name)
        if odd:
            raise StorageError(
                f"Expected names that files can have in {url}. Received: {', '.join(map(repr, odd[:5]))}."
            )
        if not objects:
            self._require_bucket(url)
        return objects

    def info(self, url: str) -> Stored | None:
        """Facts about an object; None if there is none."""
        path = self._path(url)
        found = self._retrying(url, "be read", lambda: self._fs.info(path), missing=None)
        return None if found is None or found.get("type") == "directory" else _stored(found)

    def read(self, url: str) -> tuple[bytes, Stored] | None:
        """Content of a small object, and its facts; None if there is none."""
        path = self._path(url)
        while True:
            before = self.info(url)
            content = self._retrying(url, "be read", lambda: self._fs.cat_file(path), missing=None)
            if before is None or content is None:
                return None
            if self.info(url) == before:  # otherwise it was replaced meanwhile
                return bytes(content), before

    def fetch(self, url: str, path: Path, expected: Stored, *, is_shared: bool = True) -> None:
        """Fetches an object to a file, which gets its name when it is whole, and the object's time.

        Args:
          url: The object.
          path: The file.
          expected: Facts of the listing.
          is_shared: Whether others may replace the object meanwhile, so that its version is compared afterwards.

        Raises:
          ConflictError: If the object is another one than expected, or is gone.
          StorageError: If it can't be fetched.
        """
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")

        def get() -> int:
            self._fs.get_file(self._path(url), str(temporary))
            received = temporary.stat().st_size
            if received < expected.size:  # a connection that ended early
                raise ConnectionError(f"{received} of {expected.size} bytes were received")
            return received

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            received = self._retrying(url, "be fetched", get, missing=None)
            if received != expected.size or (is_shared and self.info(url) != expected):
                raise ConflictError(url)
            os.utime(temporary, ns=(expected.mtime_ns, expected.mtime_ns))
            temporary.replace(path)
        except OSError as error:
            raise WriteError(f"Can't write {path}: {error.strerror or error}.") from error
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, url: str, source: bytes | Path, expected: str | None) -> str:
        """Writes an object if the store still has the one that is expected; returns its version.

        Args:
          url: The object.
          source: Content, or the file that has it.
          expected: Version of the object that is replaced; None if there must be none.

        Raises:
          ConflictError: If there is another object. One with this same content is not: an earlier attempt wrote it.
          StorageError: If it can't be written.
        """
        return self._retrying(url, "be written", lambda: self._put_or_compare(url, source, expected))

    def remove(self, url: str) -> None:
        """Removes an object, if it is there."""
        path = self._path(url)
        self._retrying(url, "be removed", lambda: self._fs.rm_file(path), missing=None)

    def _put_or_compare(self, url: str, source: bytes | Path, expected: str | None) -> str:
        path = self._path(url)
        try:
            return self._put(path, source, expected)
        except (OSError, ConflictError) as error:
            if not isinstance(error, FileNotFoundError | ConflictError) and not _is_conflict(error):
                raise
            there = self._fs.info(path) if self._fs.exists(path) else None
            content = source if isinstance(source, bytes) else source.read_bytes()
            if there and self._fs.cat_file(path) == content:
                return _stored(there).version
            if there is None and expected is None:  # for lack of a bucket
                raise
            raise ConflictError(url) from error

    def _put(self, path: str, source: bytes | Path, expected: str | None) -> str:
        if self.scheme in _S3:
            from ganad_tf.storage import s3

            return s3.put(self._fs, path, source, expected, self._part_bytes)
        # Other stores refuse to replace what they should create; a replacement is compared just before it is written.
        mode = {"mode": "create"} if expected is None else {}
        if expected is not None and _stored(self._fs.info(path)).version != expected:
            raise ConflictError(path)
        if isinstance(source, bytes):
            self._fs.pipe_file(path, source, **mode)
        else:
            self._fs.put_file(str(source), path, **mode)
        return _stored(self._fs.info(path)).version

    def _path(self, url: str) -> str:
        return str(url).partition("://")[2].strip("/")

    def _require_bucket(self, url: str) -> None:
        bucket = self._path(url).partition("/")[0]
        if not self._retrying(url, "be listed", lambda: self._fs.exists(bucket), missing=False):
            raise self._no_bucket(url)

    def _no_bucket(self, url: str) -> ConfigError:
        bucket = self._path(url).partition("/")[0]
        return ConfigError(f"Expected the bucket `{bucket}`, but there is none; create it, or correct {url}.")

    def _refuse_permanent(self, url: str, what: str, error: Exception) -> None:
        """Raises an error that no further attempt mends."""
        if type(error).__name__ in _CREDENTIALS:
            raise ConfigError(
                f"Expected credentials for {url} ({_reason(error)}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or those of the store that it is in."
            ) from error
        if isinstance(error, _PERMANENT) or getattr(error, "errno", None) in _HOPELESS:
            raise StorageError(f"{url} can't {what} ({_reason(error)}).") from error

    def _retrying(self, url: str, what: str, request: Callable[[], T], **missing: Any) -> T:
        """Result of a request, repeated after errors that may pass; `missing` if given and there is no object."""
        attempts = self._settings.attempts
        for attempt in range(attempts):
            try:
                return request()
            except FileNotFoundError as error:
                if _code(error) == "NoSuchBucket":
                    raise self._no_bucket(url) from error
                if "missing" in missing:
                    return missing["missing"]
                raise StorageError(f"Expected {url}, but there is none.") from error
            except (OSError, *_library_errors()) as error:  # type: ignore[misc]
                self._refuse_permanent(url, what, error)
                if attempt == attempts - 1:
                    count = "one attempt" if attempts == 1 else f"{attempts} attempts"
                    raise StorageError(f"{url} can't {what} in {count}; the last error: {_reason(error)}.") from error
                pause = min(LONGEST_PAUSE_SECONDS, self._settings.pause_seconds * 2**attempt) * random.uniform(0.5, 1)
                logger.debug("%s: %s, next attempt in %.1f s", url, _reason(error), pause)
                time.sleep(pause)
        raise AssertionError("there is at least one attempt")


@functools.lru_cache(maxsize=8)
def _file_system(scheme: str, timeout_seconds: float, process: int, variables: tuple[tuple[str, str], ...]) -> Any:
    """The file system of a scheme, for one process and one environment.

    Its event loop does not outlive a fork, and it reads endpoint and credentials once, when it is made.
    """
    del process, variables
    try:
        fsspec = importlib.import_module("fsspec")
        if scheme in _S3:
            from ganad_tf.storage import s3

            return s3.file_system(timeout_seconds)
        return fsspec.filesystem(scheme, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        package = PACKAGES.get(scheme, "'ganad_tf[storage]'")
        raise ConfigError(f"{scheme}:// needs a package that is missing; pip install {package}.") from error
    except ValueError as error:
        raise ConfigError(f"Expected a path or a URL such as s3://BUCKET/FOLDER. Received: {scheme}://.") from error


def _stored(info: dict[str, Any]) -> Stored:
    size = int(info.get("size") or 0)
    found = next((info[key] for key in _TIMES if info.get(key) is not None), 0)
    if isinstance(found, str):
        found = datetime.fromisoformat(found)
    seconds = int(found.timestamp() if isinstance(found, datetime) else found)
    tag = next((info[key] for key in ("ETag", "etag", "generation") if info.get(key)), f"{size}-{seconds}")
    return Stored(size, str(tag).strip('"'), seconds * 10**9)


def _library_errors() -> tuple[type[Exception], ...]:
    modules = [(sys.modules.get(module), name) for module, name in _OF_LIBRARIES]
    return tuple(getattr(module, name) for module, name in modules if module)


def _code(error: BaseException) -> str:
    """The store's own code of an error, such as `NoSuchBucket`; empty if it has none."""
    response = getattr(error, "response", None) or getattr(error.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def _is_conflict(error: BaseException) -> bool:
    return isinstance(error, FileExistsError) or _code(error) in ("PreconditionFailed", "412")


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200].rstrip(".")
    return text or type(error).__name__
