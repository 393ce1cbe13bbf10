"""Workers on a Ray cluster: one long-lived process per core, in which TensorFlow is imported once.

A unit whose worker is lost, with its process, its node or its network, is given to another one. The loss of the
command ends its workers; the next command finds what they have finished.
"""

import contextlib
import logging
import math
import os
import platform
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions

from ganad_tf.engine import units, versions
from ganad_tf.engine.units import Outcome, Unit
from ganad_tf.errors import ConfigError, DataError, GanadError

logger = logging.getLogger(__name__)

LOCAL = "local"
TICK_SECONDS = 1.0  # between looks at the cluster and at Ctrl-C
CONNECT_SECONDS = 5.0
ATTEMPTS = 3  # of a unit whose worker is lost
LOCK_SECONDS = 3600.0  # that a unit waits for the lock of a worker that may be lost, or prepares the same features
OBJECT_STORE_BYTES = 100 * 2**20  # of a local cluster: units and outcomes are small


@dataclass(frozen=True)
class WorkerSettings:
    """Everything that a worker does before its first unit.

    Attributes:
      folder: Working directory of the command, which relative paths start from.
      needs_folder: Whether a node without it is refused.
      environment: Variables to set, such as the number of threads.
      log_level: Level of the package's log.
      set_up: A function of a module; imports TensorFlow.
    """

    folder: str
    needs_folder: bool
    environment: Mapping[str, str]
    log_level: int
    set_up: Callable[[], None]

    @classmethod
    def here(cls, set_up: Callable[[], None], *, needs_folder: bool = True) -> "WorkerSettings":
        """Settings with which a worker computes what this process would.

        Convolutions add up in another order with another number of threads, so it is the one that this process has:
        that of its cores, whatever the worker's node has.
        """
        affinity = getattr(os, "sched_getaffinity", None)  # TensorFlow counts the cores that the process may use
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        default = os.environ.get("OMP_NUM_THREADS", str(cores))
        names = {"OMP_NUM_THREADS": default, "OPENBLAS_NUM_THREADS": default, "TF_NUM_INTRAOP_THREADS": str(cores)}
        environment = {name: os.environ.get(name, value) for name, value in names.items()}
        level = logging.getLogger(units.PACKAGE).getEffectiveLevel()
        return cls(str(Path.cwd()), needs_folder, environment, level, set_up)


class Worker:
    """The actor: a process of the cluster that runs units."""

    def versions(self) -> tuple[str, dict[str, str]]:
        """Host and versions."""
        return platform.node(), versions.versions()

    def set_up(self, settings: WorkerSettings) -> None:
        """Prepares the process.

        Raises:
          ConfigError: If the node does not have the command's folder.
        """
        os.environ.update(settings.environment)
        try:
            os.chdir(settings.folder)
        except OSError as error:
            if settings.needs_folder:
                raise ConfigError(
                    f"Expected the folder {settings.folder} on every node of the cluster, unless all directories are "
                    f"URLs. Received: {error.strerror} on {platform.node()}."
                ) from error
        logging.getLogger(units.PACKAGE).setLevel(settings.log_level)
        settings.set_up()

    def run(self, unit: Unit) -> Outcome:
        """Runs a unit."""
        with units.recorded_log() as messages:
            outcome = units.patiently(unit, LOCK_SECONDS)
        return Outcome(unit, outcome.value, outcome.error, outcome.seconds, outcome.host, tuple(messages))


class RayWorkers:
    """Workers on the cluster that this process is connected to; as many as it has cores, if there is work for them.

    Args:
      settings: Settings of each worker.
    """

    are_elsewhere = True

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._versions = versions.versions()
        self._actor_class: Any = ray.remote(num_cpus=1)(Worker)
        self._starting: dict[Any, Any] = {}  # actors by what they promise
        self._checked: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Any, Unit]] = {}
        self._attempts: Counter[str] = Counter()
        self._again: list[Unit] = []
        self._cores, self._counted = 0, -math.inf

    def wants(self, n_ready: int) -> int:
        """As many units as workers are idle; starts further workers if there are cores."""
        n_wanted = n_ready + len(self._again)
        n_started = len(self._starting) + len(self._checked) + len(self._idle)
        n_most = self._count_cores() - len(self._running)
        for _ in range(n_started, min(n_wanted, n_most)):
            actor = self._actor_class.options(scheduling_strategy="SPREAD").remote()
            self._starting[actor.versions.remote()] = actor
        while self._again and self._idle:
            self._begin(self._again.pop())
        return min(n_ready, len(self._idle))

    def start(self, unit: Unit) -> None:
        """Gives a unit to an idle worker."""
        self._begin(unit)

    def wait(self) -> list[Outcome]:
        """Outcomes since the last call.

        Raises:
          ConfigError: If a worker has other versions or another file system.
        """
        promises = [*self._starting, *self._checked, *self._running]
        if not promises:
            time.sleep(TICK_SECONDS)  # the cluster has no cores at the moment
            return []
        ready, _ = ray.wait(promises, num_returns=1, timeout=TICK_SECONDS)
        outcomes = []
        for promise in ready:
            if promise in self._running:
                outcomes += self._ended(promise)
            else:
                self._go_on_starting(promise)
        return outcomes

    def _count_cores(self) -> int:
        """Cores of the cluster, counted again once a tick."""
        if time.monotonic() - self._counted >= TICK_SECONDS:
            self._cores, self._counted = int(ray.cluster_resources().get("CPU", 0)), time.monotonic()
        return self._cores

    def _begin(self, unit: Unit) -> None:
        actor = self._idle.pop()
        self._attempts[unit.key] += 1
        self._running[actor.run.remote(unit)] = (actor, unit)

    def _go_on_starting(self, promise: Any) -> None:
        """Checks the versions of a new worker, then lets it import TensorFlow, then lets it work."""
        is_new = promise in self._starting
        actor = self._starting.pop(promise) if is_new else self._checked.pop(promise)
        try:
            value = ray.get(promise)
            if is_new:
                host, there = value
                versions.refuse_others(self._versions, there, host)
                self._checked[actor.set_up.remote(self._settings)] = actor
            else:
                self._idle.append(actor)
        except exceptions.RayTaskError as error:
            if isinstance(error.cause, GanadError):
                raise error.cause from None
            raise ConfigError(
                f"Expected ganad_tf {self._versions['ganad_tf']} on every node of the cluster. Received: "
                f"{_last_line(error)}."
            ) from error
        except exceptions.RayError as error:  # lost before its first unit
            self._attempts[""] += 1
            if self._attempts[""] >= ATTEMPTS * 3:
                raise ConfigError(f"Expected workers that can start. Received: {_last_line(error)}.") from error

    def _ended(self, promise: Any) -> list[Outcome]:
        actor, unit = self._running.pop(promise)
        try:
            outcome: Outcome = ray.get(promise)
        except exceptions.RayTaskError as error:
            self._idle.append(actor)
            if isinstance(error.cause, GanadError):  # that stands in the way of further units too
                raise error.cause from None
            return [Outcome(unit, error=error)]
        except exceptions.RayError as error:
            with contextlib.suppress(exceptions.RayError):  # the worker may be gone
                ray.kill(actor)
            if self._attempts[unit.key] < ATTEMPTS:
                logger.warning("%s: its worker was lost, it is run again", unit.key)
                self._again.append(unit)
                return []
            lost = f"{unit.key}: its worker was lost {ATTEMPTS} times, the last time with: {_last_line(error)}"
            return [Outcome(unit, error=DataError(lost))]
        self._idle.append(actor)
        return [outcome]


@contextlib.contextmanager
def connected(address: str) -> Iterator[None]:
    """Connects this process to a cluster while the block runs, or starts one of this machine's cores.

    Args:
      address: `local`, or `HOST:PORT` of a cluster that this machine is a node of.

    Raises:
      ConfigError: If there is no cluster there.
    """
    known: dict[str, Any] = {"log_to_driver": False, "configure_logging": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        known |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _check_reachable(address)
    try:
        ray.init(address=address, **known)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError, exceptions.RayError) as error:
        hint = "" if "RAY_AUTH_MODE" in os.environ else "; one that asks for tokens needs RAY_AUTH_MODE=token"
        raise ConfigError(f"Expected a Ray cluster at {address}. Received: {_last_line(error)}{hint}.") from error
    try:
        yield
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or "/" in host:
        raise ConfigError(f"Expected `local` or HOST:PORT with --ray, as `ray start` prints it. Received: {address}.")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"Expected a Ray cluster at {address}, but it can't be reached ({reason}).") from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__
