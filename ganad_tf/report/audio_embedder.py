"""Audio sources of the page: recordings as FLAC inside the page up to a size limit, links to files beyond it."""

import io
import os
from pathlib import Path
from urllib.parse import quote

import soundfile

from ganad_tf import audio
from ganad_tf.clips import Clip
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

    def source(self, directory: Path, clip: Clip, settings: Audio) -> str:
        """Value of `src` for an `audio` element: what the detector scored of a file, or a link to the file.

        Args:
          directory: Directory that `Clip.file` is relative to.
          clip: The clip.
          settings: Its audio settings.

        Raises:
          DataError: If the recording can't be read.
        """
        if self._bytes_left:
            content = io.BytesIO()
            samples = audio.read_clip(directory, clip, settings)
            soundfile.write(content, samples, settings.sample_rate, format="FLAC", subtype="PCM_16")
            address = data_uri("audio/flac", content.getvalue())
            if len(address) <= self._bytes_left:
                self._bytes_left -= len(address)
                return address
            self._bytes_left = 0
        path = (directory / clip.file).resolve()
        return quote(os.path.relpath(path, self._page_directory.resolve()))
