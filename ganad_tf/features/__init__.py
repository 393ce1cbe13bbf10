"""Features: samples → log-mel spectra in dB → standardised, stacked windows, as Keras layers and TensorFlow functions.

`log_mel.py` computes them as librosa does, `mel_filters.py` holds the filters, `pieces.py` and `memory.py` keep long
recordings in little memory. The cache, scoring and exported models run the same functions.
"""

from ganad_tf.features.log_mel import (
    LogMel,
    Normalizer,
    fewest_samples,
    log_mel_of,
    n_frames,
    stack_frames,
    usable_deviation,
    windows_of,
)

__all__ = [
    "LogMel",
    "Normalizer",
    "fewest_samples",
    "log_mel_of",
    "n_frames",
    "stack_frames",
    "usable_deviation",
    "windows_of",
]
