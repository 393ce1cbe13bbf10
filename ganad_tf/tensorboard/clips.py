"""Base of the callbacks that show a few clips and their reconstructions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.features import AnySpectra, Normalizer, windows_of
from ganad_tf.scoring.reconstruct import reconstruction
from ganad_tf.tensorboard.writer import SummaryCallback


class ClipCallback(SummaryCallback):
    """A callback that reconstructs a few clips with the model in training.

    Args:
      log_dir: As for `SummaryCallback`.
      clips: By name: `[time, mels]` in dB or `[samples]`, as the callback wants them.
      log_mel: Features that the model sees.
      frames: Spectra per window.
      normalizer: Standardises the spectra before the model; None for none.
      settings: Of another base.
    """

    def __init__(
        self,
        log_dir: str | Path,
        clips: Mapping[str, np.ndarray],
        *,
        log_mel: AnySpectra,
        frames: int = 5,
        normalizer: Normalizer | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(log_dir, **settings)
        self.clips = dict(clips)
        self.log_mel = log_mel
        self.frames = frames
        self.normalizer = normalizer

    def reconstruct(self, log_mel: np.ndarray | tf.Tensor) -> np.ndarray:
        """A clip's log-mel `[time, mels]` in dB as the model reproduces it."""
        windows = windows_of(tf.convert_to_tensor(log_mel), self.frames, self.normalizer)
        return np.asarray(reconstruction(self.model, windows, self.log_mel.bands, self.normalizer).numpy())
