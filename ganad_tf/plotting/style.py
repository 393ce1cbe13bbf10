"""What pictures in TensorBoard and in the report have in common: colours, letters, axes of spectrograms.

Needs no TensorFlow.
"""

from contextlib import AbstractContextManager
from typing import Any

import librosa
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap
from matplotlib.image import AxesImage

# Okabe and Ito's, for colour-blind readers.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16000)


def letters(size: float) -> AbstractContextManager[None]:
    """Letters of that size in what is drawn within; a dollar sign in a name is one, and begins no formula."""
    return matplotlib.rc_context({"font.size": size, "axes.titlesize": size, "text.parse_math": False})


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of one line of many, told apart without the colour too.

    >>> len({str(line_style(number)) for number in range(100)})
    30
    """
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)]}


def mel_edges(n_mels: int, sample_rate: int) -> np.ndarray:
    """Where mel bands begin, have their centre and end: band k at k, k + 1 and k + 2, `[mels + 2]` in hertz."""
    return np.asarray(librosa.mel_frequencies(n_mels + 2, fmin=0.0, fmax=sample_rate / 2))


def mel_ticks(centres: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Round frequencies: where they lie among mel bands with these centres, and their hertz."""
    shown = [hz for hz in TICKS_HZ if centres[0] <= hz <= centres[-1]]
    return np.interp(shown, centres, np.arange(len(centres))), shown


def spectrogram(
    axes: Axes, values: np.ndarray, seconds: float, limits: tuple[float, float], colours: str | Colormap
) -> AxesImage:
    """Draws `[time, mels]` in dB, time in seconds against mel bands; colours end at `limits`.

    Args:
      axes: Where to.
      values: In dB.
      seconds: From the middle of one spectrum to that of the next.
      limits: Lowest and highest level of the colours.
      colours: Their map.
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
