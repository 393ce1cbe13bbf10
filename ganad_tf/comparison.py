"""The verb `compare`: result files of any systems → the paper's Tables 7 and 6 beside the published rows.

Areas are in percent here, as papers print them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ganad_tf import atomic, clips, published
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.evaluation import Areas, read_areas

RESULT_FILE = "result.csv"


@dataclass(frozen=True)
class System:
    """One row of the tables.

    Attributes:
      name: What the table calls it.
      origin: `measured` by this package, `published` elsewhere, or `oracle` where test labels chose it.
      runs: AUC and pAUC in percent by machine type, once for every seed.
    """

    name: str
    origin: str
    runs: tuple[Mapping[str, Areas], ...]

    @property
    def areas(self) -> dict[str, Areas]:
        """The mean over seeds by machine type."""
        return {machine: _mean(run[machine] for run in self.runs) for machine in self.runs[0]}

    def deviation(self, machine: str) -> Areas:
        """The standard deviation over seeds; NaN for a single one."""
        if len(self.runs) < 2:
            return Areas(math.nan, math.nan)
        return Areas(*np.std([run[machine] for run in self.runs], axis=0, ddof=1).tolist())


def read_systems(arguments: Sequence[str]) -> list[System]:
    """The systems that a command line names.

    Args:
      arguments: `DIR`, or `NAME=DIR,DIR...` for the seeds of one system. A directory that has the detector's
        own score in `paper/` gives a second row.

    Raises:
      DataError: If a directory has no result file.
      ConfigError: If the seeds of one system have different machine types, or two systems the same name.
    """
    systems = []
    for argument in arguments:
        name, equals, listed = argument.partition("=")
        directories = [Path(directory) for directory in (listed if equals else argument).split(",")]
        systems.append(_read_system(name if equals else directories[0].name, directories))
        papers = [directory / "paper" for directory in directories if (directory / "paper" / RESULT_FILE).exists()]
        if len(papers) == len(directories):
            systems.append(_read_system(f"{systems[-1].name}, paper's score", papers))
    names = [system.name for system in systems]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Expected a name of its own for each system. Received: {name!r} twice; say NAME=DIR.")
    return systems


def published_systems() -> list[System]:
    """The published rows: other work first, then the paper's Table 7."""
    rows = published.OTHERS | {f"{name} (paper)": row for name, row in published.TABLE_7.items()}
    return [
        System(name, "published", ({machine: Areas(*areas) for machine, areas in row.items()},))
        for name, row in rows.items()
    ]


def best_of(systems: Sequence[System]) -> System:
    """Per machine type the system with the highest AUC on the test clips: an upper bound, chosen by their labels."""
    best: dict[str, Areas] = {}
    for system in systems:
        for machine, areas in system.areas.items():
            if machine not in best or areas.auc > best[machine].auc:
                best[machine] = areas
    return System("best of the measured (oracle)", "oracle", (best,))


def plain_mean(system: System) -> Areas:
    """The mean over machine types."""
    return _mean(system.areas.values())


def weighted_mean(areas: Mapping[str, Areas]) -> tuple[Areas, Areas]:
    """The mean over machine types weighted by the paper's numbers of test clips, and the deviation about it.

    `m = sum w a / sum w`, `s = sqrt(sum w (a - m)^2 / sum w)`; machine types that the paper does not have are
    left out. NaN if none is left.
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
    """The comparison as cells, the first row being the head: Table 7, then Table 6's means in the last two columns."""
    machines = _machines(systems)
    rows = [["system", "origin", "seeds", *machines, "mean", "weighted mean ± deviation"]]
    for system in systems:
        areas = system.areas
        cells = [
            _cell(areas.get(machine), system.deviation(machine) if machine in areas else None) for machine in machines
        ]
        whole = all(machine in areas for machine in machines)
        mean, deviation = weighted_mean(areas)
        rows.append(
            [
                system.name,
                system.origin,
                str(len(system.runs)) if system.origin == "measured" else "",
                *cells,
                _cell(plain_mean(system)) if whole else "",
                f"{mean.auc:.2f} ± {deviation.auc:.2f} / {mean.pauc:.2f} ± {deviation.pauc:.2f}" if whole else "",
            ]
        )
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The cells of `table` as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def write(directory: Path, systems: Sequence[System]) -> None:
    """Writes `comparison.md` and, with one number per cell, `comparison.csv`."""
    atomic.write_text(directory / "comparison.md", markdown(table(systems)) + "\n")
    rows: list[list[object]] = [
        ["system", "origin", "seeds", "machine", "AUC", "pAUC", "AUC deviation", "pAUC deviation"]
    ]
    for system in systems:
        mean, deviation = weighted_mean(system.areas)
        lines = [(machine, areas, system.deviation(machine)) for machine, areas in system.areas.items()]
        lines += [("mean", plain_mean(system), Areas(math.nan, math.nan)), ("weighted mean", mean, deviation)]
        for machine, areas, spread in lines:
            numbers = ["" if math.isnan(value) else f"{value:.4f}" for value in (*areas, *spread)]
            rows.append([system.name, system.origin, len(system.runs), machine, *numbers])
    clips.write_rows(directory / "comparison.csv", rows)


def bars(systems: Sequence[System]) -> dict[str, dict[str, tuple[float, float, float, float]]]:
    """What the paper's Figure 6 shows: a panel per machine type, and one of the weighted means with deviations."""
    panels = {
        machine: {
            system.name: (*system.areas[machine], *system.deviation(machine))
            for system in systems
            if machine in system.areas
        }
        for machine in _machines(systems)
    }
    if len(panels) > 1:
        means = {system.name: weighted_mean(system.areas) for system in systems if panels.keys() <= system.areas.keys()}
        panels["weighted mean"] = {name: (*mean, *deviation) for name, (mean, deviation) in means.items()}
    return panels


def _read_system(name: str, directories: Sequence[Path]) -> System:
    runs = [read_areas(directory / RESULT_FILE) for directory in directories]
    for directory, run in zip(directories, runs, strict=True):
        if run.keys() != runs[0].keys():
            raise ConfigError(
                f"Expected the same machine types in {directory} as in {directories[0]}. "
                f"Received: {', '.join(run)} and {', '.join(runs[0])}."
            )
        for machine, areas in run.items():
            if math.isnan(areas.auc):
                raise DataError(f"Expected an AUC of {machine} in {directory / RESULT_FILE}. Received: {areas.auc}.")
    percent = ({machine: Areas(*(100 * value for value in areas)) for machine, areas in run.items()} for run in runs)
    return System(name, "measured", tuple(percent))


def _machines(systems: Sequence[System]) -> list[str]:
    """The machine types of the measured systems, the paper's first; the paper's where nothing was measured."""
    measured = {machine for system in systems if system.origin != "published" for machine in system.areas}
    ordered = [machine for machine in published.MACHINES if machine in measured or not measured]
    return ordered + sorted(measured - set(published.MACHINES))


def _cell(areas: Areas | None, deviation: Areas | None = None) -> str:
    if areas is None:
        return ""
    if deviation is None or math.isnan(deviation.auc):
        return f"{areas.auc:.2f} / {areas.pauc:.2f}"
    return f"{areas.auc:.2f} ± {deviation.auc:.2f} / {areas.pauc:.2f} ± {deviation.pauc:.2f}"


def _mean(values: Iterable[Areas]) -> Areas:
    return Areas(*np.mean(list(values), axis=0).tolist())
