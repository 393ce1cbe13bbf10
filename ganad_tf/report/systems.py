"""Result directories side by side and, where they are the challenge's, beside published figures.

The areas are those of the report itself, so that they are the same here and in each machine type's table.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganad_tf.plotting import charts
from ganad_tf.report import facts
from ganad_tf.report.facts import MachineFacts
from ganad_tf.report.page import Comparison, Picture
from ganad_tf.results import compare as comparison
from ganad_tf.results.compare import System
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.results.evaluate import Areas

CHALLENGE = ("dcase2020", "imported")  # layouts whose machine types are those of the published figures

Gathered = Mapping[str, Sequence[MachineFacts]]  # by the system's name


def published_for(own: MachineFacts) -> list[tuple[str, Areas]]:
    """Published figures of the same machine type, in percent; none but for the challenge's development data."""
    if not _is_challenge(own):
        return []
    return [
        (system.name, system.areas[own.machine])
        for system in comparison.published_systems()
        if own.machine in system.areas
    ]


def with_paper_scores(gathered: Gathered, directories: Sequence[Path]) -> Gathered:
    """The same, and for each whose detectors' own scores stand beside the density's, these as a system of their own.

    Raises:
      DataError: If those scores are not complete.
    """
    given = {directory.resolve() for directory in directories}
    everything: dict[str, Sequence[MachineFacts]] = {}
    for (name, machines), directory in zip(gathered.items(), directories, strict=True):
        everything[name] = machines
        paper = ResultDirectory(directory).paper
        if paper.path.resolve() not in given and paper.machines() and comparison.same_detectors(paper.path):
            everything[f"{name}, paper's score"] = facts.gather(paper.path)
    return everything


def compare(gathered: Gathered, path: Path) -> Comparison:
    """The comparison, with its picture at `path`; its note names the machine types that have no areas."""
    areas = {name: _areas(machines) for name, machines in gathered.items()}
    measured = [System(name, "measured", (means,)) for name, means in areas.items()]
    left_out = [
        f"{own.title} of {name}"
        for name, machines in gathered.items()
        for own in machines
        if own.title not in areas[name]
    ]
    lacking = f"Left out, for lack of labels, normal clips or anomalies: {'; '.join(left_out)}." if left_out else ""
    best = comparison.best_of(measured)
    if not best.areas:
        return Comparison([], [], lacking, None)
    published = []
    if all(_is_challenge(own) for machines in gathered.values() for own in machines):
        published = [system for system in comparison.published_systems() if system.areas.keys() & best.areas.keys()]
    systems = [*published, *measured, best]
    charts.plot_bars(path, comparison.bars(systems))
    alt = "Bars of AUC and pAUC of every system for each machine type; the numbers are in the table above."
    note = f"{comparison.NOTE if published else comparison.UNITS} {lacking}".strip()
    return Comparison(systems, comparison.table(systems), note, Picture(path, alt))


def _is_challenge(own: MachineFacts) -> bool:
    return own.run.mode == "dev" and own.config.dataset.name in CHALLENGE


def _areas(machines: Sequence[MachineFacts]) -> dict[str, Areas]:
    """Means over IDs in percent by machine type, where they are defined."""
    means = {own.title: own.rows[-1] for own in machines}
    return {
        title: Areas(100 * mean.auc.value, 100 * mean.pauc.value)
        for title, mean in means.items()
        if not math.isnan(mean.auc.value)
    }
