"""Scores of an interrupted pass over the cache, kept so that the next pass goes on from there."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganad_tf.files import atomic, checksummed
from ganad_tf.files.throttle import Throttle


class PartialScores:
    """Scores by clip, written to a file from time to time until the pass is complete.

    Args:
      path: The file. A damaged one, or one made with something else, counts as empty.
      made_with: Settings and versions that the scores depend on, as JSON can hold them.
      max_share_of_time: Largest share of the time that writing the file may take.

    Attributes:
      scores: By `Clip.key`, one number per scorer.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any], *, max_share_of_time: float = 0.05) -> None:
        self.path = path
        self.made_with = json.loads(json.dumps(made_with))
        self.scores: dict[str, list[float]] = {}
        self._throttle = Throttle(max_share_of_time)

    def read(self) -> None:
        """Loads the scores of an interrupted pass, if there are any that still apply."""
        try:
            content = checksummed.load("scored", self.path.read_text(encoding="utf-8"))
            if content["made_with"] == self.made_with:
                self.scores = {str(file): [float(value) for value in row] for file, row in content["scores"].items()}
        except checksummed.READ_ERRORS:
            self.scores = {}

    def add(self, file: str, scores: Sequence[float]) -> None:
        """Adds a clip's scores, and writes the file if it is due."""
        self.scores[file] = list(scores)
        self._throttle(self._write)

    def remove(self) -> None:
        """Deletes the file, once the scores are in the result directory."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        atomic.write_text(self.path, checksummed.dump("scored", {"made_with": self.made_with, "scores": self.scores}))
