"""The owner of a cache directory: `<cache_directory>/<mode>/<machine>/<split>`."""

from dataclasses import dataclass
from pathlib import Path

from ganad_tf.cache import contents, manifest
from ganad_tf.cache.manifest import Manifest
from ganad_tf.errors import DataError
from ganad_tf.run import MachineRun


@dataclass(frozen=True)
class Cache:
    """The log-mels of a machine type's training or test clips.

    Attributes:
      run: The machine type's run.
      split: `train` or `test`.
    """

    run: MachineRun
    split: str

    @property
    def path(self) -> Path:
        """The directory."""
        return Path(self.run.config.cache_directory, self.run.mode, self.run.machine, self.split)

    @property
    def source(self) -> str:
        """The recordings' folder as the configuration has it, so that a project may be moved as a whole."""
        config = self.run.config
        return "" if config.dataset.name == "imported" else config.data_directory(self.run.mode).as_posix()

    def exists(self) -> bool:
        """Whether something is in the cache, complete or not."""
        return (self.path / manifest.FILE).exists()

    def load(self) -> Manifest:
        """The manifest as it is, complete or not.

        Raises:
          DataError: If it is missing, or not as it was written.
        """
        return manifest.load(self.path)

    def current(self) -> Manifest:
        """The manifest of a cache that is up to date with the recordings.

        Raises:
          DataError: If it is missing, stale, unfinished or corrupted, or lacks clips that may not be left out; names
            the command that mends it.
        """
        config, listing = self.run.config, self.run.listing
        mend = "Import the log-mels again with these settings." if config.dataset.name == "imported" else manifest.MEND
        try:
            current = contents.load_current(
                self.path, listing.clips_of(self.split), config.feature_fingerprint(), self.source, listing.directory
            )
            if current.skipped and config.on_bad_clip == "error":
                raise DataError(f"The cache in {self.path} leaves out {len(current.skipped)} clips that can't be used.")
        except DataError as error:
            raise DataError(f"{error} {mend}") from error
        return current
