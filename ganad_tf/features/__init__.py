"""Features: samples → log-mel spectra in dB → standardised, stacked windows, as Keras layers and TensorFlow functions.

`log_mel.py` computes them as librosa does, `mel_filters.py` holds the filters, `pieces.py` and `memory.py` limit the
memory that long recordings take; `clip_encoder.py` has embeddings by a user's own network in the place of spectra. The
cache, scoring and exported models run the same functions.
"""

from ganad_tf.features.clip_encoder import ClipEncoder
from ganad_tf.features.log_mel import (
    LogMel,
    Normalizer,
    feature_layer,
    fewest_samples,
    log_mel_layer,
    n_frames,
    stack_frames,
    usable_deviation,
    windows_of,
)

__all__ = [
    "ClipEncoder",
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
