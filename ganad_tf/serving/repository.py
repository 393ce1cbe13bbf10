"""The exported models of a folder, loaded: the newest version of each at once, others when they are asked for."""

import logging
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError, GanadError
from ganad_tf.serving import versions, wav
from ganad_tf.serving.artifact import Artifact
from ganad_tf.serving.fields import named

logger = logging.getLogger(__name__)

KEPT_SECONDS = 300.0  # that an older version stays loaded after it was asked for

Key = tuple[str, int]  # name and version


class NotHereError(GanadError):
    """There is no such model or version."""


@dataclass
class _Held:
    """What has become of a version's folder: its model, or None if it can't be used."""

    artifact: Artifact | None
    stamp: tuple[int, int, int]
    asked: float = 0.0  # for by its number, when last


class Repository:
    """Loads versions, follows what comes and goes in the folder, and never serves one that can't be used.

    Args:
      folder: `<model>/<version>/` folders, or one model's folder of versions.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[Key, _Held] = {}
        self._lock = threading.Lock()  # held for a moment
        self._loading = threading.Lock()  # held for seconds
        self._is_closed = threading.Event()

    def refresh(self) -> None:
        """Loads the newest version of each model, again if it has changed, and lets go of what is not needed."""
        there = self._there()
        newest: set[Key] = set()
        for name, numbers in there.items():
            for version, directory in numbers.items():  # the newest first; an older one only where it can't be used
                if self._load((name, version), directory):
                    newest.add((name, version))
                    break
        with self._lock:
            for key, held in list(self._held.items()):
                is_there = key[1] in there.get(key[0], {})
                is_idle = key not in newest and time.monotonic() - held.asked > KEPT_SECONDS
                if not is_there or (held.artifact and is_idle):
                    del self._held[key]
                    logger.info("%s version %d is %s", *key, "no longer loaded" if is_there else "gone")

    def follow(self, seconds: float) -> None:
        """Calls `refresh` every so many seconds until `close`, in a thread of its own."""

        def poll() -> None:
            while not self._is_closed.wait(seconds):
                try:
                    self.refresh()
                except Exception:  # a bug must not end the thread: what is loaded is served on
                    logger.exception("can't look into %s", self.folder)

        threading.Thread(target=poll, daemon=True).start()

    def close(self) -> None:
        """Ends `follow`."""
        self._is_closed.set()

    def names(self) -> list[str]:
        """The models that can be used."""
        with self._lock:
            return sorted({name for (name, _), held in self._held.items() if held.artifact})

    def versions(self, name: str) -> dict[int, str]:
        """`AVAILABLE` by version, the newest first; `END` for one that can't be used.

        Raises:
          NotHereError: If there is no such model.
        """
        found = self._there().get(name)
        if not found:
            raise NotHereError(f"Model {named(name)} is not here; there are: {', '.join(self.names()) or 'none'}.")
        with self._lock:
            broken = {version for (own, version), held in self._held.items() if own == name and not held.artifact}
        return {version: "END" if version in broken else "AVAILABLE" for version in found}

    def loaded(self, name: str, version: int | None = None) -> tuple[int, Artifact] | None:
        """A version that is loaded, the newest unless it is named; at once."""
        with self._lock:
            usable = {key[1]: held for key, held in self._held.items() if key[0] == name and held.artifact}
            number = max(usable, default=None) if version is None else version
            held = usable.get(number) if number is not None else None
            if number is None or held is None or held.artifact is None:
                return None
            if version is not None:
                held.asked = time.monotonic()
            return number, held.artifact

    def get(self, name: str, version: int | None = None) -> tuple[int, Artifact]:
        """The same, loading it first if need be.

        Raises:
          NotHereError: If there is none that can be used.
        """
        found = self.loaded(name, version)
        if found:
            return found
        there = self._there().get(name, {})
        for number, directory in there.items():
            if version in (None, number):
                artifact = self._load((name, number), directory, asked=time.monotonic())
                if artifact:
                    return number, artifact
        usable = [str(number) for number, state in self.versions(name).items() if state == "AVAILABLE"]
        what = "in no version that can be used" if version is None else f"in version {version}"
        raise NotHereError(f"Model {named(name)} is not here {what}; there are: {', '.join(usable) or 'none'}.")

    def _there(self) -> dict[str, dict[int, Path]]:
        own = versions.versions(self.folder)
        if own:
            return {self.folder.resolve().name: own}
        return {name: versions.versions(path) for name, path in versions.models(self.folder).items()}

    def _load(self, key: Key, directory: Path, asked: float = 0.0) -> Artifact | None:
        """Loads a version unless it is loaded as it is there now; None if it can't be used."""
        with self._loading:
            now = versions.stamp(directory)
            with self._lock:
                before = self._held.get(key)
            if before and before.stamp == now:
                return before.artifact
            held = _Held(None, now, asked)
            try:
                held.artifact = _warm(Artifact(directory))
            except GanadError as error:
                logger.warning("%s version %d can't be used: %s", *key, error)
            except Exception:  # whatever is wrong with one model, the others are served
                logger.exception("%s version %d can't be used", *key)
            with self._lock:
                self._held[key] = held
            if held.artifact:
                logger.info("%s version %d is served", *key)
            return held.artifact


def _warm(artifact: Artifact) -> Artifact:
    """Calls each way of scoring once, so that the first client does not wait for what is done at a first call."""
    rate, fewest = artifact.audio.sample_rate, artifact.fewest_samples
    silence = np.zeros([1, max(fewest, rate)], np.float32)
    file = np.array([wav.encode(silence[0], rate)], dtype=object)
    scores = [
        artifact("score_waveform", {"waveform": silence})["anomaly_score"],
        artifact("score_wav", {"wav_bytes": file})["anomaly_score"],
    ]
    if any(score.shape != (1,) for score in scores):
        raise DataError(f"{artifact.directory} does not score as a model made by `ganad export` does.")
    return artifact
