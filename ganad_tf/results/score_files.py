"""Score files in the challenge's layout, and the provenance beside them.

Scores: higher is more anomalous.
"""

import csv
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ganad_tf.clips import Clip, by_id, split_span
from ganad_tf.errors import DataError
from ganad_tf.files import atomic

RECORDING_COLUMNS = (
    "recording",
    "highest_score",
    "highest_at_seconds",
    "mean_score",
    "clips",
    "anomalous_clips",
    "clips_without_score",
)


@dataclass(frozen=True)
class ClipScore:
    """The anomaly score of one clip.

    Attributes:
      name: Name of the clip.
      score: Higher is more anomalous.
      recording: Of a clip for calibration, the recording that it is a part of with others; empty if it stands alone.
    """

    name: str
    score: float
    recording: str = ""


def write_rows(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file as the challenge's baseline does: without a header, lines ending in a line feed."""
    with atomic.replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(rows)


def write_recordings(
    path: Path, scores: Sequence[ClipScore], threshold: float | None, without_score: Collection[str] = ()
) -> None:
    """Writes the scores of recordings that were cut into clips, a line each after a header; no file if none was.

    A recording's score is the highest of its clips'; beside it stand the beginning of that clip in seconds, the mean,
    and the numbers of clips with a score, of those above the threshold, and of those without a score. A recording
    without any score has a line too.

    Args:
      path: The file.
      scores: Scores of the clips.
      threshold: Score above which a clip counts as anomalous; None for no such number.
      without_score: Names of clips that are not judged, or were left out because they can't be read.
    """
    if all(split_span(name)[1] is None for name in (*(score.name for score in scores), *without_score)):
        return
    missing = Counter(split_span(name)[0] for name in without_score)
    recordings: dict[str, list[tuple[float, float]]] = {}
    for score in scores:
        name, span = split_span(score.name)
        recordings.setdefault(name, []).append((float(score.score), span[0] if span else 0.0))
    rows: list[Sequence[object]] = [RECORDING_COLUMNS]
    for name, clips in recordings.items():
        values = [value for value, _ in clips]
        highest, begin = max(clips, key=lambda clip: clip[0])
        above = "" if threshold is None else sum(value > threshold for value in values)
        mean = sum(values) / len(values)
        rows.append([name, highest, f"{begin:.10g}", mean, len(values), above, missing.pop(name, 0)])
    rows += [[name, "", "", "", 0, "", count] for name, count in missing.items()]
    write_rows(path, rows)


def names_without_score(clips: Iterable[Clip], scores: Mapping[str, Sequence[ClipScore]]) -> dict[str, list[str]]:
    """Names of the clips without a score, by machine ID."""
    scored = {(machine_id, score.name) for machine_id, of_id in scores.items() for score in of_id}
    return {
        machine_id: [clip.name for clip in of_id if (machine_id, clip.name) not in scored]
        for machine_id, of_id in by_id(clips).items()
    }


def write_scores(path: Path, scores: Iterable[ClipScore]) -> None:
    """Writes `file name,score` lines (the challenge's submission layout).

    Raises:
      DataError: If a score is NaN or infinite.
    """
    write_rows(path, [(score.name, float(score.score)) for score in _checked(path, scores)])


def write_calibration(path: Path, scores: Sequence[ClipScore]) -> None:
    """Writes calibration scores as `write_scores` does, with a third column where clips share recordings: their names.

    Raises:
      DataError: If a score is NaN or infinite.
    """
    if any(score.recording for score in scores):
        write_rows(path, [(score.name, float(score.score), score.recording) for score in _checked(path, scores)])
    else:
        write_scores(path, scores)


def read_scores(path: Path, *, may_have_header: bool = False) -> list[ClipScore]:
    """Reads a score file of `write_scores` or of any other participant of the challenge.

    Args:
      path: The file.
      may_have_header: Whether the first line is skipped if its second entry is no number.

    Raises:
      DataError: If the file is missing or a line is not `file name,score`.
    """
    rows = _rows(path)
    is_heading = may_have_header and bool(rows) and len(rows[0]) == 2 and not _is_number(rows[0][1])
    return _scores(path, rows, 2, skipped=int(is_heading))


def read_calibration(path: Path) -> list[ClipScore]:
    """Reads a file of `write_calibration`; in those of earlier versions each clip stands alone.

    Raises:
      DataError: If the file is missing or a line is not `file name,score` or `file name,score,recording`.
    """
    rows = _rows(path)
    return _scores(path, rows, 3 if rows and len(rows[0]) == 3 else 2)


def read_reasons(path: Path) -> dict[str, str]:
    """Reads a file of `file name,reason` lines, of clips that are not judged.

    Raises:
      DataError: If it can't be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return dict(csv.reader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"Can't read {path} ({error}); run `ganad score` again.") from error


def check_names(
    path: Path, names: Collection[str], clips: Sequence[Clip], may_lack: Collection[str], *, advice: str
) -> None:
    """Checks that a score file lists exactly the test clips.

    Args:
      path: The score file.
      names: Names of the clips in it.
      clips: The test clips.
      may_lack: Names of clips that may be missing.
      advice: Advice, to end the message with.

    Raises:
      DataError: If it does not; counts the missing and the unknown clips, and names one.
    """
    expected = {clip.name for clip in clips}
    missing = sorted(expected - set(names) - set(may_lack))
    foreign = sorted(set(names) - expected)
    if foreign or missing:
        raise DataError(
            f"{path} does not list the test clips that are there ({len(missing)} missing, {len(foreign)} others, "
            f"such as {(missing or foreign)[0]}); {advice}."
        )


def write_origin(path: Path, origin: Mapping[str, Any], *, is_complete: bool = True) -> None:
    """Writes the provenance of the scores beside it; `is_complete` is false until all scores are written."""
    atomic.write_text(path, json.dumps({**origin, "is_complete": is_complete}, indent=1))


def read_origin(path: Path) -> dict[str, Any] | None:
    """Reads the provenance that `write_origin` wrote; None if there is none, as with scores from elsewhere.

    Raises:
      DataError: If it can't be read, or not all scores were written.
    """
    if not path.exists():
        return None
    try:
        origin = json.loads(path.read_text(encoding="utf-8"))
        is_complete, _ = origin["is_complete"], origin["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} can't be read ({error}); run `ganad score` again.") from error
    if not is_complete:
        raise DataError(f"The scores beside {path} were not all written; run `ganad score` again.")
    return dict(origin)


def _checked(path: Path, scores: Iterable[ClipScore]) -> Iterator[ClipScore]:
    for clip in scores:
        if not math.isfinite(clip.score):
            raise DataError(
                f"The anomaly score of {clip.name} is {clip.score}, not a number to rank by; nothing was written to "
                f"{path}."
            )
        yield clip


def _rows(path: Path) -> list[list[str]]:
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Can't read the scores in {path}: {error}. Run `ganad score` first.") from error


def _scores(path: Path, rows: Sequence[Sequence[str]], n_columns: int, *, skipped: int = 0) -> list[ClipScore]:
    """Scores of lines of so many columns, but for a number of lines at the beginning."""
    columns = "file name,score" if n_columns == 2 else "file name,score,recording"
    scores = []
    for number, row in enumerate(rows[skipped:], start=1 + skipped):
        try:
            name, score, *recording = row
            if len(row) != n_columns:
                raise ValueError(row)
            scores.append(ClipScore(name, _finite(score), *recording))
        except ValueError as error:
            raise DataError(f"Expected `{columns}` in line {number} of {path}. Received: {','.join(row)!r}.") from error
    return scores


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
