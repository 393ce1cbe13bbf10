"""The exported models of a folder, loaded: the newest version of each at once, others when they are asked for."""

import logging
import threading
from pathlib import Path

import numpy as np

from ganad_tf.errors import GanadError
from ganad_tf.serving import versions, wav
from ganad_tf.serving.artifact import Artifact

logger = logging.getLogger(__name__)


class NotHereError(GanadError):
    """There is no such model or version."""


class Repository:
    """Loads versions, follows what comes and goes in the folder, and never serves one that can't be used.

    Args:
      folder: `<model>/<version>/` folders, or one model's folder of versions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._loaded: dict[tuple[str, int], Artifact] = {}
        self._broken: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()  # held for a moment
        self._loading = threading.Lock()  # held for seconds
        self._is_closed = threading.Event()

    def refresh(self) -> None:
        """Loads the newest version of each model and lets go of what is no longer there."""
        there = self._there()
        for name, numbers in there.items():
            for version in numbers:  # the newest first; an older one only where it can't be used
                if self._load(name, version, numbers[version]):
                    break
        with self._lock:
            for name, version in [key for key in self._loaded if key[1] not in there.get(key[0], {})]:
                del self._loaded[name, version]
                logger.info("%s version %d is gone", name, version)

    def follow(self, seconds: float) -> None:
        """Calls `refresh` every so many seconds until `close`, in a thread of its own."""

        def poll() -> None:
            while not self._is_closed.wait(seconds):
                try:
                    self.refresh()
                except Exception:  # a folder that can't be read for a moment: what is loaded is served on
                    logger.exception("can't look into %s", self.folder)

        threading.Thread(target=poll, daemon=True).start()

    def close(self) -> None:
        """Ends `follow`."""
        self._is_closed.set()

    def names(self) -> list[str]:
        """The models that can be used."""
        with self._lock:
            return sorted({name for name, _ in self._loaded})

    def versions(self, name: str) -> dict[int, str]:
        """`AVAILABLE` by version, the newest first; `END` for one that can't be used.

        Raises:
          NotHereError: If there is no such model.
        """
        found = self._there().get(name)
        if not found:
            raise NotHereError(f"Model {name} is not here; there are: {', '.join(self.names()) or 'none'}.")
        with self._lock:
            return {version: "END" if (name, version) in self._broken else "AVAILABLE" for version in found}

    def get(self, name: str, version: int | None = None) -> tuple[int, Artifact]:
        """A version of a model, the newest usable one unless it is named.

        Raises:
          NotHereError: If there is none.
        """
        with self._lock:
            if version is None:
                numbers = [number for own, number in self._loaded if own == name]
                if numbers:
                    return max(numbers), self._loaded[name, max(numbers)]
            elif (name, version) in self._loaded:
                return version, self._loaded[name, version]
        found = self.versions(name)
        for number in found if version is None else [version]:
            artifact = self._load(name, number, self._there()[name][number]) if number in found else None
            if artifact:
                return number, artifact
        what = "in no version that can be used" if version is None else f"in version {version}"
        raise NotHereError(f"Model {name} is not here {what}; there are: {', '.join(map(str, found))}.")

    def _there(self) -> dict[str, dict[int, Path]]:
        own = versions.versions(self.folder)
        if own:
            return {self.folder.resolve().name: own}
        return {name: versions.versions(path) for name, path in versions.models(self.folder).items()}

    def _load(self, name: str, version: int, directory: Path) -> Artifact | None:
        """Loads a version, once; None if it can't be used."""
        with self._loading:
            with self._lock:
                if (name, version) in self._loaded or (name, version) in self._broken:
                    return self._loaded.get((name, version))
            try:
                artifact = _warm(Artifact(directory))
            except GanadError as error:
                with self._lock:
                    self._broken[name, version] = str(error)
                logger.warning("%s version %d can't be used: %s", name, version, error)
                return None
            with self._lock:
                self._loaded[name, version] = artifact
            logger.info("%s version %d is served", name, version)
            return artifact


def _warm(artifact: Artifact) -> Artifact:
    """Calls each way of scoring once, so that the first client does not wait for what is done at a first call."""
    of = artifact.metadata.get("input")
    if of:
        silence = np.zeros([1, max(of["fewest_samples"], of["sample_rate_hz"])], np.float32)
        file = np.array([wav.encode(silence[0], of["sample_rate_hz"])], dtype=object)
        artifact("score_waveform", {"waveform": silence})
        artifact("score_wav", {"wav_bytes": file})
    return artifact
