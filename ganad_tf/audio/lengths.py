"""Durations from file headers, so that long recordings can be treated separately before they are read."""

from pathlib import Path

import soundfile

from ganad_tf.audio import containers
from ganad_tf.errors import DataError

UNCOMPRESSED = frozenset({".aif", ".aiff", ".au", ".caf", ".snd", ".w64", ".wav", ".wave"})
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


def _header(path: Path) -> soundfile.SoundFile | None:
    """The file's decoder, closed again, if the header gives the number of samples."""
    try:
        with path.open("rb") as file:
            stream = containers.find_sound(file, "read").stream(file)
            with soundfile.SoundFile(stream) as decoder:
                return decoder if decoder.frames > 0 else None
    except (DataError, soundfile.SoundFileError, OSError, ValueError):  # the error is reported when the file is read
        return None
