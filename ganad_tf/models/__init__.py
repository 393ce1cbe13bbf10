"""The detectors. Adding one is a file here and a line in `DETECTORS`."""

from ganad_tf.models.dense_ae import DenseAE
from ganad_tf.models.detector import Detector
from ganad_tf.models.ganomaly import GANomaly

DETECTORS: dict[str, type[Detector]] = {
    "DenseAE": DenseAE,
    "GANomaly": GANomaly,
}

__all__ = ["DETECTORS", "DenseAE", "Detector", "GANomaly"]
