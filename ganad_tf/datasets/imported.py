"""Imported log-mels: the clips of the caches that `tools/import_logmel.py` wrote.

There are no recordings; the data directory is the cache directory of the mode, with a cache per machine type and
split.
"""

from functools import partial
from pathlib import Path

from ganad_tf.cache import manifest
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets.base import MachineTypes, folders


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """Each folder of `directory`, by its name."""
    del mode, settings  # the manifests hold all that is needed
    return {folder.name: partial(_list_machine, directory, folder.name) for folder in folders(directory)}


def _list_machine(directory: Path, machine: str) -> Listing:
    clips: list[Clip] = []
    for split in ("train", "test"):
        cache = directory / machine / split
        if cache.is_dir():
            clips.extend(entry.clip for entry in manifest.load(cache).entries)
    return Listing(machine, directory, tuple(clips))
