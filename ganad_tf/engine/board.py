"""The progress of a command's units: how many of each verb wait, run, have ended."""

from collections import Counter
from collections.abc import Sequence

from ganad_tf.engine.units import Unit

STATES = ("waiting", "running", "done", "failed", "left out")


class Board:
    """The state of each unit.

    Args:
      units: The units; all wait.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._state = {unit.key: "waiting" for unit in units}
        self._verb = {unit.key: unit.verb for unit in units}
        self._counts = {unit.verb: Counter[str]() for unit in units}
        for unit in units:
            self._counts[unit.verb]["waiting"] += 1

    def move(self, key: str, state: str) -> None:
        """Notes the state of a unit, one of `STATES`."""
        counts = self._counts[self._verb[key]]
        counts[self._state[key]] -= 1
        counts[state] += 1
        self._state[key] = state

    def count(self, *states: str) -> int:
        """Number of units in these states."""
        return sum(counts[state] for counts in self._counts.values() for state in states)

    @property
    def total(self) -> int:
        """Number of units."""
        return len(self._state)

    def table(self) -> list[str]:
        r"""Lines of a table, one per verb.

        >>> print(*Board([Unit("train", "fan", "fan", print)]).table(), sep="\n")
                    waiting   running      done    failed  left out
        train             1         0         0         0         0
        """
        head = f"{'':<9}" + "".join(f"{state:>10}" for state in STATES)
        rows = (
            f"{verb:<9}" + "".join(f"{counts[state]:>10}" for state in STATES) for verb, counts in self._counts.items()
        )
        return [head, *rows]
