"""Directories that verbs and their units read and write: of those that are URLs, images are fetched and published."""

import argparse
from pathlib import Path
from typing import NamedTuple

from ganad_tf import config as configuration
from ganad_tf.config import Config
from ganad_tf.errors import GanadError

CACHE, MODEL, RESULT, EXPORT = "cache_directory", "model_directory", "result_directory", "export_directory"


class Needs(NamedTuple):
    """Directories that are read and written, besides the recordings, which all verbs list."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


OF_VERBS = {
    "list": Needs((CACHE,)),
    "prepare": Needs((CACHE,), (CACHE,)),
    "select": Needs((CACHE, MODEL), (MODEL,)),
    "search": Needs((CACHE,), (CACHE,)),
    "train": Needs((CACHE, MODEL), (MODEL,)),
    "score": Needs((CACHE, MODEL, RESULT), (CACHE, RESULT)),
    "evaluate": Needs((CACHE, RESULT), (RESULT,)),
    "submission": Needs((CACHE, MODEL, RESULT)),
    "run": Needs((CACHE, MODEL, RESULT), (CACHE, MODEL, RESULT)),
    "export": Needs((CACHE, MODEL, RESULT, EXPORT), (EXPORT,)),
}
# Of a command whose workers publish models and scores themselves.
WITH_WORKERS = {"train": Needs((MODEL,)), "run": Needs((CACHE, MODEL, RESULT), (CACHE, RESULT))}
OF_UNITS = {
    "train": Needs((CACHE, MODEL), (MODEL,)),
    "score": Needs((CACHE, MODEL, RESULT), (RESULT,)),
    "trial": Needs((CACHE,)),
}


def of_command(options: argparse.Namespace) -> Needs | None:
    """Directories of the process of a command; None of a verb that takes no URLs."""
    verb = options.verb.__name__.rstrip("_")
    has_workers = getattr(options, "ray", None) is not None
    return (WITH_WORKERS if has_workers else {}).get(verb, OF_VERBS.get(verb))


def configuration_of(options: argparse.Namespace) -> Config | None:
    """The configuration of a verb that takes one; None without one, or if it can't be read."""
    path = getattr(options, "config", None)
    if not path or Path(path).is_dir():
        return None
    try:
        return configuration.load(path, options.set)
    except GanadError:  # the verb says so, if it has no other reason to refuse its arguments
        return None


def needs_folder(options: argparse.Namespace) -> bool:
    """Whether workers need the folder that the command is run in: unless all that they read and write is in URLs."""
    config, verb = configuration_of(options), options.verb.__name__
    if config is None or verb == "search" or config.tensorboard.directory:
        return True
    directories = {directory for needs in OF_VERBS[verb] for directory in needs}
    if config.dataset.name != "imported":
        directories.add(f"{options.mode}_directory")
    paths = [getattr(config, directory) for directory in directories]
    return any(config.storage.location(path) == path for path in paths)
