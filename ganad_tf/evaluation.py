"""The verb `evaluate`: score files and labels → AUC and pAUC per machine ID, in the challenge's layout.

Needs neither TensorFlow nor the detector: the anomaly score of a clip is the only currency here.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ganad_tf import clips
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.metrics import auc, mean_of_defined, pauc


@dataclass(frozen=True)
class IdResult:
    """One machine ID; `auc` and `pauc` are NaN where normal clips or anomalies are missing."""

    machine_id: str
    auc: float
    pauc: float
    n_normal: int
    n_anomaly: int


@dataclass(frozen=True)
class MachineResult:
    """One machine type; means are plain means over the IDs for which they are defined."""

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
        """Test clips of all IDs."""
        return sum(result.n_normal + result.n_anomaly for result in self.ids)


def evaluate(config: Config, listings: Sequence[Listing]) -> list[MachineResult]:
    """Evaluates the score files of every listed machine type and writes the result file.

    Raises:
      DataError: If clips have no labels, or a score file is missing or lists other clips.
    """
    results = []
    for listing in listings:
        groups = clips.by_id(listing.need("test"))
        ids = tuple(
            _evaluate_id(*labels_and_scores(config, listing.machine, key, group), key, config.max_fpr)
            for key, group in groups.items()
        )
        results.append(MachineResult(listing.machine, ids))
    clips.write_rows(config.result_path, _rows(results))
    return results


def labels_and_scores(
    config: Config, machine: str, machine_id: str, group: Sequence[Clip]
) -> tuple[list[int], list[float]]:
    """Labels and scores of one machine ID's test clips, in the same order.

    Raises:
      DataError: If a clip has no label, or the score file lists other clips than `group`.
    """
    path = config.score_path(machine, machine_id)
    labels = {clip.name: clip.label for clip in group if clip.label is not None}
    if len(labels) != len(group):
        raise DataError(
            f"Expected labelled test clips of {machine} id {machine_id}; "
            "evaluation data have none, so there is nothing to evaluate."
        )
    scores = {score.name: score.score for score in clips.read_scores(path)}
    missing = sorted(labels.keys() - scores.keys())
    foreign = sorted(scores.keys() - labels.keys())
    if foreign or (missing and config.on_bad_clip == "error"):
        name = (missing or foreign)[0]
        raise DataError(
            f"{path} does not list the test clips that are there "
            f"({len(missing)} missing, {len(foreign)} others, such as {name}); run `ganad score` again."
        )
    names = [name for name in labels if name in scores]
    return [labels[name] for name in names], [scores[name] for name in names]


def table(results: Sequence[MachineResult]) -> str:
    """The results for people, AUC and pAUC in percent."""
    lines = [f"{'machine':<14}{'id':<9}{'AUC':>7}{'pAUC':>8}{'normal':>8}{'anomaly':>9}"]
    for result in results:
        for row in result.ids:
            lines.append(
                _line(result.machine, row.machine_id, row.auc, row.pauc) + f"{row.n_normal:>8}{row.n_anomaly:>9}"
            )
        lines.append(_line(result.machine, "mean", result.auc, result.pauc))
    if len(results) > 1:
        defined = [result for result in results if not math.isnan(result.auc)]
        lines.append(
            _line("all", "mean", mean_of_defined([r.auc for r in results]), mean_of_defined([r.pauc for r in results]))
        )
        if defined:
            weighted = [_weighted(defined, [getattr(r, name) for r in defined]) for name in ("auc", "pauc")]
            lines.append(_line("all", "weighted", *weighted) + "  by test clips")
    undefined = [
        f"{result.machine} id {row.machine_id}" for result in results for row in result.ids if math.isnan(row.auc)
    ]
    if undefined:
        lines.append(
            f"undefined: {', '.join(undefined)} (the test clips lack normal clips or anomalies); left out of the means"
        )
    return "\n".join(lines)


def _evaluate_id(labels: list[int], scores: list[float], machine_id: str, max_fpr: float) -> IdResult:
    n_anomaly = sum(labels)
    n_normal = len(labels) - n_anomaly
    if not n_normal or not n_anomaly:
        return IdResult(machine_id, math.nan, math.nan, n_normal, n_anomaly)
    return IdResult(machine_id, auc(labels, scores), pauc(labels, scores, max_fpr), n_normal, n_anomaly)


def _rows(results: Sequence[MachineResult]) -> Iterable[Sequence[object]]:
    """`result.csv` line by line as the baseline writes it."""
    for result in results:
        yield [result.machine]
        yield ["id", "AUC", "pAUC"]
        for row in result.ids:
            yield [row.machine_id, row.auc, row.pauc]
        yield ["Average", result.auc, result.pauc]
        yield []


def _line(machine: str, machine_id: str, auc_value: float, pauc_value: float) -> str:
    return f"{machine:<14}{machine_id:<9}{_percent(auc_value):>7}{_percent(pauc_value):>8}"


def _percent(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{100 * value:.2f}"


def _weighted(results: Sequence[MachineResult], values: Sequence[float]) -> float:
    return sum(result.n_test * value for result, value in zip(results, values, strict=True)) / sum(
        result.n_test for result in results
    )
