"""The workspace of a run whose directories are URLs: fetch what a verb needs, run it on the images, publish.

    workspace = Workspace(config)
    workspace.fetch("dev", ["fan"], ("dev_directory", "cache_directory"))
    ...  # any verb, by the same configuration, whose directories are the local images
    workspace.publish("dev", ["fan"], ("cache_directory",))

A worker on another machine does the same with the configuration of `to_dict`, which has the URLs, and a scratch
directory of its own. Directories that are no URLs are left as they are.
"""

import shutil
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.clips import Clip, Progress
from ganad_tf.config import Config, Mode
from ganad_tf.config.sections import Storage
from ganad_tf.config.storage import DIRECTORIES
from ganad_tf.errors import StorageError
from ganad_tf.storage import fetching, placeholders, publishing
from ganad_tf.storage.folder import Folder
from ganad_tf.storage.publishing import Published
from ganad_tf.storage.store import ConflictError, Store, Stored, changed

FILES = "files"  # the kind of folders that are no directory of a run


def fetch_files(url: str, settings: Storage | None = None) -> Path:
    """Fetches an object, or all that is in a folder; the path of its local image.

    Args:
      url: The object or folder.
      settings: The section `storage`; None for its defaults.

    Raises:
      ConfigError: As `Workspace.fetch`.
      StorageError: If there is nothing, or it can't be fetched.
    """
    settings = settings or Storage()
    placeholders.describe_scratch(settings)
    path, store = Path(settings.local(url)), Store(url, settings)
    there = store.info(url)
    if there is None:
        folder = Folder(FILES, path, settings)
        if not store.find(folder.url):
            raise StorageError(f"Expected a file or folder in {url}, but there is none.")
        fetching.fetch(folder)
    elif placeholders.is_placeholder(path) or not path.is_file() or _facts(path) != (there.size, there.mtime_ns):
        try:
            store.fetch(url, path, there, is_shared=False)
        except ConflictError as error:
            raise changed(url) from error
    return path


def _facts(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Workspace:
    """The directories of a configuration that are URLs.

    Attributes:
      config: The configuration.
    """

    config: Config

    @property
    def is_remote(self) -> bool:
        """Whether any directory is a URL."""
        return bool(self.folders(DIRECTORIES))

    def folders(self, directories: Iterable[str]) -> list[Folder]:
        """The directories among these that are URLs, those of an ensemble's members with them.

        Args:
          directories: Settings, such as `cache_directory`.
        """
        storage, members = self.config.storage, self._members()
        found: dict[Path, Folder] = {}
        for key in directories:
            for path in [getattr(config, key) for config in (self.config, *members)]:
                found.setdefault(Path(path), Folder(key, Path(path), storage))
        if "result_directory" in directories:
            for directory in self.config.member_directories():
                found.setdefault(Path(directory), Folder("result_directory", Path(directory), storage))
        return [folder for path, folder in found.items() if storage.location(path) != str(path)]

    def fetch(
        self,
        mode: Mode | None = None,
        machines: Collection[str] = (),
        directories: Iterable[str] = DIRECTORIES,
        progress: Progress = lambda items, _: items,
    ) -> None:
        """Fetches what is missing in the local images or has changed; of recordings and exports, placeholders.

        Args:
          mode: `dev` or `eval`; None for both.
          machines: Machine types; none for all.
          directories: Settings, such as `cache_directory`.
          progress: Displays the progress.

        Raises:
          ConfigError: If a file system is not installed, there are no credentials, or there is no such bucket.
          DataError: If something can't be fetched.
        """
        for folder in self.folders(directories):
            placeholders.describe_scratch(self.config.storage)
            fetching.fetch(folder, mode, machines, progress)

    def place(self, clips: Iterable[Clip], directory: Path) -> None:
        """Makes placeholders of recordings that another process has listed, in the place of a scan of its own.

        Args:
          clips: Clips of the recordings.
          directory: Local directory that each `Clip.file` is relative to; without effect if it is no image of a URL.
        """
        if not directory.is_relative_to(self.config.storage.directory):
            return
        placeholders.describe_scratch(self.config.storage)
        for clip in clips:
            path = directory / clip.file
            if not path.exists() or _facts(path) != (clip.size, clip.mtime_ns):
                placeholders.make(path, Stored(clip.size, "", clip.mtime_ns))

    def publish(
        self,
        mode: Mode | None = None,
        machines: Collection[str] = (),
        directories: Iterable[str] = ("cache_directory", "model_directory", "result_directory", "export_directory"),
    ) -> Published:
        """Publishes the units that have changed in the local images; arguments as for `fetch`.

        Raises:
          DataError: If something can't be written; the units that were being published then count as missing.
        """
        done = Published()
        for folder in self.folders(directories):
            done += publishing.publish(folder, mode, machines)
        return done

    def publish_recordings(self, mode: Mode) -> None:
        """Publishes recordings that were made here, and has placeholders in their place, with the store's times."""
        for folder in self.folders([f"{mode}_directory"]):
            if publishing.publish(folder).units:
                shutil.rmtree(folder.path)
                fetching.fetch(folder)

    def _members(self) -> list[Config]:
        configs = [self.config, *(self.config.for_machine(machine) for machine in self.config.machines)]
        return [member for config in configs for member in config.member_configs().values()]
