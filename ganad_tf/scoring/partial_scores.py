"""The scores of a pass over the cache that may be interrupted."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganad_tf.files import atomic, checksummed
from ganad_tf.files.throttle import Sparingly


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
            found = checksummed.loads("scored", self.path.read_text(encoding="utf-8"))
            if found["made_with"] == self.made_with:
                self.scores = {str(file): [float(value) for value in row] for file, row in found["scores"].items()}
        except checksummed.DAMAGED:
            self.scores = {}

    def add(self, file: str, scores: Sequence[float]) -> None:
        """Adds a clip's scores."""
        self.scores[file] = list(scores)
        self._sparingly(self._write)

    def remove(self) -> None:
        """Removes the file, when the scores have their own place."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        atomic.write_text(self.path, checksummed.dumps("scored", {"made_with": self.made_with, "scores": self.scores}))
