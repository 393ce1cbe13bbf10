"""Training: normal training clips in the cache → a detector in `model_directory/<mode>/<machine>`.

`train.py` is the verb, `build.py` builds and compiles the detector of the sections `model` and `fit`, `checkpoint.py`
saves and restores an interrupted training, `guards.py` holds the callbacks that stop at NaN and report re-initialised
discriminators.
Only `cli` imports this folder.
"""

from ganad_tf.training.guards import ReportResets, StopAtNaN

__all__ = ["ReportResets", "StopAtNaN"]
