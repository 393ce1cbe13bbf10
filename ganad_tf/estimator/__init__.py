"""A scikit-learn estimator: recordings, as paths or arrays → anomaly scores, p-values and decisions.

`detector.py` holds `SoundAnomalyDetector`, `settings.py` makes the configuration of its parameters, `recordings.py` the
listing of its recordings, and `fitted.py` is the trained detector. The stages of the command line do the work, so the
scores are those of `ganad run`. Nothing imports this folder.
"""

from ganad_tf.estimator.detector import SoundAnomalyDetector

__all__ = ["SoundAnomalyDetector"]
