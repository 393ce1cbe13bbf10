"""Log-mels made elsewhere: the clips are those of the caches that `tools/import_logmel.py` wrote.

There are no recordings; the data directory is the cache directory of the mode, and holds
`<machine>/{train,test}/manifest.json`.
"""

from pathlib import Path

from ganad_tf.cache import manifest
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.input_sections import Dataset
from ganad_tf.datasets.base import visible


def list_clips(directory: Path, mode: Mode, settings: Dataset) -> list[Listing]:
    """One listing per folder of `directory`."""
    del mode, settings  # the manifests say all
    return [_list_machine(directory, machine.name) for machine in visible(directory) if machine.is_dir()]


def _list_machine(directory: Path, machine: str) -> Listing:
    clips: list[Clip] = []
    for split in ("train", "test"):
        cache = directory / machine / split
        if cache.is_dir():
            clips.extend(entry.clip for entry in manifest.load(cache).entries)
    return Listing(machine, directory, tuple(clips))
