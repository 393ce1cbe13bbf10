"""Summaries for TensorBoard: Keras callbacks, usable in any `fit`, and scores once clips are scored.

A detector in training and the clips it looks at go in; event files below `tensorboard.directory` come out. The
callbacks are `LossCurves`, `TrainingHealth`, `WeightHistograms`, `SpectrogramImages`, `Sounds` and `Settings`;
`ScoreBoard` writes what is known after scoring. `experiment.py` makes them from the section `tensorboard`. `training`
and `cli` import this folder.
"""

import ganad_tf.keras_backend  # noqa: F401 - before Keras
from ganad_tf.tensorboard.hparams import Settings
from ganad_tf.tensorboard.images import SpectrogramImages
from ganad_tf.tensorboard.scalars import LossCurves, TrainingHealth, WeightHistograms
from ganad_tf.tensorboard.scores import ScoreBoard
from ganad_tf.tensorboard.sounds import Sounds

__all__ = [
    "LossCurves",
    "ScoreBoard",
    "Settings",
    "Sounds",
    "SpectrogramImages",
    "TrainingHealth",
    "WeightHistograms",
]
