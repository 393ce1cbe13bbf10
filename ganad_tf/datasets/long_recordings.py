"""Clips of long recordings: `audio.clip_seconds` cuts recordings of minutes or hours into clips when they are listed.

Nothing is written: a clip is a span of its file, which is read when the clip is. The clips of a file are parts of one
recording. The name of a clip ends in its span: `a.wav#10-20s`.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from ganad_tf.audio import lengths
from ganad_tf.clips import Clip, Listing, Span, part_suffix
from ganad_tf.config import Config


def cut(listing: Listing, config: Config) -> Listing:
    """The listing with the clips of each longer recording in its place, if the settings say so.

    Raises:
      DataError: If a recording makes too many clips.
    """
    if config.audio.clip_seconds is None or config.dataset.name == "imported":
        return listing
    files = sorted({clip.file for clip in listing.clips})
    with ThreadPoolExecutor() as pool:
        of_files = pool.map(lambda file: lengths.spans_of(listing.directory / file, config.audio), files)
        spans = dict(zip(files, of_files, strict=True))
    parts = (part for clip in listing.clips for part in _parts(clip, spans[clip.file]))
    return dataclasses.replace(listing, clips=tuple(parts))


def _parts(clip: Clip, spans: Sequence[Span]) -> Iterator[Clip]:
    """The clips of a recording; the whole if it is short."""
    if not spans:
        yield clip
    for span in spans:
        yield dataclasses.replace(clip, name=clip.name + part_suffix(None, span), span=span)
