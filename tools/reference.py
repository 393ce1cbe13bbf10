"""The same work in plain code, as most people write it and as the challenge's baseline does: what speed is measured by.

librosa clip by clip, every window of a machine type in one float64 array, `fit` on that array, `predict` clip by
clip. Nothing here knows `ganad_tf`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np

N_FFT, HOP, N_MELS, FRAMES = 1024, 512, 128, 5


def windows_of(path: Path) -> np.ndarray:
    """One clip's windows, `[n_windows, 640]` float64."""
    samples, rate = librosa.load(path, sr=None)
    mel = librosa.feature.melspectrogram(
        y=samples, sr=rate, n_fft=N_FFT, hop_length=HOP, n_mels=N_MELS, power=2.0, pad_mode="reflect"
    )
    level = 10.0 * np.log10(mel + sys.float_info.epsilon)
    n_windows = level.shape[1] - FRAMES + 1
    windows = np.zeros((n_windows, FRAMES * N_MELS))
    for frame in range(FRAMES):
        windows[:, frame * N_MELS : (frame + 1) * N_MELS] = level[:, frame : frame + n_windows].T
    return windows


def load_all(paths: Sequence[Path]) -> np.ndarray:
    """Every window of every clip, `[n, 640]` float64."""
    first = windows_of(paths[0])
    everything = np.zeros((len(first) * len(paths), first.shape[1]))
    for number, path in enumerate(paths):
        everything[number * len(first) : (number + 1) * len(first)] = windows_of(path)
    return everything


def dense_ae():
    """The challenge's autoencoder, compiled: a functional Keras model of 269 992 parameters."""
    import keras

    inputs = values = keras.Input([FRAMES * N_MELS])
    for units in (128, 128, 128, 128, 8, 128, 128, 128, 128):
        values = keras.layers.Dense(units)(values)
        values = keras.layers.BatchNormalization()(values)
        values = keras.layers.Activation("relu")(values)
    model = keras.Model(inputs, keras.layers.Dense(FRAMES * N_MELS)(values))
    model.compile(optimizer="adam", loss="mean_squared_error")
    return model


def scores(model, paths: Sequence[Path]) -> list[float]:
    """One number per clip: `predict`, and the mean squared error."""
    results = []
    for path in paths:
        windows = windows_of(path)
        results.append(float(np.mean(np.square(windows - model.predict(windows, verbose=0)))))
    return results
