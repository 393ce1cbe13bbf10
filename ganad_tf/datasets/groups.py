"""Recordings that several files are parts of, such as `rec12_001.wav` and `rec12_002.wav`, or channels of one take."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganad_tf.config.sections import GroupTable
from ganad_tf.datasets import tables
from ganad_tf.datasets.base import Recording
from ganad_tf.errors import DataError
from ganad_tf.splits import grouped

KEY = "dataset.folder.group"
DENSE = 2.0  # numbers of the parts of a recording span at most so many times their count
LEAST_SHARE = 0.5  # of the files that a guess must explain

_CHANNEL = re.compile(
    r"(?P<stem>.*?[^\W_].*?)([-_. ]+|(?<=\d))(ch|chan|channel|mic|kanal)[-_. ]?(?P<number>\d{1,3})", re.I
)
_PART = re.compile(
    r"(?P<stem>.*?[^\W_].*?)[-_. ]+(?:part|seg|segment|clip|piece|chunk|slice|cut|teil)?[-_. ]?(?P<number>\d{1,9})",
    re.I,
)
_MACHINE_ID = re.compile(r"(.*[-_. /])?(id|section)[-_. ]?\d*", re.I)  # a machine, of which there are many recordings
_DATE = re.compile(r".*(19|20)\d\d[-_.]?\d\d([-_. T]?\d\d)*", re.I)  # two digits after it are a part of it


def by_setting(
    setting: str | GroupTable,
    recordings: Sequence[Recording],
    folder: Path,
    *,
    advice: str = f"set `{KEY}: file`",
) -> tuple[dict[Path, str], str]:
    """Groups of recordings by the setting `dataset.folder.group`.

    Args:
      setting: The setting.
      recordings: Recordings of a machine. Guesses are drawn from the normal ones, which a pattern must fit.
      folder: The machine's folder.
      advice: Advice to those whose recordings are no parts of others, to end a note with.

    Returns:
      The group of each recording that has one, and a note on what was guessed; empty if nothing was.

    Raises:
      DataError: If the pattern does not fit a normal recording, or the list can't be read.
    """
    if isinstance(setting, GroupTable):
        return _listed(Path(setting.csv), [recording.path for recording in recordings], folder), ""
    if setting == "file":
        return {}, ""
    if setting == "folder":
        return {recording.path: recording.sub_folder for recording in recordings if recording.sub_folder}, ""
    if setting == "auto":
        return _guessed(recordings, folder, advice)
    matches = {recording.path: re.search(setting, recording.path.name) for recording in recordings}
    found = {path: match[1] for path, match in matches.items() if match and match[1]}
    normal = [recording.path for recording in recordings if recording.label == 0]
    misfits = [path for path in normal if path not in found]
    if misfits:
        raise DataError(
            f"Expected `{KEY}: {setting}` to fit the name of every normal recording. Received: {len(misfits)} of "
            f"{len(normal)} names in {folder} that it does not fit, such as {misfits[0].name}."
        )
    return found, ""


def refuse_unknown(table: Path, by_folder: Mapping[Path, Sequence[Path]], directory: Path) -> None:
    """Refuses a list that names files which are no recordings of any machine.

    Args:
      table: The CSV file.
      by_folder: The recordings in each machine's folder.
      directory: The data directory, for messages.

    Raises:
      DataError: If it does, or can't be read.
    """
    names = [tables.Names(paths, folder) for folder, paths in by_folder.items()]
    missing = [name for name in tables.read(table, ["group"], KEY) if not any(known.find(name) for known in names)]
    if missing:
        raise tables.unknown(table, missing, KEY, directory)


def _listed(table: Path, paths: Sequence[Path], folder: Path) -> dict[Path, str]:
    """Groups by a CSV file, which may name other machines' recordings too."""
    names = tables.Names(paths, folder)
    rows = tables.read(table, ["group"], KEY)
    found = {name: names.find(name) for name in rows}
    return {path: rows[name]["group"] for name, path in found.items() if path and rows[name]["group"]}


def _guessed(recordings: Sequence[Recording], folder: Path, advice: str) -> tuple[dict[Path, str], str]:
    """Groups by file names, if these leave no doubt, and a note on them."""
    names = {
        recording.path: "/".join(filter(None, (recording.sub_folder or recording.part, recording.path.stem)))
        for recording in recordings
    }
    normal = [recording.path for recording in recordings if recording.label == 0]
    found: dict[Path, str] = {}
    for pattern in (_CHANNEL, _PART):  # a part may have channels: `rec12_003_ch1`
        found |= _by_pattern(pattern, names | found, normal)
    shared = [members for members in grouped([found.get(path, os.fspath(path)) for path in normal]) if len(members) > 1]
    if not shared:
        return {}, ""
    example = [normal[index].name for index in shared[0]]
    return found, (
        f"{folder}: by their names, {sum(map(len, shared))} normal files are parts of {len(shared)} recordings, such "
        f"as {example[0]} to {example[-1]}, which no split separates; if they are not, {advice}"
    )


def _by_pattern(pattern: re.Pattern[str], names: Mapping[Path, str], normal: Sequence[Path]) -> dict[Path, str]:
    """Groups of files whose names differ in the number at their end alone, where that leaves no doubt.

    It leaves none if at least two groups have several names, if these are half of the normal files or more, and if
    their numbers follow one another: `pump_1200` to `pump_1800` are no parts of a recording.
    """
    matches = {path: pattern.fullmatch(name) for path, name in names.items()}
    fits = {path: match for path, match in matches.items() if match and _is_counted(match)}
    numbers: dict[str, set[int]] = {}
    for path in normal:
        if path in fits:
            numbers.setdefault(fits[path]["stem"], set()).add(int(fits[path]["number"]))
    several = {stem for stem, of in numbers.items() if len(of) > 1 and max(of) - min(of) < DENSE * len(of)}
    explained = sum(path in fits and fits[path]["stem"] in several for path in normal)
    if len(several) < 2 or explained < LEAST_SHARE * len(normal):
        return {}
    return {path: match["stem"] for path, match in fits.items() if match["stem"] in several}


def _is_counted(match: re.Match[str]) -> bool:
    """Whether the number may count parts of a recording, not recordings of a machine or days of a month."""
    is_date = len(match["number"]) == 2 and _DATE.fullmatch(match["stem"])
    return not is_date and not _MACHINE_ID.fullmatch(match["stem"])
