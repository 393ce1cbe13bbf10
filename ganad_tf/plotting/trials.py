"""Pictures of a search's trials, as PNG: parallel coordinates, and the importance of each setting."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ganad_tf.files import atomic
from ganad_tf.plotting import style

COLOURS = "cividis"


class Coordinate(NamedTuple):
    """An axis of parallel coordinates.

    Attributes:
      name: Name of the setting.
      positions: Height of each trial's value, in [0, 1].
      ticks: Heights with their texts.
    """

    name: str
    positions: Sequence[float]
    ticks: Sequence[tuple[float, str]]


def plot_parallel(path: Path, coordinates: Sequence[Coordinate], values: Sequence[float], label: str) -> None:
    """One line per trial through its settings, coloured by the objective; the first trial, the best, is thick.

    Args:
      path: Of the picture.
      coordinates: One per setting.
      values: Objective of each trial, at least one.
      label: Name of the objective.
    """
    scale = ScalarMappable(Normalize(min(values), max(values)), COLOURS)
    with style.font_size(8):
        figure = Figure(figsize=(1.6 * len(coordinates) + 2.4, 3.6), layout="constrained")
        axes = figure.subplots()
        across, colours = range(len(coordinates)), scale.to_rgba(np.asarray(values))
        for number in reversed(range(len(values))):
            heights = [coordinate.positions[number] for coordinate in coordinates]
            width = 2.5 if number == 0 else 0.8
            axes.plot(across, heights, "o-", color=colours[number], linewidth=width, markersize=3)
        for place, coordinate in zip(across, coordinates, strict=True):
            axes.axvline(place, color="0.6", linewidth=0.8)
            for height, text in coordinate.ticks:
                axes.annotate(text, (place, height), (3, 2), textcoords="offset points", fontsize=7)
        axes.set_xticks(across, [coordinate.name for coordinate in coordinates], rotation=20, ha="right")
        axes.set_yticks([])
        axes.set_xlim(-0.2, len(coordinates) - 0.3)
        axes.set_ylim(-0.05, 1.1)
        figure.colorbar(scale, ax=axes, label=label)
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)


def plot_importances(path: Path, importances: Mapping[str, float], label: str) -> None:
    """Bars of each setting's share of the objective's variance.

    Args:
      path: Of the picture.
      importances: Shares by setting, at least one.
      label: Name of the objective.
    """
    with style.font_size(9):
        figure = Figure(figsize=(6.0, 1.2 + 0.3 * len(importances)), layout="constrained")
        axes = figure.subplots()
        axes.barh(list(importances), list(importances.values()), color=style.COLOURS[0])
        axes.invert_yaxis()
        axes.set(xlabel=f"share of the variance of {label}", xlim=(0, 1))
        with atomic.replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=120)
