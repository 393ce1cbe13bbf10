"""The verb `evaluate`: score files and labels → AUC and pAUC per machine ID, in the challenge's layout.

Needs neither TensorFlow nor the detector, only the clips' anomaly scores.
"""

import csv
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ganad_tf.cache.directory import Cache
from ganad_tf.clips import Clip, by_id
from ganad_tf.config import reader
from ganad_tf.errors import DataError
from ganad_tf.results import ensemble, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.metrics import auc, mean_of_defined, pauc
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)


class Areas(NamedTuple):
    """AUC and pAUC; NaN where undefined."""

    auc: float
    pauc: float


@dataclass(frozen=True)
class IdResult:
    """Result of one machine ID; `auc` and `pauc` are NaN if there are no normal clips or no anomalies."""

    machine_id: str
    auc: float
    pauc: float
    n_normal: int
    n_anomaly: int


@dataclass(frozen=True)
class MachineResult:
    """Result of one machine type; means are unweighted means over the IDs with defined areas."""

    machine: str
    ids: tuple[IdResult, ...]

    @property
    def auc(self) -> float:
        """Mean AUC over IDs."""
        return mean_of_defined([result.auc for result in self.ids])

    @property
    def pauc(self) -> float:
        """Mean pAUC over IDs."""
        return mean_of_defined([result.pauc for result in self.ids])

    @property
    def n_test(self) -> int:
        """Number of test clips of all IDs."""
        return sum(result.n_normal + result.n_anomaly for result in self.ids)


def results_of(runs: Sequence[MachineRun]) -> list[MachineResult]:
    """Evaluates the score files of every machine type.

    Args:
      runs: One per machine type, of one experiment.

    Raises:
      DataError: If clips have no labels, or a score file is missing or lists other clips.
      ConfigError: If the scores were made with other settings.
    """
    results = []
    for run in runs:
        check_origin(run)
        _warn_of_not_judged(run)
        ids = [areas_of(*pair, machine_id, run.config.max_fpr) for machine_id, pair in scored_by_id(run).items()]
        results.append(MachineResult(run.machine, tuple(ids)))
    return results


def write_table(path: Path, results: Sequence[MachineResult], *, keep: bool = False) -> None:
    """Writes a result file in the challenge's layout.

    Args:
      path: The file.
      results: Results by machine type.
      keep: Whether the file keeps its lines of other machine types.

    Raises:
      DataError: If the file is kept and can't be read, or can't be written.
    """
    blocks = _read_blocks(path) if keep else {}
    blocks |= {result.machine: _block(result) for result in results}
    score_files.write_rows(path, [row for _, block in sorted(blocks.items()) for row in block])


def has_paper_scores(run: MachineRun) -> bool:
    """Whether there are scores by the paper's equation beside another scorer's."""
    if len(run.score_variants()) == 1:
        return False
    paper = MachineResults.of(run.with_config(run.config.with_paper_score()))
    return all(paper.scores(machine_id).exists() for machine_id in by_id(run.listing.clips_of("test")))


def scored_by_id(run: MachineRun) -> dict[str, tuple[list[int], list[float]]]:
    """Labels and scores of the scored test clips, by machine ID.

    Raises:
      DataError: If a clip has no label, or a score file does not match the test clips.
    """
    for machine_id, clips in by_id(run.listing.require_clips("test")).items():
        if any(clip.label is None for clip in clips):
            name = MachineResults.of(run).scores(machine_id).name
            raise DataError(
                f"Expected labelled test clips for {name}; there are none, so there is nothing to evaluate."
            )
    return {
        machine_id: ([clip.label or 0 for clip, _ in scored], [score for _, score in scored])
        for machine_id, scored in scored_clips(run).items()
    }


def scored_clips(run: MachineRun) -> dict[str, list[tuple[Clip, float]]]:
    """Test clips with their scores by machine ID, without the clips that were left out; labels are not needed.

    Raises:
      DataError: If a score file does not match the test clips.
    """
    left_out, results = _left_out(run), MachineResults.of(run)
    return {
        machine_id: _with_scores(results.scores(machine_id), clips, left_out)
        for machine_id, clips in by_id(run.listing.require_clips("test")).items()
    }


def _with_scores(path: Path, clips: Sequence[Clip], left_out: set[str]) -> list[tuple[Clip, float]]:
    scores = {score.name: score.score for score in score_files.read_scores(path)}
    score_files.check_names(path, scores, clips, left_out, advice="run `ganad score` again")
    return [(clip, scores[clip.name]) for clip in clips if clip.name in scores]


def _left_out(run: MachineRun) -> set[str]:
    """Names of the test clips that are not judged, or that `on_bad_clip: skip` left out of the cache."""
    not_judged, cache = set(MachineResults.of(run).read_not_judged()), Cache(run, "test")
    if run.config.on_bad_clip == "error" or not cache.path.exists():
        return not_judged
    skipped = {clip.stamp[0] for clip in cache.load().skipped}
    return not_judged | {clip.name for clip in run.listing.clips_of("test") if clip.key in skipped}


def _warn_of_not_judged(run: MachineRun) -> None:
    results = MachineResults.of(run)
    if n_clips := len(results.read_not_judged()):
        count = (n_clips, len(run.listing.clips_of("test")))
        logger.warning(
            "%s: %d of %d test clips are not judged and count in no result: %s", run.machine, *count, results.not_judged
        )


def check_origin(run: MachineRun) -> None:
    """Refuses scores made with other settings; scores from elsewhere have no provenance and are accepted.

    Raises:
      ConfigError: Names the first setting that differs.
    """
    origin = MachineResults.of(run).read_origin()
    if origin is None:
        return
    advice = "run `ganad score` with this configuration, or set another `result_directory`"
    what = f"The score file of {run.title}"
    reader.refuse_other_settings(what, origin["settings"], run.config.score_settings(), advice)
    ensemble.check_unchanged(run, origin.get("members", {}))


def table(results: Sequence[MachineResult], paper: Sequence[MachineResult] = ()) -> str:
    """Formats results as text, AUC and pAUC in percent, with those of the paper's scores in further columns."""
    beside = {result.machine: result for result in paper}
    # Without a separate paper score, the result is the paper's.
    everywhere = [beside.get(result.machine, result) for result in results]
    head = f"{'machine':<14}{'id':<9}{'AUC':>7}{'pAUC':>8}{'normal':>8}{'anomaly':>9}"
    lines = [head + (f"{'paper AUC':>12}{'pAUC':>8}" if paper else "")]
    for result in results:
        others = beside.get(result.machine)
        for number, row in enumerate(result.ids):
            line = _line(result.machine, row.machine_id, row) + f"{row.n_normal:>8}{row.n_anomaly:>9}"
            lines.append(line + _beside(others and others.ids[number], width=12))
        lines.append(_line(result.machine, "mean", result) + _beside(others, width=29))
    if len(results) > 1:
        lines.append(_line("all", "mean", _mean(results)) + _beside(_mean(everywhere) if paper else None, width=29))
        defined = [result for result in results if not math.isnan(result.auc)]
        if defined:
            lines.append(_line("all", "weighted", _mean(defined, weighted=True)) + "  by test clips")
    rows = [(result.machine, row) for result in results for row in result.ids]
    undefined = [f"{machine} id {row.machine_id}" for machine, row in rows if math.isnan(row.auc)]
    if undefined:
        lacking = "(the test clips lack normal clips or anomalies); left out of the means"
        lines.append(f"undefined: {', '.join(undefined)} {lacking}")
    return "\n".join(lines)


def areas_of(labels: list[int], scores: list[float], machine_id: str, max_fpr: float) -> IdResult:
    """AUC and pAUC of the scored clips of one machine ID.

    Args:
      labels: 1 for an anomaly, 0 for a normal clip.
      scores: Anomaly scores of the same clips.
      machine_id: The machine ID.
      max_fpr: Largest false-positive rate of the pAUC.
    """
    n_anomaly = sum(labels)
    n_normal = len(labels) - n_anomaly
    if not n_normal or not n_anomaly:
        return IdResult(machine_id, math.nan, math.nan, n_normal, n_anomaly)
    return IdResult(machine_id, auc(labels, scores), pauc(labels, scores, max_fpr), n_normal, n_anomaly)


def _block(result: MachineResult) -> list[list[str]]:
    """Lines of `result.csv` of one machine type, as the baseline writes them."""
    rows = [[row.machine_id, str(row.auc), str(row.pauc)] for row in result.ids]
    return [[result.machine], ["id", "AUC", "pAUC"], *rows, ["Average", str(result.auc), str(result.pauc)], []]


def read_areas(path: Path) -> dict[str, Areas]:
    """Reads the averages by machine type from a result file of `evaluate`, of any year's challenge; NaN if undefined.

    Raises:
      DataError: If the file is missing or not a result file.
    """
    if not path.exists():
        raise DataError(f"Expected a result file {path}, but there is none; run `ganad evaluate` first.")
    areas = {}
    for machine, block in _read_blocks(path).items():
        if len(block[0]) != 1:  # means over all machine types
            continue
        averages = [row[1:] for row in block if len(row) == 3 and row[0] == "Average"]
        averages += [row[2:4] for row in block if row and row[0] == "arithmetic mean"]  # since 2021
        try:
            areas[machine] = Areas(*(float(value or "nan") for value in averages[0]))
        except (IndexError, ValueError) as error:
            raise DataError(
                f"Expected a line `Average,AUC,pAUC` for {machine!r} in {path}, as `ganad evaluate` writes it."
            ) from error
    if not areas:
        raise DataError(f"Expected the results of at least one machine type in {path}. Received: none.")
    return areas


def _read_blocks(path: Path) -> dict[str, list[list[str]]]:
    """Lines of a result file, by machine type; none if it does not exist.

    Raises:
      DataError: If it can't be read.
    """
    if not path.exists():
        return {}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"Can't read the results in {path}: {error}.") from error
    blocks: dict[str, list[list[str]]] = {}
    block: list[list[str]] = []
    for row in rows:
        block.append(row)
        if not row:
            blocks[block[0][0] if block[0] else ""] = block
            block = []
    if block:  # the empty line at the end is missing
        blocks[block[0][0]] = [*block, []]
    return blocks


def _line(machine: str, machine_id: str, values: Areas | IdResult | MachineResult) -> str:
    return f"{machine:<14}{machine_id:<9}{_percent(values.auc):>7}{_percent(values.pauc):>8}"


def _beside(values: Areas | IdResult | MachineResult | None, width: int) -> str:
    return f"{_percent(values.auc):>{width}}{_percent(values.pauc):>8}" if values else ""


def _percent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{100 * value:.2f}"


def _mean(results: Sequence[MachineResult], *, weighted: bool = False) -> Areas:
    """Mean over machine types: unweighted over those with defined areas, or weighted by numbers of test clips."""
    if not weighted:
        return Areas(*(mean_of_defined([getattr(result, name) for result in results]) for name in ("auc", "pauc")))
    total = sum(result.n_test for result in results)
    return Areas(
        *(sum(result.n_test * getattr(result, name) for result in results) / total for name in ("auc", "pauc"))
    )
