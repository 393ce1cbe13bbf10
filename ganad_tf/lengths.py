"""How long a recording is, as its header says: what is done with long ones is decided before they are read."""

from pathlib import Path

import soundfile

UNCOMPRESSED = frozenset({".aif", ".aiff", ".au", ".caf", ".snd", ".w64", ".wav", ".wave"})
MOST_SAMPLES = 5  # in a byte of these, as GSM 6.10 packs them
UNKNOWN = 2**40  # samples: headers of what came through a pipe say as many, or none


def may_be_long(path: Path, size: int, n_samples: int) -> bool:
    """Whether a recording may hold more than `n_samples`, all channels together.

    Args:
      path: The file.
      size: Its bytes; headers of small files of formats that do not compress are not read.
      n_samples: The limit.
    """
    if path.suffix.lower() in UNCOMPRESSED and size * MOST_SAMPLES <= n_samples:
        return False
    found = _header(path)
    return found is None or found.frames * found.channels > n_samples


def seconds(path: Path) -> float | None:
    """The length that the header tells; None if it tells none, or can't be read."""
    found = _header(path)
    return found and found.frames / found.samplerate


def _header(path: Path) -> soundfile.SoundFile | None:
    """The file, closed again, if its header tells how long it is."""
    try:
        with soundfile.SoundFile(path) as file:
            return file if 0 < file.frames < UNKNOWN else None
    except (soundfile.SoundFileError, OSError, ValueError):  # whoever reads the file says what is wrong with it
        return None
