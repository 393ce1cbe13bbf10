"""Keras callbacks, and what is shown after training; usable in any `fit`.

`StopAtNaN` and `ReportResets` watch over training. The others write what TensorBoard shows: `LossCurves`,
`TrainingHealth`, `WeightHistograms`, `SpectrogramImages`, `Sounds`, `Settings`, and `ScoreBoard`, which is no callback.
"""

import ganad_tf.keras_backend  # noqa: F401 - before Keras
from ganad_tf.callbacks.curves import LossCurves, TrainingHealth, WeightHistograms
from ganad_tf.callbacks.pictures import SpectrogramImages
from ganad_tf.callbacks.scores import ScoreBoard
from ganad_tf.callbacks.settings import Settings
from ganad_tf.callbacks.sounds import Sounds
from ganad_tf.callbacks.watching import ReportResets, StopAtNaN

__all__ = [
    "LossCurves",
    "ReportResets",
    "ScoreBoard",
    "Settings",
    "Sounds",
    "SpectrogramImages",
    "StopAtNaN",
    "TrainingHealth",
    "WeightHistograms",
]
