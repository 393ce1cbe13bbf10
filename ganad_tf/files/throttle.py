"""Throttling of work that costs time, such as writing the progress of a long stage to disk."""

import time
from collections.abc import Callable


class Throttle:
    """Calls a function as often as possible without exceeding a share of the elapsed time.

    Args:
      max_share_of_time: Largest share of the elapsed time that the calls may take; above 0.
    """

    def __init__(self, max_share_of_time: float = 0.05) -> None:
        self.max_share_of_time = max_share_of_time
        self._last_end = time.monotonic()
        self._last_seconds = 0.0

    def __call__(self, work: Callable[[], None]) -> None:
        """Calls `work` if it is due; the first call always is."""
        begin = time.monotonic()
        if begin - self._last_end >= self._last_seconds / self.max_share_of_time:
            work()
            self._last_end = time.monotonic()
            self._last_seconds = self._last_end - begin
