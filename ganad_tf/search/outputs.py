"""Files and table of a search: `trials.csv`, the best settings as YAML, plots, rows of TensorBoard's HParams tab."""

import json
import logging
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ganad_tf.files import atomic, checksummed
from ganad_tf.plotting.trials import Coordinate, plot_importances, plot_parallel
from ganad_tf.search import records
from ganad_tf.search.records import LABELLED, Ranked, Record, Records, column, ranked, shown
from ganad_tf.search.search import SETTINGS, Plan
from ganad_tf.search.space import Parameters, Range, with_parameters
from ganad_tf.tensorboard.trials import write_trial

logger = logging.getLogger(__name__)

MACHINES = "machines"  # folder of the machine types in the directory of a search
TRIALS = "trials.csv"
BEST, BEST_ORACLE = "best.yaml", "best_oracle.yaml"
MOST_LINES = 10  # of a table
MOST_TICKS = 8  # of an axis
MOST_DRAWN = 500  # trials in a picture, the best of them
ORACLE_NOTE = "oracle: labels of test clips rank these trials, so the best value is too good to be an estimate"


def table(machine: str, plan: Plan, results: Sequence[Record]) -> str:
    """The best trials of a machine type as text, and how many have no value."""
    best = ranked(results, plan.objective, len(plan.seeds), minimizes=plan.minimizes)
    objective, keys = column(plan.objective), list(plan.space.values)
    deviation = ["std"] if len(plan.seeds) > 1 else []
    lines = [["rank", "trial", objective, *deviation, "seconds", *keys]]
    for rank, trial in enumerate(best[:MOST_LINES], start=1):
        first = trial.records[0]
        numbers = [f"{trial.value:.4f}", *([f"{trial.deviation:.4f}"] if deviation else [])]
        seconds = f"{sum(record.seconds for record in trial.records):.1f}"
        lines.append([f"{rank}", f"{first.number}", *numbers, seconds, *(shown(first.parameters[key]) for key in keys)])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    states = [record.state for record in results]
    counts = [f"{states.count(state)} {state}" for state in ("finished", "pruned", "failed") if state in states]
    note = [ORACLE_NOTE] if plan.objective == LABELLED else []
    return "\n".join([f"{machine}: {', '.join(counts) or 'no trials'}", *rows, *note])


def comparable(directory: Path, machine: str) -> dict[str, list[Record]]:
    """Results of all machine types in the directory of a search that were made with this machine type's section."""
    section = _section(directory / MACHINES / machine)
    folders = sorted(path.parent for path in (directory / MACHINES).glob(f"*/{SETTINGS}"))
    return {folder.name: list(Records(folder).all()) for folder in folders if _section(folder) == section}


def write_trials(directory: Path, plan: Plan, by_machine: Mapping[str, Sequence[Record]], names: Sequence[str]) -> None:
    """Writes `trials.csv`: one row per machine type, trial and seed."""
    atomic.write_text(directory / TRIALS, records.as_csv(by_machine, names, list(plan.space.values)))


def write_best(
    directory: Path, plan: Plan, mapping: Mapping[str, Any], by_machine: Mapping[str, Sequence[Record]], source: str
) -> Path | None:
    """Writes the settings of each machine type's best trial as a configuration; None if no trial has a value.

    Args:
      directory: Directory of the search.
      plan: The plan.
      mapping: Keys and values of the file that was searched.
      by_machine: Results by machine type.
      source: Path of that file, for the comment.
    """
    content = {key: value for key, value in mapping.items() if key != "search"}
    comments = []
    for machine, results in by_machine.items():
        best = ranked(results, plan.objective, len(plan.seeds), minimizes=plan.minimizes)
        if best:
            content = with_parameters(content, machine, best[0].records[0].parameters)
            value = f"{column(plan.objective)} {best[0].value:.4g}"
            comments.append(f"# {machine}: trial {best[0].records[0].number} of {len(best)} with a value, {value}.\n")
    if not comments:
        return None
    is_oracle = plan.objective == LABELLED
    path = directory / (BEST_ORACLE if is_oracle else BEST)
    place = directory / path.stem
    content |= {"model_directory": str(place / "model"), "result_directory": str(place / "result")}
    if any(key.startswith(("audio.", "feature.")) for key in plan.space.values):
        content["cache_directory"] = str(place / "cache")
    head = f"# ganad train {shlex.quote(str(path))}\n#\n# The best settings that `ganad search {source}` has found.\n"
    note = f"# {ORACLE_NOTE[0].upper()}{ORACLE_NOTE[1:]}.\n" if is_oracle else ""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    atomic.write_text(path, head + note + "".join(comments) + "\n" + text)
    return path


def write_plots(
    directory: Path, machine: str, plan: Plan, results: Sequence[Record], importances: Mapping[str, float]
) -> list[Path]:
    """Draws parallel coordinates of the trials and, if their values differ, the importance of each setting."""
    best = ranked(results, plan.objective, len(plan.seeds), minimizes=plan.minimizes)[:MOST_DRAWN]
    label = f"{column(plan.objective)}, {machine}"
    paths = []
    if best:
        paths.append(directory / f"parallel_{machine}.png")
        plot_parallel(paths[-1], coordinates(plan, best), [trial.value for trial in best], label)
    if importances:
        paths.append(directory / f"importance_{machine}.png")
        plot_importances(paths[-1], importances, label)
    return paths


def write_rows(directory: Path, machine: str, results: Sequence[Record]) -> None:
    """Writes the finished trials for TensorBoard's HParams tab, unless they are there."""
    for record in results:
        log_dir = directory / "search" / machine / f"{record.number:06d}-{record.seed}"
        if record.state == "finished" and not log_dir.exists():
            settings = {"machine": machine, "seed": record.seed, **record.parameters}
            write_trial(log_dir, settings, {column(name): value for name, value in record.values.items()})


def coordinates(plan: Plan, trials: Sequence[Ranked]) -> list[Coordinate]:
    """An axis per setting: values of lists at equal distances, ranges by their scale."""
    return [
        _coordinate(key, values, [trial.records[0].parameters for trial in trials])
        for key, values in plan.space.values.items()
    ]


def _coordinate(key: str, values: tuple[Any, ...] | Range, parameters: Sequence[Parameters]) -> Coordinate:
    if isinstance(values, Range):
        ticks = [(0.0, shown(values.low)), (1.0, shown(values.high))]
        return Coordinate(key, [values.share_of(of_trial[key]) for of_trial in parameters], ticks)
    heights = [number / max(len(values) - 1, 1) for number in range(len(values))]
    every = math.ceil(len(values) / MOST_TICKS)
    ticks = [(height, shown(value)) for height, value in zip(heights, values, strict=True)][::every]
    return Coordinate(key, [heights[values.index(of_trial[key])] for of_trial in parameters], ticks)


def _section(directory: Path) -> dict[str, Any]:
    """Settings of the section `search` that the trials in a machine type's directory were made with."""
    path = directory / SETTINGS
    try:
        there = json.loads(path.read_text(encoding="utf-8"))
    except checksummed.READ_ERRORS as error:
        logger.warning("%s can't be read (%s); its trials are left out.", path, error)
        return {}
    return {key: value for key, value in there.items() if key.startswith("search.")}
