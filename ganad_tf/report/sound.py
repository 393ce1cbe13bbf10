"""What a player of the page plays: the channel that the detector heard, in the page itself as long as there is room."""

import io
import os
from pathlib import Path
from urllib.parse import quote

import soundfile

from ganad_tf import audio
from ganad_tf.config.input_sections import Audio
from ganad_tf.report.page import data_uri


class Embedded:
    """Puts recordings into a page until one does not fit into `limit_mb`; that one and later ones are links.

    Args:
      page: The page's folder, from where links lead.
      limit_mb: Of all recordings together, as the page holds them.
    """

    def __init__(self, page: Path, limit_mb: float) -> None:
        self.page = page
        self.left = int(limit_mb * 2**20)

    def player(self, path: Path, settings: Audio) -> str:
        """An address for an `audio` element.

        Raises:
          DataError: If the recording can't be read.
        """
        if self.left:
            content = io.BytesIO()
            soundfile.write(content, audio.read(path, settings), settings.sample_rate, format="FLAC", subtype="PCM_16")
            address = data_uri("audio/flac", content.getvalue())
            if len(address) <= self.left:
                self.left -= len(address)
                return address
            self.left = 0
        return quote(os.path.relpath(path.resolve(), self.page.resolve()))
