"""Sentences about a choice and the evidence for it, and a table of all candidates."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.files import atomic
from ganad_tf.selection.corruptions import KINDS, N_STRENGTHS
from ganad_tf.selection.select import Candidate, Choice


def in_words(choice: Choice) -> str:
    """The choice and the evidence for it in two lines."""
    chosen, best = choice.candidates[0], max(choice.candidates, key=lambda candidate: candidate.area)
    n_copies = choice.n_clips * len(KINDS) * N_STRENGTHS
    lines = [
        f"{choice.machine}: {_name(choice, chosen)}",
        f"  It ranks {100 * chosen.area:.1f} % of corrupted copies above healthy clips; "
        f"{choice.n_clips} healthy clips that it had not learned from, {n_copies} copies.",
    ]
    if best is not chosen:
        distance, error = chosen.behind
        lines.append(f"  Best: {_name(choice, best)}, {100 * distance:.1f} ± {100 * error:.1f} more.")
    return "\n".join(lines)


def write(path: Path, choices: Sequence[Choice]) -> None:
    """Writes all candidates as CSV, one row each, the chosen one of each machine type first."""
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["machine", "chosen", "candidate", "auc", "behind_best", "standard_error", *KINDS])
    for choice in choices:
        for number, candidate in enumerate(choice.candidates):
            numbers = [candidate.area, *candidate.behind, *candidate.separation.values()]
            row = [choice.machine, "yes" if number == 0 else "no", _name(choice, candidate)]
            table.writerow([*row, *(f"{value:.4f}" for value in numbers)])
    atomic.write_text(path, stream.getvalue())


def _name(choice: Choice, candidate: Candidate) -> str:
    """Shares of the members and settings of the scorer."""
    shares = [
        f"{100 * weight:g} % {name}" for name, weight in zip(choice.members, candidate.weights, strict=True) if weight
    ]
    settings = [f"{key} {value}" for key, value in candidate.scorer.items() if key != "name"]
    return ", ".join([*(shares if len(choice.members) > 1 else []), *(settings or ["the configured scorer"])])
