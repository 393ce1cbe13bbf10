"""Directories that are URLs, for the verbs: what one reads is fetched first, what it wrote is published afterwards."""

import argparse
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ganad_tf.cli import needs, terminal, workflow
from ganad_tf.cli.needs import CACHE
from ganad_tf.config import Config
from ganad_tf.config.paths import is_url
from ganad_tf.config.sections import Storage
from ganad_tf.errors import ConfigError
from ganad_tf.serving.models import versions
from ganad_tf.storage.store import Store
from ganad_tf.storage.workspace import Workspace, fetch_files

logger = logging.getLogger(__name__)


@contextmanager
def directories(options: argparse.Namespace) -> Iterator[None]:
    """Context of a verb; without URLs in its configuration it does nothing.

    After an error nothing is published; what is finished stays in the scratch directory for the next call.

    Raises:
      ConfigError: If a directory can't be a URL for this verb, a file system is not installed, or there are no
        credentials or no such bucket.
      DataError: If something can't be fetched or published.
    """
    of_command, config = needs.of_command(options), needs.configuration_of(options)
    workspace = Workspace(config) if config else None
    if of_command is None or workspace is None or not workspace.is_remote:
        yield
        return
    assert config is not None
    _check(config, options)
    listed = CACHE if config.dataset.name == "imported" else f"{options.mode}_directory"
    reads = dict.fromkeys([listed, *of_command.reads])
    for directory in reads:
        mode = options.mode if directory == CACHE else None
        with terminal.bar(f"{directory} fetch", "unit") as progress:
            workspace.fetch(mode, options.machine, [directory], progress)
    if config.dataset.name == "synthetic" and options.verb.__name__ in ("prepare", "run"):
        workflow.make_synthetic(config, options.mode)
        workspace.publish_recordings(options.mode)
    yield
    done = workspace.publish(None, options.machine, of_command.writes)
    if done.units:
        logger.info("published %d units", len(done.units))


def local_path(location: str) -> Path:
    """Path of a file or folder; what is in a URL is fetched first.

    Raises:
      ConfigError: If a file system is not installed, or there are no credentials or no such bucket.
      StorageError: If there is nothing, or it can't be fetched.
    """
    return fetch_files(location) if is_url(location) else Path(location)


def local_model(location: str) -> str:
    """Path of an exported model in a URL, whose newest version is fetched first; raises as `local_path`."""
    return str(fetch_files(newest_version(location)))


def newest_version(url: str) -> str:
    """URL of the newest version in a folder of versions of an exported model; the URL itself if it is none."""
    names = [name.partition("/") for name in Store(url, Storage()).find(url)]
    numbers = [int(folder) for folder, is_folder, _ in names if is_folder and versions.NUMBER.fullmatch(folder)]
    return f"{url.rstrip('/')}/{max(numbers)}" if numbers else url


def _check(config: Config, options: argparse.Namespace) -> None:
    """Refuses URLs where they are of no use.

    Raises:
      ConfigError: Names the setting.
    """
    if (
        options.verb.__name__ == "search"
        and config.search.directory is None
        and (config.storage.location(config.result_directory) != config.result_directory)
    ):
        raise ConfigError(
            "Expected a local `search.directory` for a search whose `result_directory` is a URL: its trials go on from "
            "files that change all the time."
        )
    if config.search.directory and is_url(config.search.directory):
        raise ConfigError(f"Expected a local `search.directory`. Received: {config.search.directory}.")
    if config.tensorboard.directory and is_url(config.tensorboard.directory):
        raise ConfigError(f"Expected a local `tensorboard.directory`. Received: {config.tensorboard.directory}.")
