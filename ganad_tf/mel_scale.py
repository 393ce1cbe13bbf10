"""Frequencies of mel bands."""

import librosa
import numpy as np


def mel_edges(n_mels: int, sample_rate: int) -> np.ndarray:
    """Edges and centres of mel bands, `[mels + 2]` in hertz: band k has edges k and k + 2, and its centre at k + 1.

    >>> mel_edges(3, 16000).round().tolist()
    [0.0, 754.0, 1689.0, 3676.0, 8000.0]
    """
    return np.asarray(librosa.mel_frequencies(n_mels + 2, fmin=0.0, fmax=sample_rate / 2))
