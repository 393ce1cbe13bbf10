"""The verb `compare`: result files of several systems → the paper's Tables 7 and 6, beside the published rows.

Areas are in percent in this module, as papers print them.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.config.paths import is_url
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import atomic
from ganad_tf.results import published, score_files
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.results.evaluate import Areas, read_areas

UNITS = "AUC / pAUC in %; ± over seeds but for the last column."
NOTE = (
    f"{UNITS} A measured row can be compared with a published one only if it was measured on the challenge's own "
    "split; those of the paper may have been chosen on the test clips. Those in brackets are the mean of AUC and pAUC, "
    "which is all that was published. Of a row `published (oracle)`, epoch or score were chosen by the labels of the "
    "test clips."
)


MACHINE_ID = "machine ID"
PUBLISHED_ORACLE = "published (oracle)"
MEAN_OF_BOTH = "mean of AUC and pAUC"


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
      name: Name in the table.
      origin: `measured` by this package, `published` elsewhere, or `published (oracle)` and `oracle` where test labels
        chose it.
      runs: AUC and pAUC in percent by machine type, one mapping per seed.
      labels: Labels that the system needs: `none` or `machine ID`.
      means_of_both: Mean of AUC and pAUC in percent by machine type, of a system of which no more is known.
    """

    name: str
    origin: str
    runs: tuple[Mapping[str, Areas], ...]
    labels: str = "none"
    means_of_both: Mapping[str, float] = field(default_factory=dict)

    def restricted_to(self, machines: Sequence[str]) -> "System | None":
        """The same system with these machine types only; None if it lacks one of them."""
        if not all(machine in self.runs[0] for machine in machines):
            return None
        runs = tuple({machine: run[machine] for machine in machines} for run in self.runs)
        return dataclasses.replace(self, runs=runs)

    @property
    def bar_name(self) -> str:
        """Name where there is no column for the origin."""
        return f"{self.name}, oracle" if self.origin == PUBLISHED_ORACLE else self.name

    @property
    def areas(self) -> dict[str, Areas]:
        """Mean over seeds, by machine type."""
        return {machine: _mean(run[machine] for run in self.runs) for machine in self.runs[0]}

    def deviation(self, machine: str) -> Areas:
        """Standard deviation over seeds; NaN for a single seed."""
        return _deviation([run[machine] for run in self.runs])

    @property
    def mean(self) -> Areas:
        """Mean over machine types and seeds."""
        return _mean(self.areas.values())

    @property
    def mean_deviation(self) -> Areas:
        """Standard deviation over seeds of the mean over machine types."""
        return _deviation([_mean(run.values()) for run in self.runs])


def read_systems(arguments: Sequence[str], locate: Callable[[str], Path] = Path) -> list[System]:
    """Reads the systems that are named on the command line.

    Args:
      arguments: `DIR`, or `NAME=DIR,DIR...` for the seeds of one system. A directory with the paper's scores in
        `paper/` gives a second row.
      locate: Gives the local path of a `DIR`, which may be a URL.

    Raises:
      DataError: If a directory has no result file.
      ConfigError: If the seeds of one system have different machine types, or two systems the same name.
    """
    systems = []
    for argument in arguments:
        name, equals, listed = argument.partition("=")
        is_directory = not equals or is_url(argument) or Path(argument).exists()
        directories = [locate(directory) for directory in ([argument] if is_directory else listed.split(","))]
        if is_directory:
            name = directories[0].resolve().name
        systems.append(_read_system(name, directories))
        papers = [ResultDirectory(directory).paper for directory in directories]
        if all(paper.table.exists() and same_detectors(paper.path) for paper in papers):
            systems.append(_read_system(f"{systems[-1].name}, paper's score", [paper.path for paper in papers]))
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Expected a name of its own for each system. Received: {name!r} twice; say NAME=DIR.")
    return systems


def published_systems() -> list[System]:
    """The published systems: other work first, then the paper's Table 7."""
    rows = published.OTHERS | {f"{name} (paper)": row for name, row in published.TABLE_7.items()}
    systems = [
        System(name, _origin(name), ({machine: Areas(*areas) for machine, areas in row.items()},), _labels(name))
        for name, row in rows.items()
    ]
    for name, means in published.MEANS_OF_BOTH.items():
        systems.append(System(name, _origin(name), ({},), _labels(name), means))
    return systems


def best_system(systems: Sequence[System]) -> System:
    """Oracle system: per machine type the one with the highest test AUC, an upper bound chosen by test labels."""
    best: dict[str, Areas] = {}
    for system in systems:
        for machine, areas in system.areas.items():
            if machine not in best or areas.auc > best[machine].auc:
                best[machine] = areas
    return System("best of the measured (oracle)", "oracle", (best,))


def weighted_mean(areas: Mapping[str, Areas]) -> tuple[Areas, Areas]:
    """Mean and standard deviation over machine types, weighted by the paper's numbers of test clips.

    `m = sum w a / sum w`, `s = sqrt(sum w (a - m)^2 / sum w)`; machine types that are not in the paper are left out.
    NaN if none is left.
    """
    known = [machine for machine in areas if machine in published.TEST_CLIPS]
    if not known:
        return Areas(math.nan, math.nan), Areas(math.nan, math.nan)
    weights = np.array([published.TEST_CLIPS[machine] for machine in known], np.float64)
    values = np.array([areas[machine] for machine in known])  # [machines, 2]
    mean = np.average(values, axis=0, weights=weights)
    deviation = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    return Areas(*mean.tolist()), Areas(*deviation.tolist())


def table(systems: Sequence[System]) -> list[list[str]]:
    """Cells of the comparison, header row first: Table 7, then the means of Table 6 in the last two columns.

    The columns are the measured machine types. Both means are over these, and empty for systems that lack one of them.
    The weighted mean is also empty where the paper lacks one of them.
    """
    machines = _machines(systems)
    rows = [["system", "origin", "labels", "seeds", *machines, "mean", "weighted mean ± deviation over machines"]]
    for system in systems:
        cells = [
            _cell(system.areas[machine], system.deviation(machine))
            if machine in system.areas
            else _bracketed(system.means_of_both.get(machine))
            for machine in machines
        ]
        whole = system.restricted_to(machines)
        mean = _cell(whole.mean, whole.mean_deviation) if whole else ""
        if system.means_of_both.keys() >= set(machines):
            mean = _bracketed(float(np.mean([system.means_of_both[machine] for machine in machines])))
        weighted = _cell(*weighted_mean(whole.areas)) if whole and published.TEST_CLIPS.keys() >= set(machines) else ""
        seeds = str(len(system.runs)) if system.origin == "measured" else ""
        rows.append([system.name, system.origin, system.labels, seeds, *cells, mean, weighted])
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Formats cells as a Markdown table; the first row is the header."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def write(directory: Path, systems: Sequence[System]) -> None:
    """Writes `comparison.md` and `comparison.csv`."""
    atomic.write_text(directory / "comparison.md", f"{markdown(table(systems))}\n\n{NOTE}\n")
    write_csv(directory / "comparison.csv", systems)


def write_csv(path: Path, systems: Sequence[System]) -> None:
    """Writes the comparison with one number per cell, areas in percent."""
    machines = _machines(systems)
    numbers = [
        "AUC",
        "pAUC",
        *(f"{area} deviation over {what}" for what in ("seeds", "machines") for area in ("AUC", "pAUC")),
    ]
    rows: list[list[object]] = [["system", "origin", "labels", "seeds", "machine", *numbers, MEAN_OF_BOTH]]
    for system in systems:
        none = Areas(math.nan, math.nan)
        lines = [(machine, areas, system.deviation(machine), none) for machine, areas in system.areas.items()]
        whole = system.restricted_to(machines)
        if whole:
            lines.append(("mean", whole.mean, whole.mean_deviation, none))
            weighted, spread = weighted_mean(whole.areas)
            lines.append(("weighted mean", weighted, none, spread))
        for machine, *pairs in lines:
            cells = ["" if math.isnan(value) else f"{value:.4f}" for pair in pairs for value in pair]
            both = f"{np.mean(pairs[0]):.4f}"
            rows.append([system.name, system.origin, system.labels, len(system.runs), machine, *cells, both])
        for machine, value in system.means_of_both.items():
            empty = [""] * len(numbers)
            rows.append([system.name, system.origin, system.labels, "", machine, *empty, f"{value:.4f}"])
    score_files.write_rows(path, rows)


def bars(systems: Sequence[System]) -> dict[str, dict[str, tuple[float, float, float, float]]]:
    """Data of the paper's Figure 6: a panel per machine type, and one of the (weighted) means with deviations."""
    panels = {
        machine: {
            system.bar_name: (*system.areas[machine], *system.deviation(machine))
            for system in systems
            if machine in system.areas
        }
        for machine in _machines(systems)
    }
    if len(panels) > 1:
        whole = [restricted for system in systems if (restricted := system.restricted_to(_machines(systems)))]
        if published.TEST_CLIPS.keys() >= panels.keys():
            means = {system.bar_name: weighted_mean(system.areas) for system in whole}
            panels["weighted mean"] = {name: (*mean, *deviation) for name, (mean, deviation) in means.items()}
        else:
            panels["mean"] = {system.bar_name: (*system.mean, *system.mean_deviation) for system in whole}
    return panels


def same_detectors(paper: Path) -> bool:
    """Whether the scores in `paper/` come from the same detectors as those in the directory above."""
    for theirs in ResultDirectory(paper).machines():
        ours = dataclasses.replace(theirs, directory=paper.parent)
        settings = [
            {key: value for key, value in origin["settings"].items() if not key.startswith("scorer.")}
            for origin in (ours.read_origin(), theirs.read_origin())
            if origin
        ]
        if len(settings) < 2 or settings[0] != settings[1]:
            return False
    return True


def _read_system(name: str, directories: Sequence[Path]) -> System:
    runs = [read_areas(ResultDirectory(directory).table) for directory in directories]
    for directory, run in zip(directories, runs, strict=True):
        if run.keys() != runs[0].keys():
            raise ConfigError(
                f"Expected the same machine types in {directory} as in {directories[0]}. "
                f"Received: {', '.join(run)} and {', '.join(runs[0])}."
            )
        for machine, areas in run.items():
            if math.isnan(areas.auc):
                raise DataError(
                    f"Expected an AUC of {machine} in {ResultDirectory(directory).table}. Received: {areas.auc}."
                )
    percent = ({machine: Areas(*(100 * value for value in areas)) for machine, areas in run.items()} for run in runs)
    origins = [machine.read_origin() for directory in directories for machine in ResultDirectory(directory).machines()]
    return System(name, "measured", tuple(percent), labels_of(origins))


def labels_of(origins: Iterable[Mapping[str, Any] | None]) -> str:
    """Labels that a measured system needs, by the origins of its scores; None for an unknown origin."""
    return MACHINE_ID if any((origin or {}).get("takes_machine_ids", False) for origin in origins) else "none"


def _labels(name: str) -> str:
    return MACHINE_ID if name in published.WITH_MACHINE_IDS else "none"


def _origin(name: str) -> str:
    return PUBLISHED_ORACLE if name in published.CHOSEN_BY_TEST_LABELS else "published"


def _bracketed(value: float | None) -> str:
    return "" if value is None else f"({value:.2f})"


def _machines(systems: Sequence[System]) -> list[str]:
    """Machine types of the measured systems, the paper's first; all of the paper's if nothing was measured."""
    ours = [system for system in systems if system.origin not in ("published", PUBLISHED_ORACLE)]
    measured = {machine for system in ours for machine in system.areas}
    ordered = [machine for machine in published.MACHINES if machine in measured or not measured]
    return ordered + sorted(measured - set(published.MACHINES))


def _cell(areas: Areas, deviation: Areas) -> str:
    if math.isnan(deviation.auc):
        return f"{areas.auc:.2f} / {areas.pauc:.2f}"
    return f"{areas.auc:.2f} ± {deviation.auc:.2f} / {areas.pauc:.2f} ± {deviation.pauc:.2f}"


def _deviation(values: Sequence[Areas]) -> Areas:
    if len(values) < 2:
        return Areas(math.nan, math.nan)
    return Areas(*np.std(values, axis=0, ddof=1).tolist())


def _mean(values: Iterable[Areas]) -> Areas:
    return Areas(*np.mean(list(values), axis=0).tolist())
