"""The owner of a cache directory: `<cache_directory>/<mode>/<machine>/<split>`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.cache import contents, manifest
from ganad_tf.cache.manifest import Manifest
from ganad_tf.clips import COPIES
from ganad_tf.errors import DataError
from ganad_tf.files import checksummed
from ganad_tf.run import MachineRun


@dataclass(frozen=True)
class Cache:
    """The log-mels of a machine type's training or test clips.

    Attributes:
      run: The machine type's run.
      split: `train`, `test`, `calibration`, or `clips.COPIES` for augmented copies (`copies.py`).
    """

    run: MachineRun
    split: str

    @property
    def path(self) -> Path:
        """Path of the directory."""
        folder = f"{COPIES}-{self.fingerprint}" if self.split == COPIES else self.split
        return Path(self.run.config.cache_directory, self.run.mode, self.run.machine, folder)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the spectra depend on."""
        config = self.run.config
        return config.copy_settings() if self.split == COPIES else config.feature_settings()

    @property
    def fingerprint(self) -> str:
        """Fingerprint of `settings`."""
        return checksummed.fingerprint(self.settings)

    @property
    def source(self) -> str:
        """Directory of the recordings as configured: a URL or perhaps relative, so that a project can be moved."""
        config = self.run.config
        path = config.data_directory(self.run.mode).as_posix()
        return "" if config.dataset.name == "imported" else config.storage.location(path)

    def exists(self) -> bool:
        """Whether there is a cache, complete or not."""
        return (self.path / manifest.FILE).exists()

    def load(self, *, with_damage: bool = False) -> Manifest:
        """Loads the manifest, complete or not, as `manifest.load`.

        Raises:
          DataError: If it is missing or damaged.
        """
        return manifest.load(self.path, with_damage=with_damage)

    def current(self) -> Manifest:
        """Loads the manifest of a cache that is up to date with the recordings.

        Raises:
          DataError: If the cache is missing, stale, unfinished or corrupted, or leaves out clips although
            `on_bad_clip` is `error`; names the command that repairs it.
        """
        config, listing = self.run.config, self.run.listing
        advice = (
            "Import the log-mels again with these settings." if config.dataset.name == "imported" else manifest.ADVICE
        )
        try:
            current = contents.load_current(
                self.path, listing.clips_of(self.split), self.fingerprint, self.source, listing.directory
            )
            if current.skipped and config.on_bad_clip == "error":
                raise DataError(f"The cache in {self.path} leaves out {len(current.skipped)} clips that can't be used.")
        except DataError as error:
            raise DataError(f"{error} {advice}") from error
        return current
