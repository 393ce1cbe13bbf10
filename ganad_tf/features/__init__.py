"""Features: samples → log-mel spectra in dB → standardised, stacked windows, as Keras layers and TensorFlow functions.

`spectra.py` and `log_mel.py` compute them as librosa does, `variants.py` other kinds of spectra (`feature.kind`), and
`layers.py` chooses; `mel_filters.py` holds the filters, `pieces.py` and `memory.py` limit the
memory that long recordings take; `clip_encoder.py` has embeddings by a user's own network in the place of spectra. The
cache, scoring and exported models run the same functions.
"""

from ganad_tf.features.clip_encoder import ClipEncoder
from ganad_tf.features.layers import AnySpectra, feature_layer, fewest_samples, log_mel_layer
from ganad_tf.features.log_mel import LogMel, Normalizer, stack_frames, usable_deviation, windows_of
from ganad_tf.features.spectra import n_frames
from ganad_tf.features.variants import MFCC, PCEN, LinearSpectrogram

__all__ = [
    "MFCC",
    "PCEN",
    "AnySpectra",
    "ClipEncoder",
    "LinearSpectrogram",
    "LogMel",
    "Normalizer",
    "feature_layer",
    "fewest_samples",
    "log_mel_layer",
    "n_frames",
    "stack_frames",
    "usable_deviation",
    "windows_of",
]
