"""Samples → the bytes of a 16-bit PCM WAV file, which is what exported models take."""

import io

import numpy as np
import soundfile


def encode(waveform: np.ndarray, sample_rate: int) -> bytes:
    """`[samples]` or `[samples, channels]` in [-1, 1] → a WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, waveform, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()
