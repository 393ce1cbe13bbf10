"""A recording's file → its checksum, and remarks on sound that is suspicious though the file is intact.

Nothing is refused here: a silent or clipped recording can be used, but not unnoticed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf import audio
from ganad_tf.clips import Clip
from ganad_tf.config.sections import Audio
from ganad_tf.files import checksummed
from ganad_tf.storage import placeholders

SILENT, CLIPPED, CONSTANT = "digital silence", "clipped", "constant channel"
# Clipping leaves flat tops. A sound that was only normalised to full scale touches it for a sample or two, and a low
# tone at full scale is round there. 8-bit and mu-law formats end at 0.98 of full scale.
FULL_SCALE = 0.98
FLAT_SAMPLES = 3  # consecutive samples at exactly the extreme value that make a flat top
CLIPPED_SAMPLES = 10  # samples in flat tops that make a recording clipped: one long top, or several short ones


@dataclass(frozen=True)
class Examination:
    """The result of examining a recording's file.

    Attributes:
      sha256: Checksum of the whole file, in hexadecimal digits; empty if the file can't be read.
      remarks: `digital silence`, `clipped`, and `constant channel N` for a channel beside others.
      sound: Statistics of the waveform (`recording_check`), if they were computed.
    """

    sha256: str
    remarks: tuple[str, ...]
    sound: tuple[float, ...] = ()


class Peaks:
    """Extreme values of one channel and the number of samples in flat tops there, in constant memory."""

    def __init__(self) -> None:
        self._lowest, self._highest = Peak(), Peak()

    def add(self, samples: np.ndarray) -> None:
        """Adds the channel's next samples, `[samples]`: int16, or floating point with full scale 1."""
        self._lowest.add(samples, samples.min(), sign=-1)
        self._highest.add(samples, samples.max(), sign=1)

    @property
    def is_constant(self) -> bool:
        """Whether every sample has the same value."""
        return self._lowest.value == self._highest.value

    @property
    def is_clipped(self) -> bool:
        """Whether its peaks are cut off flat; a constant channel does not count as clipped."""
        return not self.is_constant and self._lowest.n_flat + self._highest.n_flat >= CLIPPED_SAMPLES


class Peak:
    """The lowest or highest value so far, None before the first sample, and the samples in flat tops at it."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.n_flat = 0

    def add(self, samples: np.ndarray, extreme: np.number, *, sign: int) -> None:
        """Adds samples whose lowest (`sign` -1) or highest (`sign` 1) value is `extreme`."""
        value = float(extreme) / (2**15 if samples.dtype == np.int16 else 1)
        if self.value is None or sign * value > sign * self.value:  # earlier flat tops were below the end of the scale
            self.value, self.n_flat = value, 0
        if value == self.value and sign * value >= FULL_SCALE:
            self.n_flat += _samples_in_flat_tops(samples == extreme)


class SoundCheck:
    """Checks a recording's sound while `audio.read` decodes it; pass `add` as its `observe`."""

    def __init__(self) -> None:
        self._channels: list[Peaks] = []

    def add(self, block: np.ndarray) -> None:
        """Adds the recording's next samples, `[samples, channels]`: int16, or floating point with full scale 1."""
        self._channels = self._channels or [Peaks() for _ in range(block.shape[1])]
        for channel, samples in zip(self._channels, block.T, strict=True):
            channel.add(samples)

    def remarks(self, settings: Audio) -> tuple[str, ...]:
        """Remarks on the sound so far; `digital silence` and `clipped` refer to the channel that `settings` chooses."""
        return tuple(_remarks(self._channels, settings))


def checksum(path: Path) -> str:
    """SHA-256 of a recording's file, in hexadecimal digits; empty if the file can't be read."""
    placeholders.ensure(path)
    try:
        return checksummed.file_checksum(path)
    except OSError:
        return ""


def examine(
    directory: Path, clip: Clip, settings: Audio, *, checksum_of: Callable[[Path], str] = checksum
) -> Examination:
    """Reads a clip only for its file's checksum and the remarks on its sound.

    Args:
      directory: Directory that `Clip.file` is relative to.
      clip: The clip.
      settings: As for `audio.read`.
      checksum_of: `checksum`, or one that remembers files of which there are many clips.

    Raises:
      DataError: If the file can't be read with these settings.
    """
    check = SoundCheck()
    audio.read_clip(directory, clip, settings, observe=check.add)
    return Examination(checksum_of(directory / clip.file), check.remarks(settings.of_channel(clip.channel)))


def _remarks(channels: list[Peaks], settings: Audio) -> Iterator[str]:
    is_one = isinstance(settings.channel, int)
    used = [peaks for number, peaks in enumerate(channels) if not is_one or number == settings.channel]
    is_silent = bool(used) and all(channel.is_constant for channel in used)
    if is_silent:
        yield SILENT
    if any(channel.is_clipped for channel in used):
        yield CLIPPED
    for number, channel in enumerate(channels):
        if channel.is_constant and not (is_silent and channel in used):
            yield f"{CONSTANT} {number}"


def _samples_in_flat_tops(is_extreme: np.ndarray) -> int:
    """Number of true values in runs of at least `FLAT_SAMPLES`; of `[samples]` booleans.

    >>> _samples_in_flat_tops(np.array([1, 1, 0, 1, 1, 1, 1, 0, 1], bool))
    4
    """
    steps = np.diff(is_extreme.astype(np.int8), prepend=0, append=0)
    lengths = np.flatnonzero(steps == -1) - np.flatnonzero(steps == 1)
    return int(lengths[lengths >= FLAT_SAMPLES].sum())
