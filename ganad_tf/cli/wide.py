"""The workers of a verb, in this process or with `--ray` on a cluster, and what is left of those that fail."""

import argparse
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from ganad_tf import config as configuration
from ganad_tf.cli import environment, needs, terminal
from ganad_tf.config import Config
from ganad_tf.engine import driver
from ganad_tf.engine.driver import HereWorkers, Workers
from ganad_tf.engine.failures import Failures
from ganad_tf.errors import ConfigError
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)


@contextmanager
def workers(options: argparse.Namespace) -> Iterator[Workers]:
    """Yields the workers that --ray asks for; without it, this process.

    Raises:
      ConfigError: If Ray is not installed, or there is no cluster.
    """
    if options.ray is None:
        yield HereWorkers()
        return
    environment.set_ray_defaults()  # before Ray is imported
    try:
        from ganad_tf.engine import ray_workers
    except ModuleNotFoundError as error:
        raise ConfigError(f"--ray needs {error.name}; install the extra: pip install 'ganad_tf[ray]'.") from error
    with ExitStack() as stack:
        with terminal.silenced():
            stack.enter_context(ray_workers.connected(options.ray))
        yield ray_workers.RayWorkers(ray_workers.WorkerSettings.here(set_up, needs_folder=needs.needs_folder(options)))


def set_up() -> None:
    """Prepares a worker's process: TensorFlow as the command line has it, and no progress on a stream of its own."""
    logging.getLogger(terminal.__name__).setLevel(logging.WARNING)
    terminal.import_tensorflow()


def nothing_failed(options: argparse.Namespace) -> bool:
    """Limits the machine types to those that have failed, with --only-failed; True if there are none."""
    if not options.only_failed:
        return False
    failed = _failures(options, configuration.load(options.config, options.set)).read()
    options.machine = [machine for machine in failed if not options.machine or machine in options.machine]
    if not options.machine:
        logger.info("no machine type has failed; nothing is left to do")
    return not options.machine


def conclude(
    options: argparse.Namespace, runs: Sequence[MachineRun], errors: Mapping[str, Exception], *, writes: bool = True
) -> None:
    """Notes which machine types have failed, and names them.

    Args:
      options: Of the command line.
      runs: The machine types that the command was run for.
      errors: Errors by machine type.
      writes: Whether it is noted by this process, and not by another worker.

    Raises:
      GanadError: If one has failed.
    """
    machines = [run.machine for run in runs]
    if writes:
        _failures(options, runs[0].config).update(machines, {name: errors[name] for name in machines if name in errors})
    driver.refuse(errors, len(set(machines)))


def without(runs: Iterable[MachineRun], errors: Mapping[str, Exception]) -> list[MachineRun]:
    """The runs of machine types that have not failed."""
    return [run for run in runs if run.machine not in errors]


def _failures(options: argparse.Namespace, config: Config) -> Failures:
    """The list of failed machine types, beside the results; that of `prepare`, which may have none, in the cache."""
    verb = options.verb.__name__
    directory = config.cache_directory if verb == "prepare" else config.result_directory
    return Failures.of(directory, verb, options.mode)
