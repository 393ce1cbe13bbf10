"""Datasets: the layout of the recordings on disk → one `Listing` of clips per machine type.

One module per layout, or per family of them; to add one, write a module, a line in `DATASETS` and, for a public data
set, a sheet in `fact_sheets.py`. `oddities.py` warns of suspicious recordings, `synthetic.py` writes toy machines.
Needs no TensorFlow.
"""

import difflib
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode
from ganad_tf.config.reader import nearest
from ganad_tf.datasets import (
    channels,
    classes,
    dcase2020,
    folder,
    imported,
    long_recordings,
    mimii,
    sections,
    synthetic,
    table,
    toyadmos,
)
from ganad_tf.datasets.base import OfLayout, recordings
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.run import MachineRun

__all__ = ["DATASETS", "list_clips", "recordings", "refuse_foreign"]

logger = logging.getLogger(__name__)

DATASETS: dict[str, OfLayout] = {
    "dcase2020": dcase2020.machine_types,
    **dict.fromkeys(sections.RELEASES, sections.machine_types),
    "mimii": mimii.machine_types,
    "toyadmos": toyadmos.machine_types,
    **dict.fromkeys(classes.LAYOUTS, classes.machine_types),
    "table": table.machine_types,
    "folder": folder.machine_types,
    "imported": imported.machine_types,
    "synthetic": synthetic.machine_types,
}


def list_clips(config: Config, mode: Mode, machines: Sequence[str] = ()) -> list[Listing]:
    """Lists the clips of all machine types, or of those in `machines`, in the order of the layout.

    Folders of other machine types are not looked into where the layout has one per machine type.

    Raises:
      ConfigError: If the dataset or a machine type is unknown.
      DataError: If the data directory is missing or holds no clips.
    """
    if config.dataset.name not in DATASETS:
        raise ConfigError(f"Unknown `dataset.name` {config.dataset.name!r}{nearest(config.dataset.name, DATASETS)}")
    directory = config.data_directory(mode)
    key = f"{mode}_directory"
    if not directory.is_dir():
        advice = "run `ganad prepare`, which makes them" if config.dataset.name == "synthetic" else f"set `{key}`"
        raise DataError(f"Expected a folder of recordings in {directory}, but there is none; {advice}.")
    _refuse_inside(config, directory, key)
    types = DATASETS[config.dataset.name](directory, mode, config.dataset)
    for machine in machines:
        if machine not in types:
            raise ConfigError(f"No machine `{machine}` in {directory}{nearest(machine, types)}")
    _warn_of_unlisted(config, types, directory)
    chosen = [listing() for machine, listing in types.items() if not machines or machine in machines]
    empty = [listing for listing in chosen if not listing.clips and not listing.foreign]
    if not chosen or empty:
        folders = [listing.directory / listing.machine for listing in empty]
        where = ", ".join(str(folder) for folder in folders if folder.is_dir()) or str(directory)
        raise DataError(
            f"Expected clips in the layout `{config.dataset.name}`, but found none in {where}; "
            f"set `{key}` or `dataset.name`."
        )
    for listing in chosen:
        if listing.note:
            logger.info("%s.", listing.note)
    return [_with_parts(listing, config.for_machine(listing.machine)) for listing in chosen]


def _with_parts(listing: Listing, config: Config) -> Listing:
    """The listing with a clip of each channel and each span of a recording, as the settings say."""
    return long_recordings.cut(channels.split(listing, config), config)


def _warn_of_unlisted(config: Config, known: Collection[str], directory: Path) -> None:
    """Warns of settings for machine types that have no clips, perhaps because of a spelling mistake."""
    unlisted = [machine for machine in config.machines if machine not in known]
    guesses = {machine: difflib.get_close_matches(machine, known, n=1) for machine in unlisted}
    names = [
        f"`{machine}` (did you mean `{close[0]}`?)" if close else f"`{machine}`" for machine, close in guesses.items()
    ]
    if names:
        logger.warning("`machines` has settings of %s, of which there are no clips in %s.", ", ".join(names), directory)


def _refuse_inside(config: Config, directory: Path, key: str) -> None:
    """Refuses output directories inside the data directory, where their files would be listed as recordings."""
    for name in ("cache_directory", "model_directory", "result_directory"):
        ours = Path(getattr(config, name)).resolve()
        if config.dataset.name != "imported" and directory.resolve() in (ours, *ours.parents):
            raise ConfigError(
                f"Expected `{name}` outside of `{key}`. Received: {ours}, which is in {directory.resolve()}."
            )


def refuse_foreign(runs: Sequence[MachineRun]) -> None:
    """Refuses files that don't fit the layout, or warns of them if `on_bad_clip` is `skip`.

    Raises:
      DataError: Names them all.
    """
    foreign = [line for run in runs for line in run.listing.foreign]
    if foreign and runs[0].config.on_bad_clip == "error":
        lines = "\n  ".join(foreign)
        what = "1 file or folder doesn't" if len(foreign) == 1 else f"{len(foreign)} files or folders don't"
        raise DataError(
            f"{what} fit the layout `{runs[0].config.dataset.name}`; "
            f"move {'it' if len(foreign) == 1 else 'them'}, or set `on_bad_clip: skip`:\n  {lines}"
        )
    for line in foreign:
        logger.warning("left out: %s", line)
