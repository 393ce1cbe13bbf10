"""Audio sources of the page: recordings as FLAC inside the page up to a size limit, links to files beyond it."""

import io
import os
from pathlib import Path
from urllib.parse import quote

import soundfile

from ganad_tf import audio
from ganad_tf.config.sections import Audio
from ganad_tf.report.page import data_uri


class AudioEmbedder:
    """Embeds recordings until the first that would exceed the limit; that one and all later ones become links.

    Args:
      page_directory: Folder of the page, which the links are relative to.
      limit_mb: Maximum size of all embedded recordings together, base64 included, in MiB.
    """

    def __init__(self, page_directory: Path, limit_mb: float) -> None:
        self._page_directory = page_directory
        self._bytes_left = int(limit_mb * 2**20)

    def source(self, path: Path, settings: Audio) -> str:
        """Value of `src` for an `audio` element: the channel that the detector scored, or a link to the file.

        Raises:
          DataError: If the recording can't be read.
        """
        if self._bytes_left:
            content = io.BytesIO()
            soundfile.write(content, audio.read(path, settings), settings.sample_rate, format="FLAC", subtype="PCM_16")
            address = data_uri("audio/flac", content.getvalue())
            if len(address) <= self._bytes_left:
                self._bytes_left -= len(address)
                return address
            self._bytes_left = 0
        return quote(os.path.relpath(path.resolve(), self._page_directory.resolve()))
