"""Pictures for TensorBoard: a few clips and their reconstructions."""

from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.plotting import spectrograms
from ganad_tf.tensorboard.clips import ClipCallback
from ganad_tf.tensorboard.writer import PeriodicSummaryCallback


class SpectrogramImages(ClipCallback, PeriodicSummaryCallback):
    """Log-mel, reconstruction and residual of a few clips, every so many epochs, with axes in hertz and seconds.

    Args:
      log_dir: As for `SummaryCallback`.
      clips: By name: `[time, mels]` in dB.
      log_mel: Features that made them.
      frames: Spectra per window.
      normalizer: Standardises the spectra before the model; None for none.
      every: Epochs from one set of pictures to the next; there is one after the first epoch and one at the end.
    """

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Makes one figure per clip."""
        self.figures = {name: spectrograms.Spectrograms(clip, self.log_mel) for name, clip in self.clips.items()}

    def write(self, step: int) -> None:
        """Draws every clip."""
        with self.writer().as_default(step):
            for name, figure in self.figures.items():
                picture = figure.draw(self.reconstruct(figure.log_mel))
                tf.summary.image(f"spectrograms/{name}", picture[np.newaxis])
