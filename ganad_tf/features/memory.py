"""Large arrays in little memory, and a shortage of it in a sentence that names the recording that was too much."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.audio import aligned
from ganad_tf.errors import MemoryShortageError

LARGE = 2**22  # bytes; smaller arrays are copied faster than this takes


@contextmanager
def enough_for(path: Path) -> Iterator[None]:
    """Says of a recording that it can't be worked on for want of memory.

    Raises:
      MemoryShortageError: Instead of what NumPy and TensorFlow raise.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryShortageError(path) from error


def tensor_of(array: np.ndarray) -> tf.Tensor:
    """A tensor of the same values, float32; a large array must not be changed any more.

    `tf.constant` makes two copies of an array and keeps both for a while. Here an aligned one is taken as it is, and
    another is copied once.
    """
    if array.nbytes < LARGE:
        return tf.constant(array, tf.float32)
    if not aligned.is_aligned(array):
        copied = aligned.empty(array.size).reshape(array.shape)
        copied[...] = array
        array = copied
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
