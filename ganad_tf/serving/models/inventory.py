"""The bookkeeping of a repository: which versions there are, which are loaded, and which may go. No files, no threads.

Whoever calls holds the repository's lock.
"""

import logging
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.versions import Look, Policy, Stamp, State

logger = logging.getLogger(__name__)

KEPT_SECONDS = 300.0  # that an older version stays loaded after it was asked for
LOOKS_UNTIL_GONE = 3  # in a row that don't find the version of a loaded model


@dataclass
class Version:
    """A version's folder and what has become of it."""

    path: Path
    artifact: Artifact | None = None
    stamp: Stamp | None = None  # of the files when they were tried last
    reason: str = ""  # why they can't be used
    tried: float = -math.inf  # when
    asked: float = -math.inf  # for by its number, when last
    used: float = -math.inf  # when last
    n_missed: int = 0  # looks in a row that did not find it
    is_dropped: bool = False  # for others that were asked for
    loading: threading.Lock = field(default_factory=threading.Lock)  # held for seconds

    @property
    def is_usable(self) -> bool:
        """Whether it is loaded, or there is no reason yet why it can't be."""
        return self.artifact is not None or not self.reason

    @property
    def can_come_back(self) -> bool:
        """Whether it could be loaded again, as far as is known."""
        return not self.reason and not self.n_missed

    def drop(self) -> None:
        """Lets the model go."""
        self.artifact, self.stamp = None, None


class Inventory:
    """All versions that are known.

    Args:
      policy: Which versions are served.
      most_loaded: Models in memory at the same time.

    Attributes:
      models: Versions by number, by model.
    """

    def __init__(self, policy: Policy, most_loaded: int) -> None:
        self.models: dict[str, dict[int, Version]] = {}
        self._policy = policy
        self._most_loaded = most_loaded

    def find(self, name: str, number: int) -> Version | None:
        """One version; None if it is not known."""
        return self.models.get(name, {}).get(number)

    def newest(self, name: str) -> int | None:
        """The newest version that is loaded, or was and had to make room."""
        known = self.models.get(name, {})
        return max((number for number, it in known.items() if it.artifact or it.is_dropped), default=None)

    def note(self, look: Look, *, is_regular: bool) -> None:
        """Takes over what is there; in regular looks a loaded version that is not comes nearer its end."""
        for name, numbers in look.models.items():
            for number, path in numbers.items():
                known = self.models.setdefault(name, {}).setdefault(number, Version(path))
                known.path, known.n_missed = path, 0
        for name in set(self.models) - look.unreadable:
            self._forget(name, look.models.get(name, {}), is_regular=is_regular)

    def to_be_loaded(self) -> list[str]:
        """Models of which something is loaded, then as many others as there is room for: untried ones first."""
        names = {name for name, _, _ in self.loaded()}
        others = sorted(
            (any(version.reason for version in known.values()), name)
            for name, known in self.models.items()
            if name not in names
        )
        room = max(self._most_loaded - sum(1 for _ in self.loaded()), 0)
        return [*sorted(names), *(name for _, name in others[:room])]

    def make_room(self) -> int:
        """Drops those that were asked for longest ago, as many as are too many; how many these were."""
        loaded = list(self.loaded())
        surplus = max(len(loaded) - self._most_loaded, 0)
        replaceable = [held for held in loaded if held[2].can_come_back]
        replaceable.sort(key=lambda held: (self._is_newest(held[0], held[1]), held[2].used))
        for name, number, known in replaceable[:surplus]:
            known.drop()
            known.is_dropped = True
            logger.debug("%s version %d makes room for others", name, number)
        return min(surplus, len(replaceable))

    def drop_idle(self) -> int:
        """Drops what is loaded though a newer version is, unless it was asked for by its number not long ago."""
        n_dropped = 0
        for name, number, known in list(self.loaded()):
            is_idle = time.monotonic() - known.asked > KEPT_SECONDS or number not in self._within_policy(name)
            if is_idle and known.can_come_back and not self._is_newest(name, number):
                known.drop()
                n_dropped += 1
                logger.info("%s version %d is no longer loaded", name, number)
        return n_dropped

    def loaded(self) -> Iterator[tuple[str, int, Version]]:
        """Name, number and version of what is loaded."""
        for name, numbers in self.models.items():
            for number, known in numbers.items():
                if known.artifact:
                    yield name, number, known

    def served(self, name: str) -> list[int]:
        """Versions that the policy lets through, and what is loaded until it is replaced; the newest first."""
        known = self.models.get(name, {})
        loaded = {number for number in known if known[number].artifact}
        return sorted({*self._within_policy(name), *loaded}, reverse=True)

    def _forget(self, name: str, there: dict[int, Path], *, is_regular: bool) -> None:
        for number, known in list(self.models[name].items()):
            if number in there:
                continue
            known.n_missed += is_regular
            if known.artifact is None or known.n_missed >= LOOKS_UNTIL_GONE:
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
    """A version's state as clients are told."""
    if not known.is_usable:
        return State("END", known.reason)
    is_first = known.artifact is None and known.loading.locked()
    return State("LOADING" if is_first else "AVAILABLE", known.reason)
