"""Pictures of scores, curves and clips, as PNG; in colours that colour-blind readers can tell apart."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import LogLocator, NullLocator

from ganad_tf.files import atomic
from ganad_tf.plotting import style
from ganad_tf.results.metrics import auc, roc_curve

NORMAL, ANOMALY, REFERENCE = style.COLOURS[:3]
LIMIT = "#000000"
WIDE = 20  # times the smallest score: from there on the axis of a histogram is logarithmic

Scored = Mapping[str, tuple[Sequence[int], Sequence[float]]]  # machine ID → labels and scores of its clips


class Band(NamedTuple):
    """A mel band from `low_hz` to `high_hz`, and its share of a clip's squared residual."""

    low_hz: float
    high_hz: float
    share: float


@dataclass(frozen=True)
class ClipView:
    """A clip, its reconstruction, and where in the spectrum they differ.

    Attributes:
      log_mel: `[time, mels]` in dB.
      reconstruction: The same as the detector reproduces it; None where nothing does.
      bands: Those with the largest shares of the squared residual, largest first.
      hz: Centre of each mel band, `[mels]`.
      seconds_per_spectrum: Of the time axis.
    """

    log_mel: np.ndarray
    reconstruction: np.ndarray | None
    bands: tuple[Band, ...]
    hz: np.ndarray
    seconds_per_spectrum: float


def plot_histograms(
    path: Path,
    machines: Mapping[str, Scored],
    thresholds: Mapping[str, float | None],
    *,
    reference: Sequence[float] = (),
    names: tuple[str, str] = ("normal", "anomaly"),
) -> None:
    """Distributions of the scores of normal clips and anomalies, one panel per machine type, as PNG.

    Args:
      path: Of the picture.
      machines: Labels and scores by machine type and ID.
      thresholds: Above which a clip is called anomalous, by machine type; None for no line.
      reference: Scores of the normal clips that the threshold is set by, drawn as an outline beside the test clips.
      names: Of the clips labelled 0 and 1.
    """

    def draw(axes: Axes, machine: str) -> None:
        labels = np.concatenate([np.asarray(labels) for labels, _ in machines[machine].values()])
        scores = np.concatenate([np.asarray(scores) for _, scores in machines[machine].values()])
        limits = [limit for limit in (thresholds[machine],) if limit is not None]
        everything = np.array([*scores, *reference, *limits])
        edges: list[float] = np.histogram_bin_edges(everything, bins=30).tolist()
        if 0 < WIDE * everything.min() < everything.max():
            edges = np.geomspace(everything.min(), everything.max(), len(edges)).tolist()
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_locator(NullLocator())
        if len(reference):
            axes.hist(reference, edges, histtype="step", color=REFERENCE, linewidth=1.5, label="normal, for threshold")
        for label, name, colour, hatch in ((0, names[0], NORMAL, ""), (1, names[1], ANOMALY, "///")):
            if not (labels == label).any():
                continue
            axes.hist(
                scores[labels == label],
                edges,
                alpha=0.6,
                color=colour,
                hatch=hatch,
                edgecolor="white",
                label=name,
            )
        for limit in limits:
            axes.axvline(limit, color=LIMIT, linestyle="--", label="threshold")
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
        _draw_rocs(axes, machines[machine])
        axes.set(title=machine, xlabel="false positive rate", ylabel="true positive rate", xlim=(0, 1), ylim=(0, 1.01))

    _save_panels(path, list(machines), draw)


def draw_rates(by_id: Scored) -> np.ndarray:
    """ROC and precision-recall curves side by side, one line per ID, `[height, width, 3]` uint8.

    Args:
      by_id: Labels and scores by machine ID; IDs that lack a class are left out.
    """
    with style.font_size(style.IMAGE_FONT_SIZE):
        figure = Figure(figsize=(7.6, 4.0), dpi=style.IMAGE_DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        _draw_rocs(left, by_id)
        left.set(title="ROC", xlabel="false positive rate", ylabel="true positive rate")
        for number, (machine_id, (labels, scores)) in enumerate(by_id.items()):
            if 0 < sum(labels) < len(labels):
                false, true = roc_curve(labels, scores)
                precision = precision_of(false[1:], true[1:], sum(labels) / len(labels))
                right.plot(true[1:], precision, **style.line_style(number), label=f"id {machine_id}")
        right.set(title="precision and recall", xlabel="recall", ylabel="precision")
        for axes in (left, right):
            axes.set(xlim=(-0.01, 1.01), ylim=(0, 1.01))
            axes.legend(fontsize=8)
        return style.pixels(FigureCanvasAgg(figure))


def _draw_rocs(axes: Axes, by_id: Scored) -> None:
    """Diagonal and one ROC curve per ID that has both classes, with its AUC as label."""
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
    for number, (machine_id, (labels, scores)) in enumerate(by_id.items()):
        if 0 < sum(labels) < len(labels):
            label = f"id {machine_id}: AUC {100 * auc(labels, scores):.1f} %"
            axes.plot(*roc_curve(labels, scores), **style.line_style(number), label=label)


def precision_of(false: np.ndarray, true: np.ndarray, share: float) -> np.ndarray:
    """Precision at points of the ROC curve, the first one, where nothing is called anomalous, apart.

    Args:
      false: False positive rates, `[points]`.
      true: True positive rates, `[points]`.
      share: Of the anomalies among all clips.

    >>> precision_of(np.array([0.0, 0.5]), np.array([0.5, 1.0]), share=0.5).tolist()
    [1.0, 0.6666666666666666]
    """
    return share * true / (share * true + (1 - share) * false)


def plot_curves(path: Path, history: Mapping[str, Sequence[float]]) -> None:
    """Training curves, one panel per loss term with its validation twin, as PNG.

    Args:
      path: Of the picture.
      history: By name the value of each epoch; `val_` marks those of the validation clips.
    """

    def draw(axes: Axes, name: str) -> None:
        for key, label, colour, dashes in (
            (name, "training", NORMAL, "-"),
            (f"val_{name}", "validation", ANOMALY, "--"),
        ):
            if key in history:
                values = history[key]
                axes.plot(
                    range(1, len(values) + 1), values, dashes, color=colour, label=label, marker=".", markersize=3
                )
        axes.set(title=name.replace("_", " "), xlabel="epoch")

    names = [name for name in history if not name.startswith("val_")]
    _save_panels(path, [name for name in names if any(history[name])] or names, draw, height=2.6)


def plot_clip(path: Path, seen: ClipView, levels: tuple[float, float], farthest: float) -> None:
    """A clip's log-mel, its reconstruction and the residual side by side, time against frequency, as PNG.

    Args:
      path: Of the picture.
      seen: The clip.
      levels: Lowest and highest level of the colours in dB, the same for the sound and its reconstruction.
      farthest: Largest residual of the colours in dB, either way.
    """
    ticks, marked = style.mel_ticks(seen.hz)
    with style.font_size(8):
        figure = Figure(figsize=(6.8 if seen.reconstruction is not None else 3.0, 2.1))
        edges = {"left": 0.08, "right": 0.92, "bottom": 0.18, "top": 0.89, "wspace": 0.1}
        if seen.reconstruction is None:
            sound, bar = figure.subplots(
                1, 2, width_ratios=[1, 0.05], gridspec_kw={**edges, "left": 0.15, "right": 0.85}
            )
            figure.colorbar(_panel(sound, "sound", seen.log_mel, seen, levels), cax=bar, label="dB")
        else:
            widths = [1, 1, 0.05, 0.17, 1, 0.05]  # a gap between the scales
            sound, model, bar, gap, residual, other_bar = figure.subplots(1, 6, width_ratios=widths, gridspec_kw=edges)
            gap.set_visible(False)
            _panel(sound, "sound", seen.log_mel, seen, levels)
            image = _panel(model, "reconstruction", seen.reconstruction, seen, levels)
            figure.colorbar(image, cax=bar)
            difference = seen.log_mel - seen.reconstruction
            image = _panel(residual, "residual", difference, seen, (-farthest, farthest), "RdBu_r")
            figure.colorbar(image, cax=other_bar, label="dB")
            for axes in (model, residual):
                axes.set_yticks(ticks, [])
        sound.set_yticks(ticks, [f"{hz / 1000:g}" for hz in marked])
        sound.set_ylabel("kHz")
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=110)


def _panel(
    axes: Axes, title: str, values: np.ndarray, seen: ClipView, limits: tuple[float, float], colours: str = "viridis"
) -> AxesImage:
    axes.set(title=title, xlabel="seconds")
    return style.spectrogram(axes, values, seen.seconds_per_spectrum, limits, colours)


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
    with style.font_size(9):
        figure = Figure(figsize=(width * n_columns, height * n_rows), layout="constrained")
        panels = np.atleast_1d(figure.subplots(n_rows, n_columns)).ravel()
        for panel, title in zip(panels, titles, strict=False):
            draw(panel, title)
            panel.legend(fontsize=7)
        for panel in panels[len(titles) :]:
            panel.set_visible(False)
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
