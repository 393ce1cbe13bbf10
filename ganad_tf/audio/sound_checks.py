"""A recording's file → its checksum, and what is wrong with the sound in it though the file is whole.

Nothing is refused here: a recording that is silent or clipped may be used, but nobody should use it unawares.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf import audio
from ganad_tf.config.input_sections import Audio
from ganad_tf.files import checksummed

SILENT, CLIPPED, CONSTANT = "digital silence", "clipped", "constant channel"
# Flat tops are what clipping leaves. A sound that was only brought up to full scale touches it for a sample or two, and
# a low tone at full scale bends there; 8-bit and mu-law formats end at 0.98 of full scale.
FULL_SCALE = 0.98
FLAT_SAMPLES = 3  # in a row at the very same extreme value make a flat top
CLIPPED_SAMPLES = 10  # in flat tops make a clipped recording: one long top, or some short ones


@dataclass(frozen=True)
class Examined:
    """A recording's file, looked at.

    Attributes:
      sha256: Of the whole file, in hexadecimal digits.
      remarks: `digital silence`, `clipped`, and `constant channel N` for a channel beside others.
    """

    sha256: str
    remarks: tuple[str, ...]


class Peaks:
    """The lowest and the highest value of one channel, and how often the sound stays there; in constant memory."""

    def __init__(self) -> None:
        self._lowest, self._highest = Peak(), Peak()

    def add(self, samples: np.ndarray) -> None:
        """Takes the channel's next samples, `[samples]`: int16, or floating point with full scale 1."""
        self._lowest.add(samples, samples.min(), sign=-1)
        self._highest.add(samples, samples.max(), sign=1)

    @property
    def is_constant(self) -> bool:
        """Whether every sample has the same value."""
        return self._lowest.value == self._highest.value

    @property
    def is_clipped(self) -> bool:
        """Whether its loudest moments are cut off flat; a constant channel is something else."""
        return not self.is_constant and self._lowest.n_flat + self._highest.n_flat >= CLIPPED_SAMPLES


class Peak:
    """The lowest or the highest value so far, None before there is any, and the samples in flat tops at it."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.n_flat = 0

    def add(self, samples: np.ndarray, extreme: np.number, *, sign: int) -> None:
        """Takes samples whose lowest (`sign` -1) or highest (1) value is `extreme`."""
        value = float(extreme) / (2**15 if samples.dtype == np.int16 else 1)
        if self.value is None or sign * value > sign * self.value:  # what was flat before was not the end of the scale
            self.value, self.n_flat = value, 0
        if value == self.value and sign * value >= FULL_SCALE:
            self.n_flat += _samples_in_flat_tops(samples == extreme)


class SoundCheck:
    """What is odd about a recording's sound, found while `audio.read` decodes it: `add` is its `observe`."""

    def __init__(self) -> None:
        self._channels: list[Peaks] = []

    def add(self, block: np.ndarray) -> None:
        """Takes the recording's next samples, `[samples, channels]`: int16, or floating point with full scale 1."""
        self._channels = self._channels or [Peaks() for _ in range(block.shape[1])]
        for channel, samples in zip(self._channels, block.T, strict=True):
            channel.add(samples)

    def remarks(self, settings: Audio) -> tuple[str, ...]:
        """Remarks on the sound so far; `digital silence` and `clipped` are said of the channel that is used."""
        return tuple(_remarks(self._channels, settings))


def examine(path: Path, settings: Audio) -> Examined:
    """Reads a recording of which nothing but this is wanted.

    Args:
      path: The file.
      settings: As `audio.read` takes them.

    Raises:
      DataError: If the file can't be read, or read so.
    """
    check = SoundCheck()
    audio.read(path, settings, observe=check.add)
    return Examined(checksum(path), check.remarks(settings))


def checksum(path: Path) -> str:
    """SHA-256 of a recording's file, in hexadecimal digits; empty, which is no checksum, if it can't be read."""
    try:
        return checksummed.file_checksum(path)
    except OSError:
        return ""


def _remarks(channels: list[Peaks], settings: Audio) -> Iterator[str]:
    used = channels if settings.channel == "mean" else channels[settings.channel : settings.channel + 1]
    is_silent = bool(used) and all(channel.is_constant for channel in used)
    if is_silent:
        yield SILENT
    if any(channel.is_clipped for channel in used):
        yield CLIPPED
    for number, channel in enumerate(channels):
        if channel.is_constant and not (is_silent and channel in used):
            yield f"{CONSTANT} {number}"


def _samples_in_flat_tops(is_extreme: np.ndarray) -> int:
    """How many are in runs of at least `FLAT_SAMPLES`, of `[samples]` booleans.

    >>> _samples_in_flat_tops(np.array([1, 1, 0, 1, 1, 1, 1, 0, 1], bool))
    4
    """
    steps = np.diff(is_extreme.astype(np.int8), prepend=0, append=0)
    lengths = np.flatnonzero(steps == -1) - np.flatnonzero(steps == 1)
    return int(lengths[lengths >= FLAT_SAMPLES].sum())
