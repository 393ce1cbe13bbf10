"""Sentences about a choice and the evidence for it, and a table of all candidates."""

import csv
import io
import math
from pathlib import Path

from ganad_tf.errors import DataError
from ganad_tf.files import atomic
from ganad_tf.selection.corruptions import KINDS
from ganad_tf.selection.select import Candidate, Choice

HEAD = ("machine", "chosen", "candidate", "auc", "behind_best", "standard_error", *KINDS, "why")


def in_words(choice: Choice) -> str:
    """The choice and the evidence for it, and the members that have learned little, in a few lines."""
    chosen, best = choice.candidates[0], max(choice.candidates, key=lambda candidate: candidate.area)
    lines = [f"{choice.machine}: {_name(choice, chosen)}"]
    if choice.n_clips:
        lines.append(
            f"  In {100 * chosen.area:.1f} % of pairs of a healthy clip and a corrupted copy, the copy scores higher "
            f"({choice.n_clips} clips that were held out of training)."
        )
    else:
        lines.append("  Too few recordings to select settings by: the other settings are the configured ones.")
    if best is not chosen:
        distance, error = chosen.behind
        lines.append(
            f"  {_name(choice, best)} is better by {100 * distance:.1f} ± {100 * error:.1f} points, not "
            "enough to give up the simpler one."
        )
    lines += [
        f"  Without {name}, which has learned little: {reason}." for name, reason in choice.learned_little.items()
    ]
    return "\n".join(lines)


def selected(path: Path) -> set[str]:
    """Machine types in a table that `write` wrote; none without one.

    Raises:
      DataError: If it can't be read.
    """
    return {row[0] for row in _rows(path)}


def write(path: Path, choice: Choice) -> None:
    """Writes all candidates as CSV, one row each, the chosen one first; rows of other machine types stay.

    Raises:
      DataError: If there is a table that can't be read, or it can't be written.
    """
    rows = [row for row in _rows(path) if row[0] != choice.machine]
    for number, candidate in enumerate(choice.candidates):
        numbers = [candidate.area, *candidate.behind, *(candidate.separation.get(kind, math.nan) for kind in KINDS)]
        row = [choice.machine, "yes" if number == 0 else "no", _name(choice, candidate)]
        why = " ".join(line.strip() for line in in_words(choice).splitlines()[1:]) if number == 0 else ""
        rows.append([*row, *(f"{value:.4f}" for value in numbers), why])
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([HEAD, *rows])
    atomic.write_text(path, stream.getvalue())


def _rows(path: Path) -> list[list[str]]:
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            return [row for row in csv.reader(stream) if row][1:]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Can't read {path} ({error}); remove it to select settings again.") from error


def _name(choice: Choice, candidate: Candidate) -> str:
    """Shares of the members and settings of the scorer."""
    shares = [
        f"{100 * weight:g} % {name}" for name, weight in zip(choice.members, candidate.weights, strict=True) if weight
    ]
    settings = [f"{key} {value}" for key, value in candidate.scorer.items() if key != "name"]
    if candidate.scorer.get("name") == "paper":
        settings = ["the detector's own score"]
    return ", ".join([*(shares if len(choice.members) > 1 else []), *(settings or ["the configured scorer"])])
