"""The exported models of a folder, loaded: the newest version of each, others when they are asked for.

What is loaded is served until its version is really gone. Files that were truncated, a folder that is away for a
moment, one that can't be listed: none of that takes a good model away.
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
from ganad_tf.serving.models.signature import named
from ganad_tf.serving.models.versions import Look, Policy, State
from ganad_tf.serving.models.warming import warm

logger = logging.getLogger(__name__)

RETRY_SECONDS = 60.0  # until files that can't be used are tried again though they are the same
LOADED_AT_ONCE = min(4, os.cpu_count() or 1)
MOST_NAMED = 20  # models in a message


class NotHereError(GanadError):
    """There is no such model or version."""


class Repository:
    """Loads versions, follows what comes and goes in the folder, and never serves one that can't be used.

    Args:
      folder: `<model>/<version>/` folders, or one model's folder of versions.
      name: What that one model is called; its folder's name unless it is given.
      policy: Which versions are served.
      most_loaded: Models in memory at the same time. More can be asked for: who was asked longest ago is dropped.
    """

    def __init__(
        self, folder: Path, *, name: str | None = None, policy: Policy | None = None, most_loaded: int = 200
    ) -> None:
        self.folder = folder
        self._given_name = self._name = name  # of the one model of the folder
        self._inventory = Inventory(policy or Policy(), most_loaded)
        self._lock = threading.Lock()  # held for a moment
        self._trouble: dict[str, str] = {}  # what was last said of a folder
        self._is_closed = threading.Event()

    def require_models(self) -> None:
        """Looks for exported models, without loading one.

        Raises:
          DataError: If there is none, or the folder can't be read.
        """
        try:
            look = self._listing()
        except OSError as error:
            raise DataError(f"Expected exported models in {self.folder}, but {_said(error)}.") from error
        if not any(look.models.values()) and not look.unreadable:
            hint = f"; --model-name {self._given_name} is for a folder of its versions" if self._given_name else ""
            raise DataError(
                f"Expected exported models in {self.folder}, as `ganad export` makes them, but there are none{hint}."
            )

    def refresh(self) -> None:
        """Loads the newest version of each model, again if it has changed, and lets go of what is not needed."""
        self._look(is_regular=True)
        with ThreadPoolExecutor(LOADED_AT_ONCE, "load") as pool:
            list(pool.map(self._load_newest, self._to_be_loaded()))
        with self._lock:
            n_dropped = self._inventory.drop_idle()
        if n_dropped:
            gc.collect()  # a loaded model is a circle of Python objects that hold its memory

    def follow(self, seconds: float) -> None:
        """Calls `refresh` at once and every so many seconds until `close`, in a thread of its own."""

        def poll() -> None:
            while not self._is_closed.is_set():
                try:
                    self.refresh()
                except Exception:  # a bug must not end the thread: what is loaded is served on
                    logger.exception("can't look into %s", self.folder)
                self._is_closed.wait(seconds)

        threading.Thread(target=poll, name="follow", daemon=True).start()

    def close(self) -> None:
        """Ends `follow` after what is being loaded."""
        self._is_closed.set()

    def names(self) -> list[str]:
        """The models that can be asked for, sorted; none before the first of them is loaded."""
        with self._lock:
            if next(self._inventory.loaded(), None) is None:
                return []
            return sorted(
                name
                for name, known in self._inventory.models.items()
                if any(known[number].is_usable for number in self._inventory.served(name))
            )

    def versions(self, name: str) -> dict[int, State]:
        """The versions of a model, the newest first, with those that can't be used and why.

        Raises:
          NotHereError: If there is no such model.
        """
        self._look()
        with self._lock:
            known = self._inventory.models.get(name, {})
            states = {number: state_of(known[number]) for number in self._inventory.served(name)}
        if not states:
            raise NotHereError(f"Model {named(name)} is not here; there are: {_enumerated(self.names())}.")
        return states

    def loaded(self, name: str, version: int | None = None) -> tuple[int, Artifact] | None:
        """A version that is loaded, the newest unless it is named; at once."""
        with self._lock:
            number = self._inventory.newest(name) if version is None else version
            found = self._inventory.find(name, number) if number is not None else None
            if number is None or found is None or found.artifact is None:
                return None
            found.used = time.monotonic()
            if version is not None:
                found.asked = found.used
            return number, found.artifact

    def get(self, name: str, version: int | None = None) -> tuple[int, Artifact]:
        """The same, loading it first if need be.

        Raises:
          NotHereError: If there is none that can be used.
        """
        found = self.loaded(name, version) or self._load_asked(name, version)
        if not found:
            self._look()
            found = self._load_asked(name, version)
        if found:
            return found
        states = self.versions(name)
        if version is not None and version not in states:
            raise NotHereError(f"Model {named(name)} has no version {version}; there are: {_enumerated(list(states))}.")
        number = max(states) if version is None else version
        raise NotHereError(f"Model {named(name)} can't be used in version {number}: {states[number].reason}")

    def _load_asked(self, name: str, version: int | None) -> tuple[int, Artifact] | None:
        with self._lock:
            numbers = self._inventory.served(name)
        for number in numbers:
            if version in (None, number):
                artifact = self._load(name, number, is_asked=version is not None)
                if artifact:
                    return number, artifact
        return None

    def _listing(self) -> Look:
        """What is in the folder now; whether that is one model or several is decided while nothing is known of it."""
        if not self._inventory.models:
            self._name = self._given_name or versions.single_model(self.folder)
        return versions.look(self.folder, self._name)

    def _look(self, *, is_regular: bool = False) -> None:
        """Notes what is in the folder now; in regular looks a loaded version that is not there comes nearer its end."""
        try:
            look = self._listing()
        except OSError as error:
            self._complain(str(self.folder), f"{self.folder} can't be looked into, and is served as it was: {error}")
            return
        self._trouble.pop(str(self.folder), None)
        for model in look.unreadable:
            self._complain(model, f"{model} can't be looked into, and is served as it was")
        for model in look.models:
            self._trouble.pop(model, None)
        with self._lock:
            self._inventory.note(look, is_regular=is_regular)

    def _to_be_loaded(self) -> list[str]:
        with self._lock:
            return self._inventory.to_be_loaded()

    def _load_newest(self, name: str) -> None:
        with self._lock:
            numbers = self._inventory.served(name)
        for number in numbers:  # the newest first; an older one only where it can't be used
            if self._is_closed.is_set() or self._load(name, number):
                break

    def _load(self, name: str, number: int, *, is_asked: bool = False) -> Artifact | None:
        """Loads a version unless it is loaded as it is there now; None if it can't be used."""
        with self._lock:
            known = self._inventory.find(name, number)
        if known is None:
            return None
        with known.loading:
            if known.n_missed:
                return known.artifact
            now = time.monotonic()
            stamp = versions.stamp(known.path)
            is_due = known.stamp != stamp or (bool(known.reason) and now - known.tried > RETRY_SECONDS)
            if is_due:
                artifact, reason = _loaded_from(known.path, f"{name}/{number}")
                self._note(name, number, reason)
                with self._lock:
                    known.stamp, known.reason, known.tried = stamp, reason, now
                    known.artifact = artifact or known.artifact
                    known.is_dropped = False
                    known.used = time.monotonic()
            if is_asked:
                known.asked = time.monotonic()
            result = known.artifact
        if is_due and result:
            with self._lock:
                n_dropped = self._inventory.make_room()
            if n_dropped:
                gc.collect()
        return result

    def _note(self, name: str, number: int, reason: str) -> None:
        key = f"{name} version {number}"
        if reason:
            self._complain(key, f"{key} can't be used: {reason}")
        else:
            self._trouble.pop(key, None)
            logger.info("%s is served", key)

    def _complain(self, what: str, sentence: str) -> None:
        """Warns once, until something else is the matter."""
        if self._trouble.get(what) != sentence:
            self._trouble[what] = sentence
            logger.warning("%s", sentence)


def _loaded_from(path: Path, called: str) -> tuple[Artifact | None, str]:
    """The model in a folder, or the reason why there is none; clients may read that, so it names no folder of ours."""
    try:
        artifact = Artifact(path)
        warm(artifact)
        return artifact, ""
    except (GanadError, OSError) as error:
        sentence = str(error) if isinstance(error, GanadError) else f"{_said(error)}."
        return None, sentence.replace(str(path), called)
    except Exception as error:  # whatever is wrong with one model, the others are served
        logger.exception("%s can't be loaded", called)
        return None, f"{type(error).__name__}; the log says more."


def _said(error: OSError) -> str:
    return f"it can't be read ({error.strerror or type(error).__name__})"


def _enumerated(names: Sequence[object]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(map(str, [*names[:MOST_NAMED], *([f"{more} more"] if more > 0 else [])])) or "none"
