"""Bytes that many requests share."""

from ganad_tf.serving.refusals import BusyError

SMALL = 1_000_000  # bytes of a body or of an answer; a quarter of the room is kept for such


class Room:
    """Bytes that many share, the last quarter of them for the small."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0

    def take(self, n_bytes: int, *, total: int) -> None:
        """Takes bytes for something that has then so many in total.

        Raises:
          BusyError: If there are not so many left.
        """
        room = self._size if total <= SMALL else self._size * 3 // 4
        if self._held + n_bytes > max(room, total):  # what is alone may be as large as it may be
            raise BusyError
        self._held += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Gives bytes back."""
        self._held -= n_bytes
