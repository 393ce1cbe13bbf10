"""Figures as arrays, as TensorBoard takes them."""

from collections.abc import Mapping

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ganad_tf.features import LogMel
from ganad_tf.plotting import style

DPI, LETTERS = 80, 10  # read where TensorBoard shows pictures 350 pixels wide
SHADES = 20  # with more, the files of noisy sounds grow
RESIDUAL_DB = 12.0  # at either end of the colours, so that all pictures of a training can be compared

Curves = Mapping[str, tuple[np.ndarray, np.ndarray]]  # by name: x and y


class Spectrograms:
    """A clip, what became of it, and the difference (clip minus reconstruction, red is louder), one below the other.

    Clip and reconstruction have the same colours. What does not change from one picture to the next is made once.

    Args:
      log_mel: `[time, mels]` in dB.
      axes_of: The features that it is of.
    """

    def __init__(self, log_mel: np.ndarray, axes_of: LogMel) -> None:
        self.log_mel = log_mel
        low, high = np.percentile(log_mel, 1), log_mel.max()
        level = ((low, max(high, low + 1)), colormaps["magma"].resampled(SHADES))
        change = ((-RESIDUAL_DB, RESIDUAL_DB), colormaps["RdBu_r"].resampled(SHADES))
        seconds = axes_of.hop_length / axes_of.sample_rate
        ticks, marked = style.mel_ticks(style.mel_edges(axes_of.n_mels, axes_of.sample_rate)[1:-1])
        panels = (("log-mel, dB", level), ("reconstruction, dB", level), ("residual, dB", change))
        self._images = []
        with style.letters(LETTERS):
            figure = Figure(figsize=(5.4, 6.8), dpi=DPI)
            figure.subplots_adjust(left=0.14, right=1.03, top=0.96, bottom=0.08, hspace=0.22)
            for axes, (title, colours) in zip(figure.subplots(3, 1, sharex=True), panels, strict=True):
                image = style.spectrogram(axes, log_mel, seconds, *colours)
                axes.set_title(title, loc="left", pad=3)
                axes.set_yticks(ticks, [str(hz) for hz in marked])
                axes.set_ylabel("Hz")
                figure.colorbar(image, ax=axes, pad=0.015, extend="both" if colours is change else "neither")
                self._images.append(image)
            axes.set_xlabel("seconds")
        self._canvas = FigureCanvasAgg(figure)

    def draw(self, reconstruction: np.ndarray) -> np.ndarray:
        """`[time, mels]` in dB → the picture, `[height, width, 3]` uint8."""
        for image, values in zip(self._images[1:], (reconstruction, self.log_mel - reconstruction), strict=True):
            image.set_data(values.T)
        return _pixels(self._canvas)


def rates(roc: Curves, precision_recall: Curves) -> np.ndarray:
    """ROC curves and precision over recall beside each other, `[height, width, 3]` uint8."""
    with style.letters(LETTERS):
        figure = Figure(figsize=(7.6, 4.0), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        left.plot([0, 1], [0, 1], color="0.6", linewidth=0.8)
        _lines(left, roc, "ROC", "false positive rate", "true positive rate")
        _lines(right, precision_recall, "precision and recall", "recall", "precision")
        return _pixels(FigureCanvasAgg(figure))


def _lines(axes: Axes, curves: Curves, title: str, x: str, y: str) -> None:
    for number, (name, points) in enumerate(curves.items()):
        axes.plot(*points, **style.line_style(number), label=name)
    axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(0, 1.01))
    axes.legend(fontsize=8)


def _pixels(canvas: FigureCanvasAgg) -> np.ndarray:
    with style.letters(LETTERS):
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
