"""Long work that may be interrupted: how often to write down what is done, and the scores of a pass over the cache."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganad_tf import atomic, sealed

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


class ScoredSoFar:
    """Scores by clip file, written now and then to a file that goes when all are there.

    Args:
      path: The file; one that is damaged, or of other scores, counts as none.
      made_with: All that the scores depend on, as JSON holds it.

    Attributes:
      scores: By clip file, one number per way of scoring.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any]) -> None:
        self.path = path
        self.made_with = json.loads(json.dumps(made_with))
        self.scores: dict[str, list[float]] = {}
        self._sparingly = Sparingly()

    def read(self) -> None:
        """Takes over what an interrupted pass has left."""
        try:
            found = sealed.loads("scored", self.path.read_text(encoding="utf-8"))
            if found["made_with"] == self.made_with:
                self.scores = {str(file): [float(value) for value in row] for file, row in found["scores"].items()}
        except sealed.DAMAGED:
            self.scores = {}

    def add(self, file: str, scores: Sequence[float]) -> None:
        """Adds a clip's scores."""
        self.scores[file] = list(scores)
        self._sparingly(self._write)

    def remove(self) -> None:
        """Removes the file, when the scores have their own place."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        atomic.write_text(self.path, sealed.dumps("scored", {"made_with": self.made_with, "scores": self.scores}))
