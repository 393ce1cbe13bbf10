"""Pictures of the scores, from score files and labels alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ganad_tf import atomic
from ganad_tf.metrics import auc, roc_curve

NORMAL, ANOMALY, LIMIT = "#0072b2", "#d55e00", "#000000"  # told apart by colour-blind readers (Okabe, Ito)
ID_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

Scored = Mapping[str, tuple[Sequence[int], Sequence[float]]]  # machine ID → labels and scores of its clips


def plot_histograms(path: Path, machines: Mapping[str, Scored], thresholds: Mapping[str, float]) -> None:
    """Distributions of the scores of normal clips and anomalies, one panel per machine type, as PNG.

    Args:
      path: Of the picture.
      machines: Labels and scores by machine type and ID.
      thresholds: Above which a clip is called anomalous, by machine type.
    """

    def draw(axes: Axes, machine: str) -> None:
        labels = np.concatenate([np.asarray(labels) for labels, _ in machines[machine].values()])
        scores = np.concatenate([np.asarray(scores) for _, scores in machines[machine].values()])
        edges = np.histogram_bin_edges(scores, bins=30).tolist()
        for label, name, colour, hatch in ((0, "normal", NORMAL, ""), (1, "anomaly", ANOMALY, "///")):
            axes.hist(
                scores[labels == label], edges, alpha=0.6, color=colour, hatch=hatch, edgecolor="white", label=name
            )
        axes.axvline(thresholds[machine], color=LIMIT, linestyle="--", label="threshold")
        axes.set(title=machine, xlabel="anomaly score", ylabel="clips")

    _save_panels(path, list(machines), draw)


def plot_rocs(path: Path, machines: Mapping[str, Scored], max_fpr: float) -> None:
    """ROC curves, one panel per machine type and one line per ID, as PNG; the pAUC's range is shaded.

    Args:
      path: Of the picture.
      machines: Labels and scores by machine type and ID; IDs that lack a class are left out.
      max_fpr: Up to where the pAUC goes.
    """

    def draw(axes: Axes, machine: str) -> None:
        axes.axvspan(0, max_fpr, color="0.9", label="pAUC")
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        for number, (machine_id, (labels, scores)) in enumerate(machines[machine].items()):
            if 0 < sum(labels) < len(labels):
                colour = ID_COLOURS[number % len(ID_COLOURS)]
                axes.plot(
                    *roc_curve(labels, scores),
                    color=colour,
                    label=f"id {machine_id}: AUC {100 * auc(labels, scores):.1f} %",
                )
        axes.set(title=machine, xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))

    _save_panels(path, list(machines), draw)


def plot_bars(path: Path, panels: Mapping[str, Mapping[str, tuple[float, float, float, float]]]) -> None:
    """AUC and pAUC of several systems as bars, one panel per machine type and one for the mean, as PNG.

    Args:
      path: Of the picture.
      panels: By panel and system: AUC, pAUC, and the deviation of each (NaN for none), in percent.
    """

    def draw(axes: Axes, panel: str) -> None:
        systems = list(panels[panel])
        for offset, column, name, colour, hatch in ((-0.2, 0, "AUC", NORMAL, ""), (0.2, 1, "pAUC", ANOMALY, "///")):
            values = [panels[panel][system][column] for system in systems]
            spread = [panels[panel][system][column + 2] for system in systems]
            axes.barh(
                np.arange(len(systems)) + offset, values, 0.38, xerr=spread,
                color=colour, hatch=hatch, edgecolor="white", label=name, error_kw={"linewidth": 0.8},
            )  # fmt: skip
        axes.axvline(50, color="0.6", linewidth=0.8)
        axes.set(title=panel, xlabel="%", xlim=(0, 100))
        axes.set_yticks(range(len(systems)), systems, fontsize=7)
        axes.invert_yaxis()

    tallest = max(len(systems) for systems in panels.values())
    _save_panels(path, list(panels), draw, height=1.2 + 0.28 * tallest, width=5.2)


def _save_panels(
    path: Path, titles: Sequence[str], draw: Callable[[Axes, str], None], *, width: float = 4.2, height: float = 3.2
) -> None:
    n_columns = min(3, len(titles))
    n_rows = -(-len(titles) // n_columns)
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
        panels = np.atleast_1d(figure.subplots(n_rows, n_columns)).ravel()
        for panel, title in zip(panels, titles, strict=False):
            draw(panel, title)
            panel.legend(fontsize=7)
        for panel in panels[len(titles) :]:
            panel.set_visible(False)
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
