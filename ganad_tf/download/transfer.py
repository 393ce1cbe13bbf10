"""One file over HTTP, in as many attempts as it takes: resumed by Range, restarted if it has changed, verified.

A file grows as `NAME.part`, with the server's ETag in `NAME.etag`, so that a later process can go on after a kill.
"""

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
import urllib3

from ganad_tf import __version__
from ganad_tf.download.record import RemoteFile
from ganad_tf.errors import DataError, WriteError
from ganad_tf.files import atomic

logger = logging.getLogger(__name__)

CHUNK = 1 << 20
REDIRECTS = 5
TIMEOUT_SECONDS = (10.0, 60.0)  # to connect, and between two pieces of a body
LARGEST_RECORD = 16 << 20

Advance = Callable[[int], None]  # by so many bytes; negative where a file is started over


@dataclass(frozen=True)
class Patience:
    """Waiting for a server that is busy, restarts or drops connections.

    Attributes:
      attempts: Attempts in a row without a single new byte.
      seconds: First pause; each further one is twice as long.
      longest: Longest pause in seconds, also if the server's Retry-After is longer.
    """

    attempts: int = 6
    seconds: float = 1.0
    longest: float = 120.0

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds before the next attempt.

        >>> [Patience().pause(failures, None) for failures in (1, 2, 3)], Patience().pause(1, 30)
        ([1.0, 2.0, 4.0], 30)
        """
        return min(self.longest, self.seconds * 2 ** (failures - 1) if asked is None else asked)


class Stopped(Exception):  # noqa: N818 - not an error
    """Another thread has asked to stop."""


class _Temporary(Exception):  # noqa: N818 - not an error yet
    """A failure that may pass; `seconds` is the server's Retry-After."""

    def __init__(self, reason: str, seconds: float | None = None) -> None:
        super().__init__(reason)
        self.seconds = seconds


class DifferentFileError(DataError):
    """A file has another length or checksum than its record states."""


class Client:
    """Requests that follow a few redirects and replace Zenodo by a mirror.

    Args:
      mirror: URL that takes the place of scheme and host; None for the addresses as they are.
      patience: Waiting between attempts.
      stop: Set by another thread to end all waiting and receiving.
    """

    def __init__(self, mirror: str | None, patience: Patience, stop: threading.Event) -> None:
        self.mirror = mirror.rstrip("/") if mirror else None
        self.patience = patience
        self.stop = stop
        self._session = requests.Session()
        self._session.max_redirects = REDIRECTS
        self._session.headers["User-Agent"] = f"ganad_tf/{__version__}"
        self._session.headers["Accept-Encoding"] = "identity"  # lengths and ranges are those of the file

    def text(self, url: str) -> bytes:
        """A small document, such as the JSON of a record.

        Raises:
          DataError: If there is none, or no answer in `patience`.
        """
        body = bytearray()

        def receive() -> None:
            body.clear()
            with self.get(url, {}) as answer:
                for chunk in _chunks(answer):
                    body.extend(chunk)
                    if len(body) > LARGEST_RECORD:
                        raise DataError(f"Expected a document of at most {LARGEST_RECORD} bytes from {url}.")

        self.persist(url, receive, lambda: 0)
        return bytes(body)

    def get(self, url: str, headers: dict[str, str]) -> requests.Response:
        """An answer whose body is still to be read; status 200, 206 or 416.

        Raises:
          DataError: For a status that will stay, such as 404, an impossible address, or too many redirects.
        """
        url = self._mirrored(url)
        try:
            answer = self._session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS)
        except (requests.TooManyRedirects, ValueError) as error:
            raise DataError(f"Expected an answer from {url}, but {_reason(error)}; set --mirror or --from.") from error
        except requests.RequestException as error:
            raise _Temporary(_reason(error)) from error
        if answer.status_code in (200, 206, 416):
            return answer
        answer.close()
        status = f"{answer.status_code} {answer.reason}".strip()
        if answer.status_code == 429 or answer.status_code >= 500:
            raise _Temporary(f"the answer was {status}", _retry_after(answer.headers.get("Retry-After")))
        raise DataError(f"Expected a file at {url}. Received: {status}.")

    def persist(self, url: str, receive: Callable[[], None], length: Callable[[], int]) -> None:
        """Calls `receive` until it succeeds, or has failed too often without making `length` larger than ever before.

        Raises:
          DataError: Names the last failure.
          Stopped: If another thread asks for it.
        """
        failures, best = 0, length()
        while True:
            try:
                return receive()
            except _Temporary as error:
                failures = 1 if length() > best else failures + 1
                best = max(best, length())
                if failures >= self.patience.attempts:
                    raise DataError(
                        f"Expected {self._mirrored(url)} to answer, but {error}, {failures} times in a row. The same "
                        "command goes on from there."
                    ) from error
                seconds = self.patience.pause(failures, error.seconds)
                logger.debug("%s: %s; again in %.3g s", url, error, seconds)
                if self.stop.wait(seconds):
                    raise Stopped from error

    def _mirrored(self, url: str) -> str:
        if self.mirror is None:
            return url
        parts = urlsplit(url)
        return f"{self.mirror}{parts._replace(scheme='', netloc='').geturl()}"


def download(client: Client, file: RemoteFile, path: Path, advance: Advance) -> None:
    """Downloads a file to `path`, going on with an earlier attempt, and verifies length and checksum.

    Raises:
      DataError: If there is no file, no answer, or twice another file than the record describes. Nothing is at `path`
        then.
      WriteError: If it can't be written, as on a full disk.
      Stopped: If another thread asks for it; the next call goes on.
    """
    part, etag = (path.with_name(f"{path.name}{ending}") for ending in (".part", ".etag"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic.clear_leftovers(etag)
        advance(_length(part))
        for is_last in (False, True):
            try:
                client.persist(file.url, lambda: _receive(client, file, part, etag, advance), lambda: _length(part))
                refuse_different(part, file)
                part.replace(path)
                etag.unlink(missing_ok=True)
                return
            except DifferentFileError as error:
                _forget(part, etag, advance)
                if is_last:
                    raise DataError(f"{error} This happened twice; try later, or set --mirror or --from.") from error
                logger.warning("%s Starting over.", error)
    except OSError as error:
        raise WriteError(f"Can't write {error.filename or path}: {error.strerror or error}.") from error


def refuse_different(path: Path, file: RemoteFile) -> None:
    """Compares a file on disk with its record.

    Raises:
      DifferentFileError: If length or MD5 differ.
      OSError: If it can't be read.
    """
    _refuse_length(file, path.stat().st_size)
    if file.md5 is not None:
        with path.open("rb") as stream:
            received = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if received != file.md5:
            raise DifferentFileError(f"Expected {file.name} with the MD5 {file.md5}. Received: {received}.")


def received_bytes(path: Path) -> int:
    """Bytes that earlier attempts to download `path` have left."""
    return _length(path.with_name(f"{path.name}.part"))


def _refuse_length(file: RemoteFile, received: int) -> None:
    if file.size is not None and received != file.size:
        raise DifferentFileError(f"Expected {file.name} with {file.size} bytes. Received: {received} bytes.")


def _receive(client: Client, file: RemoteFile, part: Path, etag: Path, advance: Advance) -> None:
    """Receives the rest of a file, or all of it where it has changed or the server can't send parts."""
    have = _length(part)
    if have and file.size is not None and have >= file.size:
        return  # complete, or too long, which the caller sees
    known = etag.read_text(encoding="utf-8") if have and etag.exists() else ""
    answer = client.get(file.url, _range(have, known))
    if have and answer.status_code != 200 and not _continues(answer, have, known):
        answer.close()
        answer = client.get(file.url, {})
    with answer:
        if answer.status_code == 200:
            _forget(part, etag, advance)
            _refuse_length(file, _announced(answer, file.size or 0))
            part.touch()
            atomic.write_text(etag, answer.headers.get("ETag", ""))
        elif not _continues(answer, have, known):
            raise _Temporary(f"the answer was {answer.status_code} {answer.reason}")
        with part.open("ab") as stream:
            for chunk in _chunks(answer):
                if client.stop.is_set():
                    raise Stopped
                stream.write(chunk)
                advance(len(chunk))
                if file.size is not None and stream.tell() > file.size:
                    return  # too long, which the caller sees
    if file.size is not None and _length(part) < file.size:
        raise _Temporary("the connection was closed early")


def _range(have: int, etag: str) -> dict[str, str]:
    """Request headers for the bytes after `have`, on the condition that the file is still the same."""
    if not have:
        return {}
    is_strong = etag.startswith('"')
    return {"Range": f"bytes={have}-"} | ({"If-Range": etag} if is_strong else {})


def _continues(answer: requests.Response, have: int, etag: str) -> bool:
    """Whether an answer holds the bytes after `have` of the same file."""
    begin = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    is_same = not etag or answer.headers.get("ETag", etag) == etag
    return answer.status_code == 206 and begin is not None and int(begin[1]) == have and is_same


def _announced(answer: requests.Response, otherwise: int) -> int:
    """Length of the file that an answer with all of it announces."""
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else otherwise


def _chunks(answer: requests.Response) -> Iterator[bytes]:
    """Bytes as they arrive: `iter_content` would drop an incomplete piece when the connection breaks."""
    try:
        while chunk := answer.raw.read1(CHUNK, decode_content=False):
            yield chunk
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise _Temporary(_reason(error)) from error


def _forget(part: Path, etag: Path, advance: Advance) -> None:
    """Deletes the bytes of earlier attempts."""
    advance(-_length(part))
    part.unlink(missing_ok=True)
    etag.unlink(missing_ok=True)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _retry_after(text: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None without a valid one."""
    try:
        return max(0.0, urllib3.Retry().parse_retry_after(text)) if text else None
    except urllib3.exceptions.InvalidHeader:
        return None


def _reason(error: BaseException) -> str:
    """The operating system's words for a failed request, or those that fit its kind."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror and not isinstance(cause, requests.RequestException):
            return f"there was an error ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, requests.TooManyRedirects):
        return f"it redirects more than {REDIRECTS} times"
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        return "there was no answer in time"
    return "the address is not valid" if isinstance(error, ValueError) else "the connection broke"
