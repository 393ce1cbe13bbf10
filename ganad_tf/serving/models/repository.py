"""The exported models of a folder: the newest version of each is loaded, others on request.

A loaded model stays in service until its version has been removed. Truncated files, a folder that is missing for a
moment or can't be listed do not unload it.
"""

import gc
import logging
import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ganad_tf.errors import DataError, GanadError
from ganad_tf.serving.models import versions
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.inventory import Inventory, state_of
from ganad_tf.serving.models.signature import quote_name
from ganad_tf.serving.models.versions import Policy, Scan, State
from ganad_tf.serving.models.warming import warm

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0  # time between attempts to load unchanged files that could not be used
LOADED_AT_ONCE = min(4, os.cpu_count() or 1)
MOST_NAMED = 20  # maximum number of models in a message


class NotHereError(GanadError):
    """An unknown model or version."""


class Repository:
    """Loads models, follows changes of the folder, and never serves an unusable version.

    Args:
      folder: Folder of `<model>/<version>/` folders, or of the versions of one model.
      name: Name of that one model; by default the name of its folder.
      policy: Version policy; by default all versions.
      most_loaded: Maximum number of loaded models. A request for another one unloads the least recently used.
    """

    def __init__(
        self, folder: Path, *, name: str | None = None, policy: Policy | None = None, most_loaded: int = 200
    ) -> None:
        self.folder = folder
        self._given_name = self._name = name  # of the one model of the folder, if it holds one
        self._inventory = Inventory(policy or Policy(), most_loaded)
        self._lock = threading.Lock()  # held for a moment only
        self._warnings: dict[str, str] = {}  # last warning per folder or version
        self._is_closed = threading.Event()

    def require_models(self) -> None:
        """Checks that the folder holds an exported model, without loading one.

        Raises:
          DataError: If there is none, or the folder can't be read.
        """
        try:
            scan = self._scan_folder()
        except OSError as error:
            raise DataError(f"Expected exported models in {self.folder}, but {_describe(error)}.") from error
        if not any(scan.models.values()) and not scan.unreadable:
            hint = f"; --model-name {self._given_name} is for a folder of its versions" if self._given_name else ""
            raise DataError(
                f"Expected exported models in {self.folder}, as `ganad export` makes them, but there are none{hint}."
            )

    def refresh(self) -> None:
        """Loads new and changed versions of each model and unloads those no longer needed."""
        self._scan(is_regular=True)
        with ThreadPoolExecutor(LOADED_AT_ONCE, "load") as pool:
            list(pool.map(self._load_newest, self._models_to_load()))
        with self._lock:
            n_dropped = self._inventory.drop_idle()
        if n_dropped:
            gc.collect()  # a loaded model is a reference cycle, which only the collector frees

    def follow(self, seconds: float) -> None:
        """Starts a thread that calls `refresh` now and every `seconds` until `close`."""

        def poll() -> None:
            while not self._is_closed.is_set():
                try:
                    self.refresh()
                except Exception:  # a bug must not end the thread
                    logger.exception("can't scan %s", self.folder)
                self._is_closed.wait(seconds)

        threading.Thread(target=poll, name="follow", daemon=True).start()

    def close(self) -> None:
        """Ends `follow` once the model being loaded is done."""
        self._is_closed.set()

    def names(self) -> list[str]:
        """Sorted names of the usable models; empty until the first one is loaded."""
        with self._lock:
            if next(self._inventory.loaded(), None) is None:
                return []
            return sorted(
                name
                for name, known in self._inventory.models.items()
                if any(known[number].is_usable for number in self._inventory.served(name))
            )

    def versions(self, name: str) -> dict[int, State]:
        """States of a model's versions, newest first, unusable ones with the reason.

        Raises:
          NotHereError: If there is no such model.
        """
        self._scan()
        with self._lock:
            known = self._inventory.models.get(name, {})
            states = {number: state_of(known[number]) for number in self._inventory.served(name)}
        if not states:
            raise NotHereError(f"Model {quote_name(name)} is not here; there are: {_list_names(self.names())}.")
        return states

    def loaded(self, name: str, version: int | None = None) -> tuple[int, Artifact] | None:
        """Number and model of a loaded version, by default the newest; None if it is not loaded. Never blocks."""
        with self._lock:
            number = self._inventory.newest(name) if version is None else version
            known = self._inventory.find(name, number) if number is not None else None
            if number is None or known is None or known.artifact is None:
                return None
            known.used_at = time.monotonic()
            if version is not None:
                known.requested_at = known.used_at
            return number, known.artifact

    def get(self, name: str, version: int | None = None) -> tuple[int, Artifact]:
        """Number and model of a version, by default the newest; loads it if necessary.

        Raises:
          NotHereError: If there is no usable version.
        """
        model = self.loaded(name, version) or self._load_requested(name, version)
        if not model:
            self._scan()
            model = self._load_requested(name, version)
        if model:
            return model
        states = self.versions(name)
        if version is not None and version not in states:
            raise NotHereError(
                f"Model {quote_name(name)} has no version {version}; there are: {_list_names(list(states))}."
            )
        number = max(states) if version is None else version
        raise NotHereError(f"Model {quote_name(name)} can't be used in version {number}: {states[number].reason}")

    def _load_requested(self, name: str, version: int | None) -> tuple[int, Artifact] | None:
        with self._lock:
            numbers = self._inventory.served(name)
        for number in numbers:
            if version in (None, number):
                artifact = self._load(name, number, is_requested=version is not None)
                if artifact:
                    return number, artifact
        return None

    def _scan_folder(self) -> Scan:
        """Scans the folder. Until models are known, each scan decides whether it holds one model or several."""
        if not self._inventory.models:
            self._name = self._given_name or versions.single_model(self.folder)
        return versions.scan(self.folder, self._name)

    def _scan(self, *, is_regular: bool = False) -> None:
        """Scans the folder and updates the inventory; see `Inventory.update`."""
        try:
            scan = self._scan_folder()
        except OSError as error:
            self._warn_once(
                str(self.folder),
                f"{self.folder} can't be read ({error.strerror or error}); its loaded models stay in service",
            )
            return
        self._warnings.pop(str(self.folder), None)
        for model in scan.unreadable:
            self._warn_once(model, f"{model} can't be read; its loaded versions stay in service")
        for model in scan.models:
            self._warnings.pop(model, None)
        with self._lock:
            self._inventory.update(scan, is_regular=is_regular)

    def _models_to_load(self) -> list[str]:
        with self._lock:
            return self._inventory.models_to_load()

    def _load_newest(self, name: str) -> None:
        with self._lock:
            numbers = self._inventory.served(name)
        for number in numbers:  # an older version only if the newer ones can't be used
            if self._is_closed.is_set() or self._load(name, number):
                break

    def _load(self, name: str, number: int, *, is_requested: bool = False) -> Artifact | None:
        """Loads a version if its files have changed; returns the model in service, None if there is none."""
        with self._lock:
            known = self._inventory.find(name, number)
        if known is None:
            return None
        with known.loading:
            if known.n_missed:
                return known.artifact
            now = time.monotonic()
            stamp = versions.stamp(known.path)
            is_due = known.stamp != stamp or (bool(known.reason) and now - known.tried_at > RETRY_SECONDS)
            if is_due:
                artifact, reason = _load_artifact(known.path, f"{name}/{number}")
                self._log_state(name, number, reason)
                with self._lock:
                    known.stamp, known.reason, known.tried_at = stamp, reason, now
                    known.artifact = artifact or known.artifact
                    known.is_dropped = False
                    known.used_at = time.monotonic()
            if is_requested:
                known.requested_at = time.monotonic()
            result = known.artifact
        if is_due and result:
            with self._lock:
                n_dropped = self._inventory.make_room()
            if n_dropped:
                gc.collect()
        return result

    def _log_state(self, name: str, number: int, reason: str) -> None:
        key = f"{name} version {number}"
        if reason:
            self._warn_once(key, f"{key} can't be used: {reason}")
        else:
            self._warnings.pop(key, None)
            logger.info("%s is served", key)

    def _warn_once(self, subject: str, sentence: str) -> None:
        """Logs a warning unless it is the subject's last one."""
        if self._warnings.get(subject) != sentence:
            self._warnings[subject] = sentence
            logger.warning("%s", sentence)


def _load_artifact(path: Path, name: str) -> tuple[Artifact | None, str]:
    """Loads and warms a model; returns it, or a reason for clients, in which `name` stands for the server's path."""
    try:
        artifact = Artifact(path)
        warm(artifact)
        return artifact, ""
    except (GanadError, OSError) as error:
        sentence = str(error) if isinstance(error, GanadError) else f"{_describe(error)}."
        return None, sentence.replace(str(path), name)
    except Exception:  # a bug with one model must not affect the others
        logger.exception("%s can't be loaded", name)
        return None, "it can't be loaded; the server's log says more."


def _describe(error: OSError) -> str:
    return f"it can't be read ({error.strerror or error})"


def _list_names(names: Sequence[object]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(map(str, [*names[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])) or "none"
