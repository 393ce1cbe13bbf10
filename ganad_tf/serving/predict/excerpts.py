"""Files → the clips that a model judges: a file itself, its channels, or spans of them. No TensorFlow."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.audio import lengths
from ganad_tf.clips import Span, part_suffix
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError


@dataclass(frozen=True)
class Excerpt:
    """A file, or a channel or a span of it.

    Attributes:
      path: The file, as the user gave it.
      span: Begin and end in seconds; None for the whole file.
      channel: The channel, from 0, of a file of several that are clips each; None for that of the settings.
    """

    path: Path
    span: Span | None = None
    channel: int | None = None

    def __str__(self) -> str:
        return f"{self.path}{part_suffix(self.channel, self.span)}"


def excerpts(paths: Iterable[Path], settings: Audio) -> Iterator[Excerpt | DataError]:
    """Yields the clips of each file, as `audio.channel: all` and `audio.clip_seconds` say, or the error of too many."""
    for path in paths:
        try:
            spans: list[Span | None] = [*lengths.spans_of(path, settings)] or [None]
        except DataError as error:
            yield error
            continue
        n_channels = lengths.n_channels(path) or 1 if settings.channel == "all" else 1
        channels = range(n_channels) if n_channels > 1 else [None]
        yield from (Excerpt(path, span, channel) for channel in channels for span in spans)
