"""Units for workers that share no disk: sent with URLs, done on images in the worker's own scratch, then published.

A unit whose directories are URLs is wrapped into one that first fetches what it reads, and in the end publishes what it
wrote. So what one worker has finished, others and the command see in the store, and nowhere else.
"""

import dataclasses
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf import config as configuration
from ganad_tf.cache import blocks
from ganad_tf.cache.blocks import Block
from ganad_tf.cli.needs import CACHE, OF_UNITS, RESULT, Needs
from ganad_tf.config import Config
from ganad_tf.config.sections import Storage
from ganad_tf.engine.units import Unit
from ganad_tf.run import MachineRun
from ganad_tf.search.trial import Laboratory
from ganad_tf.search.trials import Job, run_jobs
from ganad_tf.storage import fetching, publishing
from ganad_tf.storage.folder import Folder
from ganad_tf.storage.scratch import own_scratch
from ganad_tf.storage.units import BLOCKS
from ganad_tf.storage.workspace import Workspace


@dataclass(frozen=True)
class SentConfig:
    """A configuration with URLs, for any scratch directory.

    Attributes:
      settings: Content of its YAML file.
      scratch: Scratch directory of a node; None for the one in the home folder that the node has.
    """

    settings: Mapping[str, Any]
    scratch: str | None

    @classmethod
    def of(cls, config: Config) -> "SentConfig":
        """A configuration of the command."""
        scratch = None if config.storage.scratch is None else str(config.storage.directory)
        return cls(configuration.to_dict(config), scratch)

    @property
    def own_scratch(self) -> Path:
        """Scratch directory of this process."""
        return own_scratch(Storage(self.scratch).directory)

    def here(self) -> Config:
        """The configuration with images in the scratch directory of this process."""
        return configuration.from_mapping(self.with_scratch(self.settings), source="the command's configuration")

    def with_scratch(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings with the scratch directory of this process."""
        return {**settings, "storage": {**settings.get("storage", {}), "scratch": str(self.own_scratch)}}


@dataclass(frozen=True)
class SentRun:
    """A machine type's run without paths of the command's machine.

    Attributes:
      config: Its configuration.
      run: The run as in the command.
      directory: Directory of its recordings, relative to the scratch directory if they are in a URL.
    """

    config: SentConfig
    run: MachineRun
    directory: Path

    @classmethod
    def of(cls, run: MachineRun) -> "SentRun":
        """A run of the command."""
        return cls(SentConfig.of(run.config), run, _in_scratch(run.listing.directory, run.config))

    def here(self) -> MachineRun:
        """The run in this process, with placeholders of its recordings."""
        config, directory = self.config.here(), Path(self.config.own_scratch, self.directory)
        listing = dataclasses.replace(self.run.listing, directory=directory)
        if config.dataset.name != "imported":  # whose clips are of no recordings
            Workspace(config).place(listing.clips, directory)
        return dataclasses.replace(self.run, config=config, listing=listing)


def sent(units: Iterable[Unit]) -> list[Unit]:
    """Units of runs, their first argument, as they are sent to workers; those without URLs as they are."""
    return [
        dataclasses.replace(
            unit,
            work=run_sent,
            arguments=(unit.work, SentRun.of(unit.arguments[0]), unit.arguments[1:], OF_UNITS[unit.verb]),
        )
        if Workspace(unit.arguments[0].config).is_remote
        else unit
        for unit in units
    ]


def run_sent(work: Callable[..., Any], sent_run: SentRun, more: Sequence[Any], needs: Needs) -> Any:
    """Fetches what a unit reads, runs it, and publishes what it wrote.

    Args:
      work: The unit's function.
      sent_run: Its first argument.
      more: Its other arguments.
      needs: Directories that it reads and writes.

    Raises:
      GanadError: If something can't be fetched or published, or as the function.
    """
    run = sent_run.here()
    _fetch(run, needs.reads)
    value = work(run, *more)
    Workspace(run.config).publish(run.mode, [run.machine], needs.writes)
    return value


def sent_trial(unit: Unit) -> Unit:
    """A unit of trials as it is sent to a worker; as it is without URLs."""
    base = unit.arguments[0].base
    if not Workspace(base.config).is_remote:
        return unit
    return dataclasses.replace(unit, work=run_trials, arguments=(SentRun.of(base), *unit.arguments))


def run_trials(base: SentRun, laboratory: Laboratory, jobs: Sequence[Job], forgets: bool) -> None:
    """Fetches the cache of a machine type and runs trials; arguments as of `run_jobs`; raises as `run_sent`."""
    run = base.here()
    _fetch(run, OF_UNITS["trial"].reads)
    mapping = base.config.with_scratch(laboratory.mapping)
    run_jobs(dataclasses.replace(laboratory, base=run, mapping=mapping), jobs, forgets)


def sent_block(unit: Unit, block: Block) -> Unit:
    """The unit of a block as it is sent to a worker; as it is without URLs."""
    config = block.config
    if not Workspace(config).is_remote:
        return unit
    paths = _in_scratch(block.cache, config), _in_scratch(block.directory, config)
    arguments = (unit.work, SentConfig.of(config), block, *paths, unit.arguments[1:])
    return dataclasses.replace(unit, work=process_sent, arguments=arguments)


def process_sent(
    work: Callable[..., int], config: SentConfig, block: Block, cache: Path, directory: Path, more: Sequence[Any]
) -> int:
    """Fetches recordings, computes the log-mels of a block and publishes it, unless that is done.

    Args:
      work: The unit's function.
      config: The configuration.
      block: The block as in the command.
      cache: Cache directory, relative to the scratch directory if it is in a URL.
      directory: Directory of the recordings, likewise.
      more: Further arguments of the function.

    Returns:
      Number of clips.

    Raises:
      GanadError: If something can't be fetched or published, or as the function.
    """
    there, scratch = config.here(), config.own_scratch
    here = dataclasses.replace(block, config=there, cache=Path(scratch, cache), directory=Path(scratch, directory))
    folder = _blocks(here)
    if folder and folder.is_whole(here.path.name):
        return len(block.clips)
    Workspace(there).place(here.clips, here.directory)
    count = work(here, *more)
    if folder:
        publishing.publish(folder)
        shutil.rmtree(here.path)
    return count


def fetch_blocks(block: Block) -> None:
    """Fetches all finished blocks of a block's cache, if it is in a URL; raises as `Workspace.fetch`."""
    if folder := _blocks(block):
        fetching.fetch(folder)


def remove_blocks(block: Block) -> None:
    """Removes all blocks of a block's cache in the store, if it is in a URL."""
    if folder := _blocks(block):
        publishing.remove(folder)


def publish_caches(runs: Iterable[MachineRun]) -> None:
    """Publishes the caches of runs, for workers; raises as `Workspace.publish`."""
    for run, machines in _by_directory(runs, CACHE):
        Workspace(run.config).publish(run.mode, machines, [CACHE])


def fetch_scores(units: Iterable[Unit]) -> None:
    """Fetches the scores that units have published; raises as `Workspace.fetch`."""
    for run, machines in _by_directory((unit.arguments[0] for unit in units if unit.verb == "score"), RESULT):
        Workspace(run.config).fetch(run.mode, machines, [RESULT])


def _fetch(run: MachineRun, directories: Iterable[str]) -> None:
    for directory in directories:
        # Evaluation data may need the detector of the development data.
        mode = run.mode if directory == CACHE else None
        Workspace(run.config).fetch(mode, [run.machine], [directory])


def _by_directory(runs: Iterable[MachineRun], directory: str) -> list[tuple[MachineRun, list[str]]]:
    """A run and the names of all machine types for each directory that runs have."""
    found: dict[str, tuple[MachineRun, list[str]]] = {}
    for run in runs:
        found.setdefault(getattr(run.config, directory), (run, []))[1].append(run.machine)
    return list(found.values())


def _blocks(block: Block) -> Folder | None:
    """The folder of a cache's blocks, if it is in a URL."""
    folder = Folder(BLOCKS, block.cache / blocks.FOLDER, block.config.storage)
    return folder if folder.url != str(folder.path) else None


def _in_scratch(path: Path, config: Config) -> Path:
    scratch = config.storage.directory
    return path.relative_to(scratch) if path.is_relative_to(scratch) else path
