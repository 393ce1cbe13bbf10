"""The detectors. Adding one is a file here and a line in `DETECTORS`.

Importing this package registers every name that a saved detector may have in it.
"""

import ganad_tf.keras_backend  # noqa: F401 - before Keras
from ganad_tf.models.adam import Adam
from ganad_tf.models.aegan import AEGAN
from ganad_tf.models.dense_ae import DenseAE
from ganad_tf.models.detector import Detector, HasEmbedding
from ganad_tf.models.drink import DRINK
from ganad_tf.models.egbad import EGBAD
from ganad_tf.models.embedding_knn import EmbeddingKNN
from ganad_tf.models.encoder import Encoder
from ganad_tf.models.fanogan import FAnoGAN
from ganad_tf.models.ganomaly import GANomaly
from ganad_tf.models.gmade import GMADE
from ganad_tf.models.id_classifier import IDClassifier
from ganad_tf.models.idnn import IDNN
from ganad_tf.models.mpdr import MPDR
from ganad_tf.models.sagan import SAGAN
from ganad_tf.models.skip_ganomaly import SkipGANomaly
from ganad_tf.models.spectrum_density import SpectrumDensity
from ganad_tf.models.tiae import TIAE

DETECTORS: dict[str, type[Detector]] = {
    "AEGAN": AEGAN,
    "DenseAE": DenseAE,
    "DRINK": DRINK,
    "EGBAD": EGBAD,
    "EmbeddingKNN": EmbeddingKNN,
    "Encoder": Encoder,
    "FAnoGAN": FAnoGAN,
    "GANomaly": GANomaly,
    "GMADE": GMADE,
    "IDClassifier": IDClassifier,
    "IDNN": IDNN,
    "MPDR": MPDR,
    "SAGAN": SAGAN,
    "SkipGANomaly": SkipGANomaly,
    "SpectrumDensity": SpectrumDensity,
    "TIAE": TIAE,
}

__all__ = [
    "AEGAN",
    "DETECTORS",
    "DRINK",
    "EGBAD",
    "GMADE",
    "IDNN",
    "MPDR",
    "SAGAN",
    "TIAE",
    "Adam",
    "DenseAE",
    "Detector",
    "EmbeddingKNN",
    "Encoder",
    "FAnoGAN",
    "GANomaly",
    "HasEmbedding",
    "IDClassifier",
    "SkipGANomaly",
    "SpectrumDensity",
]
