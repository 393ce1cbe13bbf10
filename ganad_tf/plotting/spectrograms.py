"""Spectrograms of a clip and its reconstruction as arrays of pixels, as TensorBoard takes them."""

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ganad_tf.features import AnySpectra
from ganad_tf.plotting import style

SHADES = 20  # with more, the files of noisy sounds grow
RESIDUAL_DB = 12.0  # at either end of the colours, so that all pictures of a training can be compared


class Spectrograms:
    """Pictures of a clip, its reconstruction and the residual (clip minus reconstruction, red is louder).

    Clip and reconstruction have the same colours. Axes and colour bars are made once, for all pictures of a training.

    Args:
      log_mel: `[time, mels]` in dB.
      axes_of: Features that made it.
    """

    def __init__(self, log_mel: np.ndarray, axes_of: AnySpectra) -> None:
        self.log_mel = log_mel
        low, high = np.percentile(log_mel, 1), log_mel.max()
        level = ((low, max(high, low + 1)), colormaps["magma"].resampled(SHADES))
        change = ((-RESIDUAL_DB, RESIDUAL_DB), colormaps["RdBu_r"].resampled(SHADES))
        seconds = axes_of.hop_length / axes_of.sample_rate
        ticks, marked = style.mel_ticks(axes_of.edges_hz[1:-1])
        panels = (("log-mel, dB", level), ("reconstruction, dB", level), ("residual, dB", change))
        self._images = []
        with style.font_size(style.IMAGE_FONT_SIZE):
            figure = Figure(figsize=(5.4, 6.8), dpi=style.IMAGE_DPI)
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
        return style.pixels(self._canvas)
