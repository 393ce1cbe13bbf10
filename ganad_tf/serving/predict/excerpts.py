"""Files → the clips that a model judges: a file itself, or the spans of a longer recording. No TensorFlow."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.audio import lengths
from ganad_tf.clips import Span, part_suffix
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError


@dataclass(frozen=True)
class Excerpt:
    """A file, or a span of it.

    Attributes:
      path: The file, as the user gave it.
      span: Begin and end in seconds; None for the whole file.
    """

    path: Path
    span: Span | None = None

    def __str__(self) -> str:
        return f"{self.path}{part_suffix(None, self.span)}"


def excerpts(paths: Iterable[Path], settings: Audio) -> Iterator[Excerpt | DataError]:
    """Yields the clips of each file, cut as `audio.clip_seconds` says, or the error of one that would be too many."""
    for path in paths:
        try:
            spans = lengths.spans_of(path, settings)
        except DataError as error:
            yield error
            continue
        yield from [Excerpt(path, span) for span in spans] or [Excerpt(path)]
