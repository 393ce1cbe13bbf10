"""Scores of a pass over the cache that was interrupted: what has been scored is not scored again."""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganad_tf import atomic

SECONDS = 5.0  # of work that an interruption costs at most


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
        self._written = time.monotonic()

    def read(self) -> None:
        """Takes over what an interrupted pass has left."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            if found["made_with"] == self.made_with:
                self.scores = {str(file): [float(value) for value in row] for file, row in found["scores"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            self.scores = {}

    def add(self, file: str, scores: Sequence[float]) -> None:
        """Adds a clip's scores."""
        self.scores[file] = list(scores)
        if time.monotonic() - self._written >= SECONDS:
            atomic.write_text(self.path, json.dumps({"made_with": self.made_with, "scores": self.scores}))
            self._written = time.monotonic()

    def remove(self) -> None:
        """Removes the file, when the scores have their own place."""
        self.path.unlink(missing_ok=True)
