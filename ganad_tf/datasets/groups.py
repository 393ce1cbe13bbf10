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
LEAST_PIECES = 3  # of which a note is worth it

_STEM = r"(?P<stem>.*?[^\W_].*?)"
_MICROPHONE = r"(?:ch|chan|channel|mic|kanal)[-_. ]?(?P<number>\d{1,3})"
_TAKE = r"(?:.*[^a-z])?(?:rec|record|recording|take|session|aufnahme)[-_. ]?\d+"
# Of a name: what it shares with others (`stem`, and `rest` after the number), and the number of the part. Channels come
# first, because a part may have channels: `rec12_003_ch1`.
_PATTERNS = [
    re.compile(pattern, re.I)
    for pattern in (
        rf"{_STEM}(?:[-_. ]+|(?<=\d)){_MICROPHONE}",
        rf"(?P<stem>(?:.*/)?){_MICROPHONE}[-_. ]+(?P<rest>[^/]*[^\W_/][^/]*)",
        rf"{_STEM}[-_. ]+(?P<side>l|r|left|right)",
        rf"{_STEM}[-_. ]+(?P<begin>\d{{1,6}})-(?P<end>\d{{1,6}})s?",
        rf"(?P<stem>{_TAKE})[-_. ]?(?P<letter>[a-z])",
        rf"{_STEM}[-_. ]*\((?P<number>\d{{1,4}})\)",
        rf"{_STEM}[-_. ]+(?:part|seg|segment|clip|piece|chunk|slice|cut|teil|out)?[-_. ]?(?P<number>\d{{1,9}})"
        r"(?:[-_. ]?of[-_. ]?\d{1,9})?",
    )
]
_PART = _PATTERNS[-1]
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
    for pattern in _PATTERNS:
        found |= _by_pattern(pattern, names | found, normal)
    shared = [members for members in grouped([found.get(path, os.fspath(path)) for path in normal]) if len(members) > 1]
    if not shared:
        return {}, _of_one_recording([names[path] for path in normal], folder)
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
            numbers.setdefault(_shared(fits[path]), set()).update(_number(fits[path]))
    first = 0 if "begin" in pattern.groupindex else None  # spans begin where the recording does
    several = {
        stem for stem, of in numbers.items() if _follow_one_another(stem, sorted(of)) and first in (None, min(of))
    }
    explained = sum(path in fits and _shared(fits[path]) in several for path in normal)
    if len(several) < 2 or explained < LEAST_SHARE * len(normal):
        return {}
    return {path: _shared(match) for path, match in fits.items() if _shared(match) in several}


def _shared(match: re.Match[str]) -> str:
    """Common part of the names of the parts of a recording."""
    return match["stem"] + (match.groupdict().get("rest") or "")


def _number(match: re.Match[str]) -> list[int]:
    """Number of a part, of a span in spans of its length; none for a span that begins elsewhere."""
    parts = match.groupdict()
    if letter := parts.get("letter"):
        return [ord(letter.lower())]
    if side := parts.get("side"):
        return [int(side[0].lower() == "r")]
    if parts.get("end"):
        begin, length = int(parts["begin"]), int(parts["end"]) - int(parts["begin"])
        return [begin // length] if length > 0 and begin % length == 0 else []
    return [int(parts["number"])]


def _follow_one_another(stem: str, numbers: Sequence[int]) -> bool:
    """Whether numbers, ascending, are those of parts; steps from 0, as of seconds, only of what is called a take."""
    if len(numbers) < 2:
        return False
    if numbers[-1] - numbers[0] < DENSE * len(numbers):
        return True
    return bool(re.fullmatch(_TAKE, stem, re.I)) and [*numbers] == [
        *range(0, numbers[1] * len(numbers), numbers[1] or 1)
    ]


def _of_one_recording(names: Sequence[str], folder: Path) -> str:
    """A note on files whose names are those of pieces of a single recording, such as `rec12_000` to `rec12_023`."""
    matches = [match for name in names if (match := _PART.fullmatch(name)) and _is_counted(match)]
    stems = {match["stem"] for match in matches}
    if len(names) < LEAST_PIECES or len(matches) < len(names) or len(stems) > 1 or not re.search(r"\d", stems.pop()):
        return ""
    return (
        f"{folder}: by their names, the {len(names)} normal files, {names[0]} to {names[-1]}, may be pieces of one "
        "recording; if they are, results are too good, because pieces of it are in training and in the test: add "
        f"recordings, and see `{KEY}`"
    )


def _is_counted(match: re.Match[str]) -> bool:
    """Whether the number may count parts of a recording, not recordings of a machine or days of a month."""
    number = match.groupdict().get("number") or ""
    is_date = len(number) == 2 and _DATE.fullmatch(match["stem"])
    return not is_date and not _MACHINE_ID.fullmatch(match["stem"])
