"""A memory budget that all requests share."""

from ganad_tf.serving.refusals import BusyError

SMALL = 1_000_000  # bytes of a body or an answer; a quarter of the budget is reserved for these


class ByteBudget:
    """Bytes that bodies or answers share; only small ones may use the last quarter.

    Args:
      size: Budget in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0

    def reserve(self, n_bytes: int, *, total: int) -> None:
        """Reserves `n_bytes` more for an item of `total` bytes so far.

        Raises:
          BusyError: If the budget is exhausted.
        """
        available = self._size if total <= SMALL else self._size * 3 // 4
        if self._held + n_bytes > max(available, total):  # a single item may exceed the budget
            raise BusyError
        self._held += n_bytes

    def release(self, n_bytes: int) -> None:
        """Returns reserved bytes."""
        self._held -= n_bytes
