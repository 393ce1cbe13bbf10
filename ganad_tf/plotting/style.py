"""Style of the pictures in TensorBoard and in the report: colours, font size, spectrogram panels.

Needs no TensorFlow.
"""

from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage

# Okabe and Ito's, for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
IMAGE_DPI, IMAGE_FONT_SIZE = 80, 10  # legible where TensorBoard shows images 350 pixels wide
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000)


def font_size(size: float) -> AbstractContextManager[None]:
    """Context manager: font size, with mathtext off so that `$` in names is literal."""
    return matplotlib.rc_context({"font.size": size, "axes.titlesize": size, "text.parse_math": False})


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of line `number` of a chart; dashes differ too, for readers who see no colours.

    >>> len({str(line_style(number)) for number in range(100)})
    30
    """
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def mel_ticks(centres: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Ticks at round frequencies: positions among mel bands with these centres, and their hertz."""
    shown = [hz for hz in TICKS_HZ if centres[0] <= hz <= centres[-1]]
    return np.interp(shown, centres, np.arange(len(centres))), shown


def spectrogram(
    axes: Axes, values: np.ndarray, seconds: float, limits: tuple[float, float], colours: str | Colormap
) -> AxesImage:
    """Draws `[time, mels]` in dB, time in seconds against mel bands; colours end at `limits`.

    Args:
      axes: Axes to draw on.
      values: In dB.
      seconds: From the middle of one spectrum to that of the next.
      limits: Lowest and highest level of the colours.
      colours: Colour map.
    """
    return axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        extent=(-seconds / 2, (len(values) - 0.5) * seconds, -0.5, values.shape[1] - 0.5),
    )


def pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    """Draws a figure, `[height, width, 3]` uint8."""
    with font_size(IMAGE_FONT_SIZE):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
