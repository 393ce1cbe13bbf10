"""The page's tables as Markdown and as CSV."""

import math
from collections.abc import Sequence
from pathlib import Path

from ganad_tf import atomic, clips
from ganad_tf.comparison import markdown
from ganad_tf.report.facts import Area
from ganad_tf.report.page import LABELS, Comparison, SystemPage

MACHINES = ("system", "mode", "machine", "id", "auc", "auc_low", "auc_high", "pauc", "pauc_low", "pauc_high")
COUNTS = ("threshold", "normal_below", "normal_above", "anomaly_below", "anomaly_above", "unlabelled")
CLIPS = ("system", "mode", "machine", "id", "clip", "score", "label", "decision")


def write_machines(path: Path, systems: Sequence[SystemPage]) -> None:
    """One line per system, machine type and ID, and one of the mean: areas from 0 to 1 with intervals, and counts."""
    rows: list[Sequence[object]] = [[*MACHINES, *COUNTS]]
    for system, facts in _all_facts(systems):
        for row in facts.rows:
            areas = ["" if math.isnan(value) else f"{value:.6f}" for area in (row.auc, row.pauc) for value in area]
            place = [system.name, facts.mode, facts.machine, row.name]
            rows.append([*place, *areas, facts.threshold, *row.counts, row.n_unlabelled])
    clips.write_rows(path, rows)


def write_clips(path: Path, systems: Sequence[SystemPage]) -> None:
    """Every test clip of every system, most anomalous first."""
    rows: list[Sequence[object]] = [CLIPS]
    for system, facts in _all_facts(systems):
        for clip, score, is_anomaly in facts.scored:
            place = [system.name, facts.mode, facts.machine, clip.machine_id, clip.name]
            rows.append([*place, score, LABELS[clip.label], LABELS[int(is_anomaly)]])
    clips.write_rows(path, rows)


def write_markdown(path: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """The tables for a README or a pull request."""
    parts = [f"## Comparison\n\n{markdown(comparison.rows)}\n\n{comparison.note}"] if comparison else []
    for system in systems:
        head = ["machine type", "id", "AUC", "pAUC", "threshold", "normal above", "anomalies below"]
        rows = [head]
        for page in system.machines:
            facts = page.facts
            for row in facts.rows:
                counts = [f"{row.counts[1]} of {sum(row.counts[:2])}", f"{row.counts[2]} of {sum(row.counts[2:])}"]
                rows.append(
                    [page.title, row.name, _shown(row.auc), _shown(row.pauc), f"{facts.threshold:.4g}", *counts]
                )
            rows += [
                [page.title, f"{name}, published", f"{areas.auc:.1f}", f"{areas.pauc:.1f}", "", "", ""]
                for name, areas in page.published
            ]
        parts.append(
            f"## {system.name}\n\nAreas in %, with 95 % bootstrap intervals over test clips.\n\n{markdown(rows)}"
        )
    atomic.write_text(path, "\n\n".join(parts) + "\n")


def _all_facts(systems: Sequence[SystemPage]):  # type: ignore[no-untyped-def]
    return ((system, page.facts) for system in systems for page in system.machines)


def _shown(area: Area) -> str:
    if math.isnan(area.value):
        return "n/a"
    return f"{100 * area.value:.1f} [{100 * area.low:.1f}, {100 * area.high:.1f}]"
