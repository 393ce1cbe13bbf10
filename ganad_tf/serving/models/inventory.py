"""Bookkeeping of a repository: known, loaded and replaceable versions. No file access, no threads.

Callers hold the repository's lock.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.versions import Policy, Scan, Stamp, State

logger = logging.getLogger(__name__)

KEPT_SECONDS = 300.0  # time that an older version stays loaded after a request for its number
SCANS_UNTIL_GONE = 3  # consecutive scans without a loaded version, until it is dropped


@dataclass
class Version:
    """Folder and state of a version.

    Attributes:
      path: Folder of the version.
      artifact: Loaded model; None if it is not loaded.
      stamp: File stamp at the last attempt to load it.
      reason: Reason why its files can't be used; empty if they can.
      tried_at: Time of the last attempt.
      requested_at: Time of the last request for this version number.
      used_at: Time of the last use.
      n_missed: Consecutive scans that did not find the version.
      is_dropped: Whether it was unloaded to make room for another model.
      loading: Lock held while the model is loaded, for seconds.
    """

    path: Path
    artifact: Artifact | None = None
    stamp: Stamp | None = None
    reason: str = ""
    tried_at: float = -math.inf
    requested_at: float = -math.inf
    used_at: float = -math.inf
    n_missed: int = 0
    is_dropped: bool = False
    loading: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_usable(self) -> bool:
        """Whether the version is loaded or can presumably be loaded."""
        return self.artifact is not None or not self.reason

    @property
    def is_reloadable(self) -> bool:
        """Whether the files are still there and were usable at the last attempt."""
        return not self.reason and not self.n_missed

    def drop(self) -> None:
        """Unloads the model."""
        self.artifact, self.stamp = None, None


class Inventory:
    """Known versions of every model.

    Args:
      policy: Version policy.
      most_loaded: Maximum number of loaded models.

    Attributes:
      models: Versions by model name and number.
    """

    def __init__(self, policy: Policy, most_loaded: int) -> None:
        self.models: dict[str, dict[int, Version]] = {}
        self._policy = policy
        self._most_loaded = most_loaded

    def find(self, name: str, number: int) -> Version | None:
        """A version; None if it is unknown."""
        return self.models.get(name, {}).get(number)

    def newest(self, name: str) -> int | None:
        """Number of the newest version that is loaded, or was unloaded to make room."""
        known = self.models.get(name, {})
        return max(
            (number for number, version in known.items() if version.artifact or version.is_dropped), default=None
        )

    def update(self, scan: Scan, *, is_regular: bool) -> None:
        """Applies a scan of the folder; only regular scans count towards dropping a missing version."""
        for name, numbers in scan.models.items():
            for number, path in numbers.items():
                known = self.models.setdefault(name, {}).setdefault(number, Version(path))
                known.path, known.n_missed = path, 0
        for name in set(self.models) - scan.unreadable:
            self._forget(name, scan.models.get(name, {}), is_regular=is_regular)

    def models_to_load(self) -> list[str]:
        """Models with a loaded version, then as many others as there is room for, untried ones first."""
        names = {name for name, _, _ in self.loaded()}
        others = sorted(
            (any(version.reason for version in known.values()), name)
            for name, known in self.models.items()
            if name not in names
        )
        room = max(self._most_loaded - sum(1 for _ in self.loaded()), 0)
        return [*sorted(names), *(name for _, name in others[:room])]

    def make_room(self) -> int:
        """Unloads the least recently used models above the limit; returns their number."""
        loaded = list(self.loaded())
        surplus = max(len(loaded) - self._most_loaded, 0)
        replaceable = [entry for entry in loaded if entry[2].is_reloadable]
        replaceable.sort(key=lambda entry: (self._is_newest(entry[0], entry[1]), entry[2].used_at))
        for name, number, known in replaceable[:surplus]:
            known.drop()
            known.is_dropped = True
            logger.debug("%s version %d makes room for others", name, number)
        return min(surplus, len(replaceable))

    def drop_idle(self) -> int:
        """Unloads older versions, except those that were recently requested by number; returns their count."""
        n_dropped = 0
        for name, number, known in list(self.loaded()):
            is_idle = time.monotonic() - known.requested_at > KEPT_SECONDS or number not in self._within_policy(name)
            if is_idle and known.is_reloadable and not self._is_newest(name, number):
                known.drop()
                n_dropped += 1
                logger.info("%s version %d is no longer loaded", name, number)
        return n_dropped

    def loaded(self) -> Iterator[tuple[str, int, Version]]:
        """Name, number and version of each loaded model."""
        for name, numbers in self.models.items():
            for number, known in numbers.items():
                if known.artifact:
                    yield name, number, known

    def served(self, name: str) -> list[int]:
        """Numbers of the versions within the policy and of those still loaded, newest first."""
        known = self.models.get(name, {})
        loaded = {number for number in known if known[number].artifact}
        return sorted({*self._within_policy(name), *loaded}, reverse=True)

    def _forget(self, name: str, present: dict[int, Path], *, is_regular: bool) -> None:
        for number, known in list(self.models[name].items()):
            if number in present:
                continue
            known.n_missed += is_regular
            if known.artifact is None or known.n_missed >= SCANS_UNTIL_GONE:
                del self.models[name][number]
                logger.info("%s version %d is gone", name, number)
        if not self.models[name]:
            del self.models[name]

    def _is_newest(self, name: str, number: int) -> bool:
        """Whether no newer version of the model is loaded."""
        return not any(other > number and known.artifact for other, known in self.models[name].items())

    def _within_policy(self, name: str) -> list[int]:
        known = self.models.get(name, {})
        numbers: list[int] = []
        n_usable = 0
        for number in sorted(known, reverse=True):
            if self._policy.specific is None or number in self._policy.specific:
                numbers.append(number)
                n_usable += known[number].is_usable
                if n_usable == self._policy.latest:
                    break
        return numbers


def state_of(known: Version) -> State:
    """State of a version in TensorFlow Serving's terms."""
    if not known.is_usable:
        return State("END", known.reason)
    is_first = known.artifact is None and known.loading.locked()
    return State("LOADING" if is_first else "AVAILABLE", known.reason)
