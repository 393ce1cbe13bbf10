"""How long a recording is, as its header says: what is done with long ones is decided before they are read."""

from pathlib import Path

import soundfile

from ganad_tf.audio import containers
from ganad_tf.errors import DataError

UNCOMPRESSED = frozenset({".aif", ".aiff", ".au", ".caf", ".snd", ".w64", ".wav", ".wave"})
MOST_SAMPLES = 5  # in a byte of these, as GSM 6.10 packs them


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
    """The decoder of the file, closed again, if its header tells how long it is."""
    try:
        with path.open("rb") as file:
            stream = containers.sound_of(file, "read").stream(file)
            with soundfile.SoundFile(stream) as decoder:
                return decoder if decoder.frames > 0 else None
    except (DataError, soundfile.SoundFileError, OSError, ValueError):  # whoever reads it says what is wrong with it
        return None
