"""The section `storage`: directories that are URLs of an object store, and their local images."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.config import paths
from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

DIRECTORIES = (
    "dev_directory",
    "eval_directory",
    "cache_directory",
    "model_directory",
    "result_directory",
    "export_directory",
)


@dataclass(frozen=True)
class Storage:
    """`storage`: how directories that are URLs are worked on.

    Attributes:
      scratch: Local directory of the images of URLs; None for `~/.cache/ganad`. Commands that work on the same machine
        type at the same time have one each; workers of a cluster have theirs in it.
      attempts: Number of attempts at each request.
      pause_seconds: Pause after the first failed attempt, twice as long after each further one, up to 20 s; shortened
        at random by up to a half, so that workers don't come back all at once.
      timeout_seconds: Seconds without an answer after which an attempt has failed.
      keep_recordings: Whether recordings that were fetched for their log-mels stay in `scratch`.
    """

    scratch: Location | None = None
    attempts: int = 6
    pause_seconds: float = 0.2
    timeout_seconds: float = 60.0
    keep_recordings: bool = False

    def __post_init__(self) -> None:
        in_range("storage.attempts", self.attempts, 1, 101)
        in_range("storage.pause_seconds", self.pause_seconds, 0, 20.1)
        in_range("storage.timeout_seconds", self.timeout_seconds, 0.01, 86400)

    @property
    def directory(self) -> Path:
        """The scratch directory, absolute."""
        return Path(self.scratch or "~/.cache/ganad").expanduser().absolute()

    def local(self, location: str) -> str:
        """Local path of a location: the image of a URL, or the path itself.

        >>> Storage("/scratch").local("s3://plant/model"), Storage().local("./model")
        ('/scratch/s3/plant/model', './model')
        """
        return str(paths.image(location, self.directory)) if paths.is_url(location) else location

    def location(self, path: str | Path) -> str:
        """URL that a local path is the image of, or the path itself; the reverse of `local`.

        >>> Storage("/scratch").location("/scratch/s3/plant/model"), Storage().location("./model")
        ('s3://plant/model', './model')
        """
        return paths.url_of(Path(path), self.directory) or str(path)


def localized(config: Any) -> dict[str, Any]:
    """The fields of a `Config` that are URLs, as paths of their local images."""
    storage, local = config.storage, {}
    for key in DIRECTORIES:
        location = getattr(config, key)
        if paths.is_url(location):
            local[key] = storage.local(location)
    members = [storage.local(member) if isinstance(member, str) else member for member in config.ensemble.members]
    if members != list(config.ensemble.members):
        local["ensemble"] = dataclasses.replace(config.ensemble, members=members)
    return local


def located(config: Any, mapping: dict[str, Any]) -> dict[str, Any]:
    """A configuration as a mapping, with URLs where it has their local images."""
    location = config.storage.location
    mapping |= {key: location(mapping[key]) for key in DIRECTORIES}
    members = [location(member) if isinstance(member, str) else member for member in mapping["ensemble"]["members"]]
    mapping["ensemble"] = {**mapping["ensemble"], "members": members}
    return mapping
