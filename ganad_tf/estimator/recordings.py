"""Recordings as a script has them, paths or arrays → clips of a listing for training, or samples for scoring."""

import dataclasses
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import audio
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio
from ganad_tf.datasets.base import Recording, make_clip
from ganad_tf.datasets.groups import by_setting
from ganad_tf.errors import DataError
from ganad_tf.features import fewest_samples

logger = logging.getLogger(__name__)

MACHINE_ID = "00"  # as of a folder of recordings
AUTO = "auto"
FULL_SCALE = 2**15  # of int16 samples

Recordings = Iterable[str | os.PathLike[str] | np.ndarray]  # an array `[clips, samples]` is one too
Item = Path | np.ndarray


def items_of(recordings: Recordings) -> list[Item]:
    """The recordings one by one: absolute paths, or arrays of any type and shape.

    Raises:
      DataError: If it is no list of paths or arrays, or empty.
    """
    if isinstance(recordings, str | os.PathLike):
        raise DataError(f"Expected a list of recordings. Received: the path {recordings}; put it into a list.")
    given: Any = recordings
    if getattr(given, "ndim", 2) != 2 and np.asarray(given).dtype.kind not in "OUS":
        raise DataError(
            f"Expected a list of clips or an array [clips, samples]. Received: an array of shape {np.shape(given)}."
        )
    try:
        items = [_item(recording, number) for number, recording in enumerate(recordings)]
    except TypeError as error:
        raise DataError(f"Expected a list of paths or arrays. Received: {type(recordings).__name__}.") from error
    if not items:
        raise DataError("Expected at least one recording. Received: none.")
    return items


def waveform(item: Item, number: int, config: Config, fewest: int | None = None) -> np.ndarray:
    """Samples `[samples]` float32 of a recording, as `audio.read` reads them.

    Args:
      item: The recording.
      number: Its index, for messages.
      config: Settings of audio and features.
      fewest: Minimum number of samples; None for that of the features.

    Raises:
      DataError: If it can't be used; names it.
    """
    fewest = fewest_samples(config.feature) if fewest is None else fewest
    if isinstance(item, Path):
        return audio.read(item, config.audio, fewest_samples=fewest)
    try:
        return _checked(item, fewest)
    except DataError as error:
        raise DataError(f"{name_of(item, number)}: {error}") from error


def name_of(item: Item, number: int) -> str:
    """Name of a recording in messages: its path, or its index."""
    return str(item) if isinstance(item, Path) else f"Recording {number}"


def list_training(
    recordings: Recordings, config: Config, machine: str, folder: Path, groups: Sequence[object] | str | None
) -> tuple[Listing, list[Clip]]:
    """Lists recordings for training, all of them normal.

    Args:
      recordings: Paths of different files, or arrays, which are written to `folder` without loss.
      config: Settings of audio and features.
      machine: Name of the machine.
      folder: Folder for the files of arrays.
      groups: Per recording the name of the longer one that it is a part of; None if each stands alone; `auto` for a
        guess by the names of files, as `ganad` makes it, which is logged.

    Returns:
      The listing, sorted by name, and its clips in the order of `recordings`.

    Raises:
      DataError: If recordings can't be used; names them all.
    """
    items = items_of(recordings)
    if isinstance(groups, str) and groups != AUTO:
        raise DataError(
            f"Expected a list with a group per recording, `{AUTO}` or None as `groups`. Received: {groups}."
        )
    if groups is not None and not isinstance(groups, str) and len(groups) != len(items):
        raise DataError(f"Expected one group per recording. Received: {len(groups)} of {len(items)} recordings.")
    are_arrays = isinstance(items[0], np.ndarray)
    paths = _written(items, config, folder) if are_arrays else _different_files(items)
    directory = Path(os.path.commonpath([path.parent for path in paths]))
    clips = [_clip(path, directory, machine) for path in paths]
    if isinstance(groups, str):
        groups = None if are_arrays else _guessed_groups(paths, directory)
    if groups is not None:
        clips = [dataclasses.replace(clip, group=str(group)) for clip, group in zip(clips, groups, strict=True)]
    # In the order of paths, as `ganad` lists a folder, so that a script's own order changes no digit.
    ordered = sorted(clips, key=lambda clip: Path(clip.file))
    return Listing(machine, directory, tuple(ordered)), clips


def write_wav(path: Path, samples: np.ndarray, settings: Audio) -> None:
    """Writes samples `[samples]` float32 so that `audio.read` returns them to the last bit."""
    import scipy.io.wavfile  # soundfile would write the time as well, and equal arrays would not be equal files

    n_channels = settings.channel + 1 if isinstance(settings.channel, int) else 1
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = np.repeat(samples[:, np.newaxis], n_channels, axis=1)
    scipy.io.wavfile.write(path, settings.sample_rate, columns)


def list_written(folder: Path, machine: str) -> Listing:
    """Lists the files that `write_wav` wrote to a folder."""
    return Listing(machine, folder, tuple(_clip(path, folder, machine) for path in sorted(folder.glob("*.wav"))))


def refuse_faults(faults: Sequence[DataError], n_recordings: int) -> None:
    """Raises one error that holds the messages of all.

    Raises:
      DataError: If there are any.
    """
    if faults:
        reasons = "\n  ".join(str(fault) for fault in faults)
        raise DataError(f"{len(faults)} of {n_recordings} recordings can't be used:\n  {reasons}")


def _item(recording: object, number: int) -> Item:
    if isinstance(recording, str | os.PathLike):
        path = os.path.abspath(recording)  # noqa: PTH100 - `resolve` would follow links
        return Path(path)
    try:
        return np.asarray(recording)
    except ValueError as error:  # such as a pair of samples and rate
        raise DataError(
            f"Recording {number}: expected a path or an array. Received: {type(recording).__name__}."
        ) from error


def _checked(samples: np.ndarray, fewest: int) -> np.ndarray:
    """Samples `[samples]` of floating-point numbers or int16 as float32 with full scale 1."""
    if samples.ndim != 1:
        raise DataError(f"expected an array [samples] of one channel. Received: the shape {samples.shape}.")
    if samples.dtype != np.int16 and samples.dtype.kind != "f":
        raise DataError(f"expected floating-point samples from -1 to 1, or int16. Received: {samples.dtype}.")
    if len(samples) < fewest:
        raise DataError(f"expected at least {fewest} samples, received {len(samples)}.")
    with np.errstate(over="ignore"):  # infinity is refused
        converted = samples.astype(np.float32)
    if samples.dtype == np.int16:
        converted /= FULL_SCALE
    audio.check_samples(converted)
    return converted


def _written(items: Sequence[Item], config: Config, folder: Path) -> list[Path]:
    """Files of arrays, after all of them have been checked."""
    faults: list[DataError] = []
    paths = [folder / f"{number:07d}.wav" for number in range(len(items))]
    for number, (item, path) in enumerate(zip(items, paths, strict=True)):
        if isinstance(item, Path):
            raise DataError(f"Expected either paths or arrays. Received: the path {item} among arrays.")
        try:
            samples = waveform(item, number, config)
        except DataError as error:
            faults.append(error)
        else:
            write_wav(path, samples, config.audio)
    refuse_faults(faults, len(items))
    return paths


def _guessed_groups(paths: Sequence[Path], directory: Path) -> list[str]:
    """Groups of files by their names; empty for those that stand alone."""
    files = [Recording(path, directory, label=0, split="train", machine_id=MACHINE_ID) for path in paths]
    by_path, note = by_setting(AUTO, files, directory, advice="pass `groups=None`")
    if note:
        logger.info("%s.", note)
    return [by_path.get(path, "") for path in paths]


def _different_files(items: Sequence[Item]) -> list[Path]:
    paths: list[Path] = []
    faults: list[DataError] = []
    seen: set[Path] = set()
    for number, item in enumerate(items):
        if not isinstance(item, Path):
            raise DataError(f"Expected either paths or arrays. Received: recording {number}, an array, among paths.")
        if not item.is_file():
            faults.append(DataError(f"{item}: expected an audio file, but there is none."))
        elif not str(item).isprintable():
            faults.append(DataError(f"{item}: expected a name in printable characters."))
        elif item in seen:
            faults.append(DataError(f"{item}: expected each recording once, but it is there again."))
        seen.add(item)
        paths.append(item)
    refuse_faults(faults, len(paths))
    return paths


def _clip(path: Path, directory: Path, machine: str) -> Clip:
    name = path.relative_to(directory).as_posix()
    return make_clip(path, directory, machine=machine, machine_id=MACHINE_ID, split="train", label=0, name=name)
