"""How often to write down what is done of long work that may be interrupted."""

import time
from collections.abc import Callable

SHARE = 0.05  # of the time at most goes into writing down


class Sparingly:
    """Does something now and then: as often as it can be done without taking more than its share of the time."""

    def __init__(self) -> None:
        self._done = time.monotonic()
        self._cost = 0.0

    def __call__(self, work: Callable[[], None]) -> None:
        """Does `work`, if it is time for it; the first time it is."""
        begin = time.monotonic()
        if begin - self._done >= self._cost / SHARE:
            work()
            self._done = time.monotonic()
            self._cost = self._done - begin
