"""Mel filters of librosa as small dense matrices, without most of their zeros."""

import warnings

import librosa
import numpy as np

GROUPS = 4  # of mel bands; more mean more operations, fewer mean more multiplications by zero


def matrix(sample_rate: int, n_fft: int, n_mels: int, fmin: float = 0.0, fmax: float | None = None) -> np.ndarray:
    """Mel filters of librosa, `[1 + n_fft // 2, mels]` float32.

    Raises:
      ValueError: If a filter is empty.
    """
    with warnings.catch_warnings(action="ignore"):  # librosa warns of empty bands; here they are an error
        filters = librosa.filters.mel(
            sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=fmin, fmax=fmax, dtype=np.float64
        )
    empty = int((filters.max(axis=1) == 0).sum())
    if empty:
        raise ValueError(
            f"Expected fewer mel bands or more samples per spectrum: {empty} of {n_mels} bands are empty. "
            f"Received: n_mels={n_mels}, n_fft={n_fft}, sample_rate={sample_rate}, fmin={fmin}, "
            f"fmax={fmax}."
        )
    return np.ascontiguousarray(filters.T, dtype=np.float32)


def grouped(bands: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    """Splits the filters into groups of neighbouring bands, each with the range of its nonzero FFT bins.

    Args:
      bands: `[bins, mels]`.

    Returns:
      Per group the range of bins, and the filters there, `[bins of the range, mels of the group]`.
    """
    groups = []
    for filters in np.array_split(bands, GROUPS, axis=1):
        used = np.flatnonzero(filters.any(axis=1))
        if len(used):  # fewer bands than groups leave some empty
            bins = slice(int(used[0]), int(used[-1]) + 1)
            groups.append((bins, np.ascontiguousarray(filters[bins])))
    return groups
