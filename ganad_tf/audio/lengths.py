"""Durations, channels and rates from file headers, so that recordings can be divided before they are read."""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import soundfile

from ganad_tf.audio import containers
from ganad_tf.clips import Span
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError
from ganad_tf.storage import placeholders

UNCOMPRESSED = frozenset({".aif", ".aiff", ".au", ".caf", ".snd", ".w64", ".wav", ".wave"})
T = TypeVar("T")
MOST_CLIPS = 1_000_000  # of one recording; more are a typing error
MAX_SAMPLES_PER_BYTE = 5  # of these formats; GSM 6.10 packs the most


def may_be_long(path: Path, size: int, n_samples: int) -> bool:
    """Whether a recording may hold more than `n_samples`, counted over all channels.

    Args:
      path: The file.
      size: File size in bytes. The headers of small uncompressed files are not read.
      n_samples: The limit.
    """
    if path.suffix.lower() in UNCOMPRESSED and size * MAX_SAMPLES_PER_BYTE <= n_samples:
        return False
    header = _header(path)
    return header is None or header.frames * header.channels > n_samples


def seconds(path: Path) -> float | None:
    """Duration in seconds by the header; None if the header has none or can't be read."""
    header = _header(path)
    return header and header.frames / header.samplerate


def n_channels(path: Path) -> int | None:
    """Number of channels by the header; None if it has no length or can't be read."""
    header = _header(path)
    return header and header.channels


def sample_rate(path: Path) -> int | None:
    """Sample rate in hertz by the header; None if it can't be read."""
    header = _header(path)
    return header and int(header.samplerate)


def in_headers(fact: Callable[[Path], T | None], paths: Sequence[Path]) -> list[T]:
    """Facts such as `sample_rate` of the files whose headers have them; none of files in an object store.

    Those would have to be fetched for it.
    """
    if any(map(placeholders.is_placeholder, paths)):
        return []
    with ThreadPoolExecutor() as pool:
        return [value for value in pool.map(fact, paths) if value]


def spans_of(path: Path, settings: Audio) -> list[Span]:
    """Spans of the clips of a file; none if it is short, or can't be read, which is reported when it is.

    Raises:
      DataError: As `spans`, with the file's name.
    """
    try:
        return spans(seconds(path) or 0.0, settings)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def spans(seconds: float, settings: Audio) -> list[Span]:
    """Spans of the clips of a recording, in seconds; the last one ends where the recording does.

    Args:
      seconds: Duration of the recording.
      settings: `clip_seconds` and `clip_hop_seconds`.

    Raises:
      DataError: If there are more than `MOST_CLIPS`; does not name the recording.

    >>> spans(25, Audio(clip_seconds=10))
    [(0.0, 10.0), (10.0, 20.0), (15.0, 25.0)]
    """
    length = settings.clip_seconds
    if length is None or seconds <= length:
        return []
    hop = settings.clip_hop_seconds or length
    # Rounded, so that a recording of exactly three clips does not get a fourth.
    n_whole = math.floor(round((seconds - length) / hop, 6)) + 1
    if n_whole > MOST_CLIPS:
        raise DataError(
            f"expected at most {MOST_CLIPS} clips of a recording. Received: {seconds:.6g} s, every {hop:g} s."
        )
    begins = [number * hop for number in range(n_whole)]
    if round(begins[-1] + length - seconds, 6) < 0:
        begins.append(seconds - length)
    return [(float(round(begin, 6)), float(round(begin + length, 6))) for begin in begins]


def _header(path: Path) -> soundfile.SoundFile | None:
    """The file's decoder, closed again, if the header gives the number of samples."""
    placeholders.ensure(path)
    try:
        with path.open("rb") as file:
            stream = containers.find_sound(file, "read").stream(file)
            with soundfile.SoundFile(stream) as decoder:
                return decoder if decoder.frames > 0 else None
    except (DataError, soundfile.SoundFileError, OSError, ValueError):  # the error is reported when the file is read
        return None
