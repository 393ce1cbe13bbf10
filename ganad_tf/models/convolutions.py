"""Windows as patches of a spectrogram, `[batch, frames, mels, 1]`, for the detectors that convolve."""

import functools
from collections.abc import Sequence
from typing import Literal

import keras
import numpy as np
from keras import layers, ops

Pooling = Literal["average", "maximum", "soft"]

LAST = "channels_last"  # whatever Keras' `image_data_format` says


def patch_shape(input_dim: int, frames: int) -> tuple[int, int, int]:
    """Shape of a window as a patch of one channel, `(frames, mels, 1)`.

    Args:
      input_dim: Length of a window.
      frames: Spectra in a window.

    Raises:
      ValueError: If `frames` does not divide `input_dim`.

    >>> patch_shape(8192, frames=64)
    (64, 128, 1)
    """
    if frames < 1 or input_dim % frames:
        raise ValueError(f"Expected input_dim to be a multiple of frames. Received: {input_dim} and {frames}.")
    return frames, input_dim // frames, 1


def poolings(size: Sequence[int], count: int) -> list[tuple[int, int]]:
    """Windows of `count` poolings, one after another: each halves the axes whose length is even, and no other.

    So a patch comes back from as many upsamplings in its own size, whatever that is.

    Args:
      size: Length of both axes.
      count: Number of poolings.

    >>> poolings((64, 128), 4)
    [(2, 2), (2, 2), (2, 2), (2, 2)]
    >>> poolings((5, 128), 4)
    [(1, 2), (1, 2), (1, 2), (1, 2)]
    >>> poolings((6, 4), 3)
    [(2, 2), (1, 2), (1, 1)]
    """
    windows = []
    frames, mels = size
    for _ in range(count):
        window = (1 if frames % 2 else 2, 1 if mels % 2 else 2)
        frames, mels = frames // window[0], mels // window[1]
        windows.append(window)
    return windows


def pool(values: keras.KerasTensor, window: Sequence[int], kind: Pooling) -> keras.KerasTensor:
    """Pools `[batch, frames, mels, channels]` by one of the `poolings` of its size.

    Keras' layers are not used, because XLA has no gradient of their maximum that is the same every time.

    Args:
      values: The values.
      window: Length along frames and mels.
      kind: `average`, `maximum`, or `soft`, the mean weighted by the exponentials of the values (SoftPool, Stergiou et
        al. 2021, arXiv 2101.00440, Eq. 2).

    >>> block = np.log(np.float32([1, 1, 1, 3]).reshape(1, 2, 2, 1))
    >>> [round(np.asarray(pool(block, (2, 2), kind)).item(), 4) for kind in ("average", "maximum", "soft")]
    [0.2747, 1.0986, 0.5493]
    """
    parts = [values[:, frame :: window[0], mel :: window[1]] for frame, mel in np.ndindex(*window)]
    if kind == "average":
        return sum(parts) / len(parts)
    largest = functools.reduce(ops.maximum, parts)
    if kind == "maximum":
        return largest
    weights = [ops.exp(part - ops.stop_gradient(largest)) for part in parts]
    return sum(weight * part for weight, part in zip(weights, parts, strict=True)) / sum(weights)


def batch_norm() -> layers.BatchNormalization:
    """Batch normalisation with the momentum of the authors' framework, and Keras' `epsilon`, 1e-3, for its 1e-5.

    A patch has thousands of values per channel, so a batch's averages are precise, and a training has few steps: Keras'
    0.99 would still be the beginning after a hundred.
    """
    return layers.BatchNormalization(momentum=0.9)
