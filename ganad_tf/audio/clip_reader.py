"""Clip of a listing → its samples: the file, the channel and the span that the clip is."""

from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.audio.reader import read
from ganad_tf.clips import Clip
from ganad_tf.config.sections import Audio
from ganad_tf.storage import placeholders


def read_clip(directory: Path, clip: Clip, settings: Audio, **options: Any) -> np.ndarray:
    """Reads a clip.

    Args:
      directory: Directory that `Clip.file` is relative to.
      clip: The clip.
      settings: As for `read`.
      options: Further arguments of `read`.

    Returns:
      `[samples]` float32.

    Raises:
      DataError: As `read`.
    """
    placeholders.ensure(directory / clip.file)
    return read(directory / clip.file, settings.of_channel(clip.channel), span=clip.span, **options)
