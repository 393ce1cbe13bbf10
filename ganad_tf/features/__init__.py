"""Features: samples → log-mel spectra in dB → standardised, stacked windows, as Keras layers and TensorFlow functions.

`log_mel.py` computes them as librosa does, `mel_filters.py` holds the filters, `pieces.py` and `memory.py` limit the
memory that long recordings take. The cache, scoring and exported models run the same functions.
"""

from ganad_tf.features.log_mel import (
    LogMel,
    Normalizer,
    fewest_samples,
    log_mel_layer,
    n_frames,
    stack_frames,
    usable_deviation,
    windows_of,
)

__all__ = [
    "LogMel",
    "Normalizer",
    "fewest_samples",
    "log_mel_layer",
    "n_frames",
    "stack_frames",
    "usable_deviation",
    "windows_of",
]
