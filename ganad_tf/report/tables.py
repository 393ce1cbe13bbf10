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
CLIPS = ("system", "mode", "machine", "id", "clip", "score", "label", "decision", "p_value")
MADE = ("system", "mode", "machine", "what", "value")
MARKDOWN = ("machine type", "id", "AUC", "pAUC", "threshold", "normal above", "anomalies below")
NOT_JUDGED = ("clip", "reason")
MARKDOWN_CLIPS = ("kind", "clip", "score", "verdict", "largest residual")


def write(out: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Writes `report.md`, `machines.csv`, `clips.csv`, `made.csv` and, for several systems, `comparison.csv`."""
    write_markdown(out / "report.md", systems, comparison)
    write_machines(out / "machines.csv", systems)
    write_clips(out / "clips.csv", systems)
    write_made(out / "made.csv", systems)
    if comparison and comparison.systems:
        write_csv(out / "comparison.csv", comparison.systems)


def write_machines(path: Path, systems: Sequence[SystemPage]) -> None:
    """Writes one line per machine ID and one per mean: areas in [0, 1] with their intervals, and counts."""
    rows: list[Sequence[object]] = [[*MACHINES, *COUNTS]]
    for columns, page in _all_machines(systems):
        for row in page.facts.rows:
            areas = ["" if math.isnan(value) else f"{value:.6f}" for area in (row.auc, row.pauc) for value in area]
            counts = row.counts or ("", "", "", "")
            rows.append([*columns, row.name, *areas, page.facts.threshold, *counts, row.n_unlabelled])
    score_files.write_rows(path, rows)


def write_clips(path: Path, systems: Sequence[SystemPage]) -> None:
    """Writes one line per test clip of every system, most anomalous first."""
    rows: list[Sequence[object]] = [CLIPS]
    for columns, page in _all_machines(systems):
        for clip, score, is_anomaly, p_value in page.facts.scored:
            decision = "" if is_anomaly is None else LABELS[int(is_anomaly)]
            rows.append([*columns, clip.machine_id, clip.name, score, LABELS[clip.label], decision, p_value])
    score_files.write_rows(path, rows)


def write_made(path: Path, systems: Sequence[SystemPage]) -> None:
    """Writes command, fingerprints, versions, duration and settings of each system, one per line."""
    rows: list[Sequence[object]] = [MADE]
    for columns, page in _all_machines(systems):
        rows += [[*columns, what, str(value)] for what, value in page.made.items()]
    score_files.write_rows(path, rows)


def write_markdown(path: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Writes the tables for a README or a pull request, with the clips that the page shows as cards."""
    parts = []
    if comparison:
        parts += ["## Comparison", *([markdown(comparison.rows)] if comparison.rows else []), comparison.note]
    for system in systems:
        parts += [f"## {system.name}", "Areas in %, with 95 % bootstrap intervals over test clips."]
        parts.append(markdown([MARKDOWN, *(row for page in system.machines for row in _machine_rows(page))]))
        for page in system.machines:
            parts += [f"### {page.facts.title}: clips", markdown([MARKDOWN_CLIPS, *_clip_rows(page)])]
            if page.facts.not_judged:
                parts += [f"### {page.facts.title}: not judged", markdown([NOT_JUDGED, *page.facts.not_judged.items()])]
            made = [(what, f"`{value}`".replace("\n", " ")) for what, value in page.made.items()]
            parts += [f"### {page.facts.title}: how it was made", markdown([("what", "value"), *made])]
    atomic.write_text(path, "\n\n".join(parts) + "\n")


def _machine_rows(page: MachinePage) -> Iterator[list[str]]:
    facts = page.facts
    for row in facts.rows:
        counts = row.counts or Counts(0, 0, 0, 0)
        wrong = (
            _ratio(counts.normal_above, counts.normal_below),
            _ratio(counts.anomaly_below, counts.anomaly_above),
        )
        threshold = thresholds.format_threshold(facts.threshold, digits=4)
        yield [facts.title, row.name, _format_area(row.auc), _format_area(row.pauc), threshold, *wrong]
    for name, areas in page.published:
        yield [facts.title, name, f"{areas.auc:.1f}", f"{areas.pauc:.1f}", "", "", ""]


def _clip_rows(page: MachinePage) -> Iterator[list[str]]:
    for group, members in page.groups.items():
        for card in members:
            yield [group, card.name, f"{card.score:.4g}", card.verdict, card.bands]


def _ratio(wrong: int, right: int) -> str:
    return f"{wrong} of {wrong + right}" if wrong + right else "n/a"


def _all_machines(systems: Sequence[SystemPage]) -> Iterator[tuple[tuple[str, str, str], MachinePage]]:
    """System, mode and machine type, the first columns of each line, with the page section of that machine type."""
    return (
        ((system.name, page.facts.run.mode, page.facts.machine), page) for system in systems for page in system.machines
    )


def _format_area(area: Area) -> str:
    if math.isnan(area.value):
        return "n/a"
    return f"{100 * area.value:.1f} [{100 * area.low:.1f}, {100 * area.high:.1f}]"
