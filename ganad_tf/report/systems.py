"""Comparison of result directories with one another and, on the challenge's data, with published figures.

AUC and pAUC are those of the summaries, so that the comparison and each machine type's table agree.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganad_tf.plotting import charts
from ganad_tf.report import facts
from ganad_tf.report.facts import MachineSummary
from ganad_tf.report.page import Comparison, Picture
from ganad_tf.results import compare as comparison
from ganad_tf.results.compare import System
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.results.evaluate import Areas

CHALLENGE = ("dcase2020", "imported")  # datasets with the machine types of the published figures

SummariesBySystem = Mapping[str, Sequence[MachineSummary]]  # by the system's name


def published_for(summary: MachineSummary) -> list[tuple[str, Areas]]:
    """Published AUC and pAUC of the machine type in percent, by name and origin; none but for the challenge's data."""
    if not _is_challenge(summary):
        return []
    return [
        (f"{system.name}, {system.origin}", system.areas[summary.machine])
        for system in comparison.published_systems()
        if summary.machine in system.areas
    ]


def with_paper_scores(summaries: SummariesBySystem, directories: Sequence[Path]) -> SummariesBySystem:
    """Adds the scores by the papers' equations, where a result directory holds them too, as further systems.

    Raises:
      DataError: If those scores are incomplete.
    """
    named_directories = {directory.resolve() for directory in directories}
    extended: dict[str, Sequence[MachineSummary]] = {}
    for (name, machines), directory in zip(summaries.items(), directories, strict=True):
        extended[name] = machines
        paper = ResultDirectory(directory).paper
        if paper.path.resolve() not in named_directories and paper.machines() and comparison.same_detectors(paper.path):
            extended[f"{name}, paper's score"] = facts.gather(paper.path)
    return extended


def compare(summaries: SummariesBySystem, path: Path) -> Comparison:
    """Compares the systems and draws the bars to `path`; the note names machine types without areas."""
    areas = {name: _areas(machines) for name, machines in summaries.items()}
    measured = [
        System(name, "measured", (means,), comparison.labels_of(summary.origin for summary in summaries[name]))
        for name, means in areas.items()
    ]
    left_out = [
        f"{summary.title} of {name}"
        for name, machines in summaries.items()
        for summary in machines
        if summary.title not in areas[name]
    ]
    lacking = f"Left out, for lack of labels, normal clips or anomalies: {'; '.join(left_out)}." if left_out else ""
    best = comparison.best_system(measured)
    if not best.areas:
        return Comparison([], [], lacking, None)
    published = []
    if all(_is_challenge(summary) for machines in summaries.values() for summary in machines):
        published = [system for system in comparison.published_systems() if system.areas.keys() & best.areas.keys()]
    systems = [*published, *measured, best]
    charts.plot_bars(path, comparison.bars(systems))
    alt = "Bars of AUC and pAUC of every system for each machine type; the numbers are in the table above."
    note = f"{comparison.NOTE if published else comparison.UNITS} {lacking}".strip()
    return Comparison(systems, comparison.table(systems), note, Picture(path, alt))


def _is_challenge(summary: MachineSummary) -> bool:
    return summary.run.mode == "dev" and summary.config.dataset.name in CHALLENGE


def _areas(machines: Sequence[MachineSummary]) -> dict[str, Areas]:
    """Mean AUC and pAUC over IDs in percent, by machine type; undefined means are left out."""
    means = {summary.title: summary.rows[-1] for summary in machines}
    return {
        title: Areas(100 * mean.auc.value, 100 * mean.pauc.value)
        for title, mean in means.items()
        if not math.isnan(mean.auc.value)
    }
