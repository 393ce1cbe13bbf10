"""Frequencies of the bands of spectra."""

import librosa
import numpy as np


def mel_edges(n_mels: int, sample_rate: int, fmin: float = 0.0, fmax: float | None = None) -> np.ndarray:
    """Edges and centres of mel bands, `[mels + 2]` in hertz: band k has edges k and k + 2, and its centre at k + 1.

    >>> mel_edges(3, 16000).round().tolist()
    [0.0, 754.0, 1689.0, 3676.0, 8000.0]
    """
    return np.asarray(librosa.mel_frequencies(n_mels + 2, fmin=fmin, fmax=sample_rate / 2 if fmax is None else fmax))


def linear_edges(n_bins: int, sample_rate: int) -> np.ndarray:
    """Edges and centres of the bins of an FFT, `[bins + 2]` in hertz, as those of `mel_edges`.

    >>> linear_edges(5, 16000).tolist()
    [0.0, 0.0, 2000.0, 4000.0, 6000.0, 8000.0, 8000.0]
    """
    highest = sample_rate / 2
    return np.clip(np.arange(-1, n_bins + 1) * highest / (n_bins - 1), 0.0, highest)


def band_edges(kind: str, n_bands: int, sample_rate: int, fmin: float = 0.0, fmax: float | None = None) -> np.ndarray:
    """Edges and centres of the bands of `feature.kind`, `[bands + 2]` in hertz: of bins if `linear`, else of mels."""
    return linear_edges(n_bands, sample_rate) if kind == "linear" else mel_edges(n_bands, sample_rate, fmin, fmax)
