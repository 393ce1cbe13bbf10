"""Summaries for TensorBoard: Keras callbacks, usable in any `fit`, and scores once clips are scored.

A detector in training and the clips it looks at go in; event files below `tensorboard.directory` come out. The
callbacks are `LossCurves`, `TrainingHealth`, `WeightHistograms`, `SpectrogramImages`, `Sounds` and
`HyperparameterSummary`; `ScoreSummaries` writes scores. `monitoring.py` lists the optional methods of a detector that
they look for; `experiment.py` makes them from the section `tensorboard`. `training` and `cli` import this folder.
"""

import ganad_tf.keras_backend  # noqa: F401 - before Keras
from ganad_tf.tensorboard.hparams import HyperparameterSummary
from ganad_tf.tensorboard.images import SpectrogramImages
from ganad_tf.tensorboard.scalars import LossCurves, TrainingHealth, WeightHistograms
from ganad_tf.tensorboard.scores import ScoreSummaries
from ganad_tf.tensorboard.sounds import Sounds

__all__ = [
    "HyperparameterSummary",
    "LossCurves",
    "ScoreSummaries",
    "Sounds",
    "SpectrogramImages",
    "TrainingHealth",
    "WeightHistograms",
]
