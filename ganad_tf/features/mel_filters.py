"""Librosa's mel filters as matrices, without the zeros that most of them are."""

import warnings

import librosa
import numpy as np

GROUPS = 4  # of mel bands; more are more calls, fewer more multiplications by zero


def matrix(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Librosa's mel filters, `[1 + n_fft // 2, mels]` float32."""
    with warnings.catch_warnings(action="ignore"):  # librosa warns of empty bands; here they are an error
        filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, dtype=np.float64)
    empty = int((filters.max(axis=1) == 0).sum())
    if empty:
        raise ValueError(
            f"Expected fewer mel bands or more samples per spectrum: {empty} of {n_mels} bands are empty. "
            f"Received: n_mels={n_mels}, n_fft={n_fft}, sample_rate={sample_rate}."
        )
    return np.ascontiguousarray(filters.T, dtype=np.float32)


def in_groups(bands: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    """The filters of neighbouring bands with the bins that they look at: the rest of the matrix is zeros."""
    groups = []
    for filters in np.array_split(bands, GROUPS, axis=1):
        used = np.flatnonzero(filters.any(axis=1))
        if len(used):  # fewer bands than groups leave some empty
            bins = slice(int(used[0]), int(used[-1]) + 1)
            groups.append((bins, np.ascontiguousarray(filters[bins])))
    return groups
