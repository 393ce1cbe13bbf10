"""A unit of work, and its outcome."""

import logging
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ganad_tf.errors import GanadError, HaltError
from ganad_tf.files import lock

PACKAGE = "ganad_tf"  # whose messages are carried from a worker to the command

Message = tuple[str, int, str]  # name of the logger, level, text


@dataclass(frozen=True)
class Unit:
    """A verb on a slice: everything that a worker needs to do it.

    Attributes:
      verb: The verb, such as `train`.
      name: The slice, such as `fan`; unique among the units of a verb.
      machine: Machine type that the slice is of.
      work: A function of a module, which any process can import.
      arguments: Its arguments; they are sent to workers.
      needs: `key` of each unit that has to succeed first.
    """

    verb: str
    name: str
    machine: str
    work: Callable[..., Any] = field(repr=False)
    arguments: tuple[Any, ...] = field(default=(), repr=False)
    needs: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Verb and slice, for messages and for `needs`."""
        return f"{self.verb} {self.name}"


@dataclass(frozen=True)
class Outcome:
    """The end of a unit.

    Attributes:
      unit: The unit.
      value: Result of its function; None if it has failed.
      error: Reason why it has failed; None if it has succeeded.
      seconds: Duration.
      host: Host of the worker.
      messages: Log of the package meanwhile, if a worker has to carry it to the command.
    """

    unit: Unit
    value: Any = None
    error: Exception | None = None
    seconds: float = 0.0
    host: str = ""
    messages: tuple[Message, ...] = ()


def run_unit(unit: Unit) -> Outcome:
    """Runs a unit in this process.

    Returns:
      The outcome; an error that a user can fix is its `error`.

    Raises:
      HaltError: If further units would fail too.
    """
    begin = time.monotonic()
    value, error = None, None
    try:
        value = unit.work(*unit.arguments)
    except HaltError:
        raise
    except GanadError as failure:
        error = failure
    return Outcome(unit, value, error, time.monotonic() - begin, platform.node())


@contextmanager
def recorded_log() -> Iterator[list[Message]]:
    """Yields the list of the package's log messages while the block runs; they go nowhere else."""
    package, messages = logging.getLogger(PACKAGE), _Recorder()
    package.addHandler(messages)
    propagates, package.propagate = package.propagate, False
    try:
        yield messages.records
    finally:
        package.removeHandler(messages)
        package.propagate = propagates


def patiently(unit: Unit, seconds: float) -> Outcome:
    """Runs a unit that waits for locks: a worker that was lost may hold them for a while, or one of another slice."""
    with lock.waiting(seconds):
        return run_unit(unit)


class _Recorder(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[Message] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append((record.name, record.levelno, record.getMessage()))
