"""Mean and standard deviation per mel band from sums that are exact, and so the same whatever the order of the clips.

The sums of one clip are float64, rounded as NumPy does. Those of several are added as integers, so that nothing is
rounded before the division at the end. Workers may add up parts of a cache in any order.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.cache.manifest import Statistics
from ganad_tf.errors import DataError
from ganad_tf.files import checksummed

SPECTRA_AT_ONCE = 2**14  # converted to float64 together
BITS = 298  # a square of float32 is a multiple of 2**-298, and so is a sum of squares, rounded or not


class RunningStatistics:
    """Accumulates mean and standard deviation per mel band in one pass and constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self._total: list[int] = []  # in units of 2**-BITS
        self._squares: list[int] = []

    def add(self, log_mel: np.ndarray) -> None:
        """Adds the spectra of a clip, `[frames, mels]`."""
        for begin in range(0, len(log_mel), SPECTRA_AT_ONCE):
            values = log_mel[begin : begin + SPECTRA_AT_ONCE].astype(np.float64)
            squares = np.einsum("fm,fm->m", values, values)
            self._add(len(values), _as_integers(values.sum(axis=0)), _as_integers(squares))

    def merge(self, other: "RunningStatistics") -> None:
        """Adds the spectra that other statistics are of."""
        self._add(other.count, other._total, other._squares)

    def statistics(self) -> Statistics:
        """Mean and standard deviation of the spectra so far, each with a single rounding."""
        n = self.count
        mean = tuple(total / (n << BITS) for total in self._total)
        variances = (
            max(((squares * n << BITS) - total**2) / (n**2 << 2 * BITS), 0.0)
            for total, squares in zip(self._total, self._squares, strict=True)
        )
        return Statistics(n, mean, tuple(float(np.sqrt(variance)) for variance in variances))

    def to_json(self) -> dict[str, Any]:
        """The sums as JSON can hold them."""
        return {"count": self.count, "total": self._total, "squares": self._squares}

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "RunningStatistics":
        """The statistics of `to_json`."""
        sums = cls()
        sums._add(body["count"], body["total"], body["squares"])
        return sums

    def save(self, path: Path) -> None:
        """Writes the sums to a file, with a checksum.

        Raises:
          OSError: If it can't be written.
        """
        path.write_text(checksummed.dump("sums", self.to_json()))

    @classmethod
    def load(cls, path: Path) -> "RunningStatistics":
        """Reads the file that `save` wrote.

        Raises:
          DataError: If it is missing or damaged.
        """
        try:
            return cls.from_json(checksummed.load("sums", path.read_text()))
        except checksummed.READ_ERRORS as error:
            raise DataError(f"{path} can't be read ({error}).") from error

    def _add(self, count: int, total: list[int], squares: list[int]) -> None:
        if not self.count:
            self._total, self._squares = [0] * len(total), [0] * len(squares)
        if count:
            self.count += count
            self._total = [a + b for a, b in zip(self._total, total, strict=True)]
            self._squares = [a + b for a, b in zip(self._squares, squares, strict=True)]


def _as_integers(values: np.ndarray) -> list[int]:
    """Finite values in units of 2**-BITS, without rounding."""
    return [int(value) for value in np.ldexp(values, BITS).tolist()]
