"""Hands out units to workers as they become ready, and goes on when one fails."""

import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ganad_tf.engine.board import Board
from ganad_tf.engine.units import Outcome, Unit, run_unit
from ganad_tf.errors import DataError, GanadError, StageInterrupt

logger = logging.getLogger(__name__)

Show = Callable[[Board], None]


class Workers(Protocol):
    """The places where units run.

    Attributes:
      are_elsewhere: Whether they are other processes than this one.
    """

    are_elsewhere: bool

    def wants(self, n_ready: int) -> int:
        """Number of units to start now, of so many that are ready."""

    def start(self, unit: Unit) -> None:
        """Begins a unit."""

    def wait(self) -> list[Outcome]:
        """Outcomes since the last call; waits for one, but not for longer than a second or so."""


class HereWorkers:
    """This process: one unit after another."""

    are_elsewhere = False

    def __init__(self) -> None:
        self._unit: Unit | None = None

    def wants(self, n_ready: int) -> int:
        """One, when none is pending."""
        return min(n_ready, int(self._unit is None))

    def start(self, unit: Unit) -> None:
        """Remembers the unit for `wait`."""
        self._unit = unit

    def wait(self) -> list[Outcome]:
        """Runs the unit to its end."""
        unit, self._unit = self._unit, None
        return [run_unit(unit)] if unit else []


def run(units: Sequence[Unit], workers: Workers, show: Show = lambda _: None) -> dict[str, Outcome]:
    """Runs units; a failing one stops those that need it, and no other.

    Args:
      units: The units, in the order in which they start where they need nothing; keys are unique.
      workers: The workers.
      show: Called again and again with the progress; may raise `KeyboardInterrupt`.

    Returns:
      Outcomes by key; a unit that needs a failed one has none.

    Raises:
      HaltError: If further units would fail too; none is begun.
      StageInterrupt: After Ctrl-C; names what was going on.
      ValueError: If units need one another in a circle, or one that is not among them.
    """
    board, course = Board(units), _Course(units)
    outcomes: dict[str, Outcome] = {}
    running: dict[str, Unit] = {}
    try:
        while course.ready or running:
            for _ in range(workers.wants(len(course.ready))):
                unit = course.ready.popleft()
                running[unit.key] = unit
                board.move(unit.key, "running")
                workers.start(unit)
            show(board)
            for outcome in workers.wait():
                key = outcome.unit.key
                del running[key]
                outcomes[key] = outcome
                _log(outcome, is_last=not (running or course.ready))
                board.move(key, "failed" if outcome.error else "done")
                for left_out in course.end(key, succeeded=outcome.error is None):
                    board.move(left_out, "left out")
        show(board)
    except StageInterrupt:  # a unit in this process knows better what is kept of it
        raise
    except KeyboardInterrupt as error:
        kept = f"{board.count('done')} of {board.total} units are finished, and the others go on where they were"
        raise StageInterrupt(_doing(running), kept) from error
    return outcomes


def failures(outcomes: dict[str, Outcome]) -> dict[str, Exception]:
    """First error of each machine type that has one."""
    errors: dict[str, Exception] = {}
    for outcome in outcomes.values():
        if outcome.error is not None:
            errors.setdefault(outcome.unit.machine, outcome.error)
    return errors


def refuse(errors: Mapping[str, Exception], n_machines: int) -> None:
    """Names the machine types that have failed.

    Args:
      errors: Errors by machine type; an empty name stands for none of them.
      n_machines: Number of machine types that were asked for.

    Raises:
      GanadError: If there are any; the error itself if it is the only one, and no others could have gone on.
      Exception: If one of them is a bug.
    """
    for error in errors.values():
        if not isinstance(error, GanadError):
            raise error
    if not errors:
        return
    failed = [machine for machine in errors if machine]
    is_one_of_several = bool(failed) and n_machines > 1
    if len(errors) == 1 and not is_one_of_several:
        raise next(iter(errors.values()))
    sentences = list(dict.fromkeys(map(str, errors.values())))
    if is_one_of_several:
        which = f"{len(failed)} of {n_machines} machine types failed: {', '.join(failed)}"
        sentences.append(f"{which}. --only-failed runs them again.")
    raise DataError("\n".join(sentences))


class _Course:
    """The order of units.

    Attributes:
      ready: Units that can begin.
    """

    def __init__(self, units: Sequence[Unit]) -> None:
        self._units = {unit.key: unit for unit in units}
        if len(self._units) < len(units):
            raise ValueError(f"Expected different units. Received: {[unit.key for unit in units]}.")
        self._open = {unit.key: set(unit.needs) for unit in units}
        self._needed_by: dict[str, list[str]] = defaultdict(list)
        for unit in units:
            for need in unit.needs:
                self._needed_by[need].append(unit.key)
        self._check()
        self.ready = deque(unit for unit in units if not unit.needs)

    def end(self, key: str, *, succeeded: bool) -> list[str]:
        """Notes the end of a unit; returns the keys of those that can't begin any more."""
        left_out: list[str] = []
        for following in self._needed_by.pop(key, ()):
            if following not in self._open:
                continue
            if not succeeded:
                del self._open[following]
                left_out += [following, *self.end(following, succeeded=False)]
                continue
            self._open[following].discard(key)
            if not self._open[following]:
                self.ready.append(self._units[following])
        return left_out

    def _check(self) -> None:
        """Refuses circles and unknown needs."""
        degree = {key: len(needs) for key, needs in self._open.items()}
        reached = deque(key for key, count in degree.items() if not count)
        n_reached = 0
        while reached:
            n_reached += 1
            for following in self._needed_by.get(reached.popleft(), ()):
                degree[following] -= 1
                if not degree[following]:
                    reached.append(following)
        if n_reached < len(degree):
            stuck = [key for key, count in degree.items() if count]
            raise ValueError(f"Expected units that need others of the list and no circle. Received: {stuck}.")


def _doing(running: dict[str, Unit]) -> str:
    """The work that was going on, for a message."""
    keys = list(running)
    if not keys:
        return "handing out units"
    return f"running {keys[0]}" + (f" and {len(keys) - 1} more" if len(keys) > 1 else "")


def _log(outcome: Outcome, *, is_last: bool) -> None:
    """Logs what a worker has logged, and a failure, unless the command is about to end with its sentence."""
    for name, level, text in outcome.messages:
        target = logging.getLogger(name)
        if target.isEnabledFor(level):
            target.log(level, "%s", text)
    if outcome.error is not None and not is_last:
        logger.warning("%s failed: %s", outcome.unit.key, outcome.error)
    if outcome.error is None and outcome.host:
        logger.debug("%s: %.1f s on %s", outcome.unit.key, outcome.seconds, outcome.host)
