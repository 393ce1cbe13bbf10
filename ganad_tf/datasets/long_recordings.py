"""Clips of long recordings: `audio.clip_seconds` cuts recordings of minutes or hours into clips when they are listed.

Nothing is written: a clip is a span of its file, which is read when the clip is. The clips of a file are parts of one
recording. The name of a clip ends in its span: `a.wav#10-20s`.
"""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ganad_tf.audio import lengths
from ganad_tf.clips import Clip, Listing, part_suffix
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError


def cut(listing: Listing, config: Config) -> Listing:
    """The listing with the clips of each longer recording in its place, if the settings say so.

    Raises:
      DataError: If a recording makes too many clips.
    """
    if config.audio.clip_seconds is None or config.dataset.name == "imported":
        return listing
    files = sorted({clip.file for clip in listing.clips})
    with ThreadPoolExecutor() as pool:
        durations = dict(
            zip(files, pool.map(lengths.seconds, [listing.directory / file for file in files]), strict=True)
        )
    parts = (part for clip in listing.clips for part in _parts(clip, durations[clip.file], config.audio))
    return dataclasses.replace(listing, clips=tuple(parts))


def _parts(clip: Clip, seconds: float | None, settings: Audio) -> Iterator[Clip]:
    """The clips of a recording; the whole if it is short, or if it can't be read, which is reported when it is."""
    try:
        cuts = lengths.spans(seconds or 0.0, settings)
    except DataError as error:
        raise DataError(f"{clip.file}: {error}") from error
    if not cuts:
        yield clip
    for span in cuts:
        yield dataclasses.replace(clip, name=clip.name + part_suffix(None, span), span=span)
