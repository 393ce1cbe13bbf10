"""Clips of single channels: `audio.channel: all` makes a clip of each channel of a file.

The channels of a file are parts of one recording. The name of a clip in score files ends in its channel: `a.wav#ch0`.
"""

import dataclasses
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ganad_tf.audio import lengths
from ganad_tf.clips import Clip, Listing, part_suffix
from ganad_tf.config import Config


def split(listing: Listing, config: Config) -> Listing:
    """The listing with a clip of each channel, if the settings say so; imported log-mels have no channels."""
    if config.audio.channel != "all" or config.dataset.name == "imported":
        return listing
    with ThreadPoolExecutor() as pool:
        counts = list(pool.map(lengths.n_channels, [listing.directory / clip.file for clip in listing.clips]))
    parts = (part for clip, count in zip(listing.clips, counts, strict=True) for part in _channels(clip, count or 1))
    return dataclasses.replace(listing, clips=tuple(parts))


def _channels(clip: Clip, count: int) -> Iterator[Clip]:
    """One clip per channel; a single channel of a file that can't be read, which is reported when it is prepared."""
    for channel in range(count):
        yield dataclasses.replace(clip, name=clip.name + part_suffix(channel, None), channel=channel)
