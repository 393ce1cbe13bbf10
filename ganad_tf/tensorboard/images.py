"""Pictures for TensorBoard: what a detector makes of a few clips."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.features import LogMel, Normalizer, windows_of
from ganad_tf.plotting import spectrograms
from ganad_tf.scoring.reconstruct import reconstruction
from ganad_tf.tensorboard.writer import PeriodicSummaryCallback


class SpectrogramImages(PeriodicSummaryCallback):
    """Log-mel, reconstruction and residual of a few clips, now and then, with axes in hertz and seconds.

    Args:
      log_dir: As for `SummaryCallback`.
      clips: By name: `[time, mels]` in dB.
      log_mel: The features that they are.
      frames: Spectra per window.
      normalizer: What standardises the spectra before the model; None for nothing.
      every: Epochs from one set of pictures to the next; there is one after the first epoch and one at the end.
    """

    def __init__(
        self,
        log_dir: str | Path,
        clips: Mapping[str, np.ndarray],
        *,
        log_mel: LogMel,
        frames: int = 5,
        normalizer: Normalizer | None = None,
        every: int = 50,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.sheets = {name: spectrograms.Spectrograms(of_clip, log_mel) for name, of_clip in clips.items()}
        self.frames = frames
        self.normalizer = normalizer

    def write(self, step: int) -> None:
        """Draws every clip."""
        with self.writer().as_default(step):
            for name, sheet in self.sheets.items():
                windows = windows_of(tf.constant(sheet.log_mel), self.frames, self.normalizer)
                again = reconstruction(self.model, windows, sheet.log_mel.shape[1], self.normalizer).numpy()
                tf.summary.image(f"spectrograms/{name}", sheet.draw(again)[np.newaxis])
