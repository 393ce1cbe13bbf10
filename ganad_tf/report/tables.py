"""The page's tables as Markdown and as CSV."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganad_tf.clips import LABELS
from ganad_tf.files import atomic
from ganad_tf.report.facts import Area, Counts
from ganad_tf.report.page import Comparison, MachinePage, SystemPage
from ganad_tf.results import score_files, thresholds
from ganad_tf.results.compare import markdown, write_csv

MACHINES = ("system", "mode", "machine", "id", "auc", "auc_low", "auc_high", "pauc", "pauc_low", "pauc_high")
COUNTS = ("threshold", "normal_below", "normal_above", "anomaly_below", "anomaly_above", "unlabelled")
CLIPS = ("system", "mode", "machine", "id", "clip", "score", "label", "decision")
MADE = ("system", "mode", "machine", "what", "value")
MARKDOWN = ("machine type", "id", "AUC", "pAUC", "threshold", "normal above", "anomalies below")
MARKDOWN_CLIPS = ("kind", "clip", "score", "verdict", "largest residual")


def write(out: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Writes `report.md`, `machines.csv`, `clips.csv`, `made.csv`, and `comparison.csv` where something is compared."""
    write_markdown(out / "report.md", systems, comparison)
    write_machines(out / "machines.csv", systems)
    write_clips(out / "clips.csv", systems)
    write_made(out / "made.csv", systems)
    if comparison and comparison.systems:
        write_csv(out / "comparison.csv", comparison.systems)


def write_machines(path: Path, systems: Sequence[SystemPage]) -> None:
    """One line per system, machine type and ID, and one of the mean: areas from 0 to 1 with intervals, and counts."""
    rows: list[Sequence[object]] = [[*MACHINES, *COUNTS]]
    for place, page in _all_machines(systems):
        for row in page.facts.rows:
            areas = ["" if math.isnan(value) else f"{value:.6f}" for area in (row.auc, row.pauc) for value in area]
            counts = row.counts or ("", "", "", "")
            rows.append([*place, row.name, *areas, page.facts.threshold, *counts, row.n_unlabelled])
    score_files.write_rows(path, rows)


def write_clips(path: Path, systems: Sequence[SystemPage]) -> None:
    """Every test clip of every system, most anomalous first."""
    rows: list[Sequence[object]] = [CLIPS]
    for place, page in _all_machines(systems):
        for clip, score, is_anomaly in page.facts.scored:
            decision = "" if is_anomaly is None else LABELS[int(is_anomaly)]
            rows.append([*place, clip.machine_id, clip.name, score, LABELS[clip.label], decision])
    score_files.write_rows(path, rows)


def write_made(path: Path, systems: Sequence[SystemPage]) -> None:
    """How each system's results were made: command, fingerprints, versions, duration and settings, a line of each."""
    rows: list[Sequence[object]] = [MADE]
    for place, page in _all_machines(systems):
        rows += [[*place, what, str(value)] for what, value in page.made.items()]
    score_files.write_rows(path, rows)


def write_markdown(path: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """The tables for a README or a pull request; of the clips, those that the page shows."""
    parts = []
    if comparison:
        parts += ["## Comparison", *([markdown(comparison.rows)] if comparison.rows else []), comparison.note]
    for system in systems:
        parts += [f"## {system.name}", "Areas in %, with 95 % bootstrap intervals over test clips."]
        parts.append(markdown([MARKDOWN, *(row for page in system.machines for row in _machine_rows(page))]))
        for page in system.machines:
            parts += [f"### {page.facts.title}: clips", markdown([MARKDOWN_CLIPS, *_clip_rows(page)])]
            made = [(what, f"`{value}`".replace("\n", " ")) for what, value in page.made.items()]
            parts += [f"### {page.facts.title}: how it was made", markdown([("what", "value"), *made])]
    atomic.write_text(path, "\n\n".join(parts) + "\n")


def _machine_rows(page: MachinePage) -> Iterator[list[str]]:
    facts = page.facts
    for row in facts.rows:
        counts = row.counts or Counts(0, 0, 0, 0)
        wrong = (_of(counts.normal_above, counts.normal_below), _of(counts.anomaly_below, counts.anomaly_above))
        threshold = thresholds.shown(facts.threshold, digits=4)
        yield [facts.title, row.name, _shown(row.auc), _shown(row.pauc), threshold, *wrong]
    for name, areas in page.published:
        yield [facts.title, f"{name}, published", f"{areas.auc:.1f}", f"{areas.pauc:.1f}", "", "", ""]


def _clip_rows(page: MachinePage) -> Iterator[list[str]]:
    for kind, members in page.kinds.items():
        for card in members:
            yield [kind, card.name, f"{card.score:.4g}", card.verdict, card.bands]


def _of(wrong: int, right: int) -> str:
    return f"{wrong} of {wrong + right}" if wrong + right else "n/a"


def _all_machines(systems: Sequence[SystemPage]) -> Iterator[tuple[tuple[str, str, str], MachinePage]]:
    """What each line begins with, system, mode and machine type, and what the page says of that machine type."""
    return (
        ((system.name, page.facts.run.mode, page.facts.machine), page) for system in systems for page in system.machines
    )


def _shown(area: Area) -> str:
    if math.isnan(area.value):
        return "n/a"
    return f"{100 * area.value:.1f} [{100 * area.low:.1f}, {100 * area.high:.1f}]"
