"""Conversion of large arrays without copies, and lack of memory as an error that names the recording."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.audio import aligned
from ganad_tf.errors import MemoryShortageError

LARGE = 2**22  # bytes; smaller arrays are copied faster than shared


@contextmanager
def enough_for(path: Path) -> Iterator[None]:
    """Converts the out-of-memory errors of NumPy and TensorFlow to one that names the recording.

    Raises:
      MemoryShortageError: If memory runs out.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryShortageError(path) from error


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """Float32 tensor of an array's values. It may share the memory of a large array, which must not change afterwards.

    `tf.constant` makes two copies of an array and keeps both for a while. Here an aligned array is shared, and any
    other is copied once.
    """
    if array.nbytes < LARGE:
        return tf.constant(array, tf.float32)
    if not aligned.is_aligned(array):
        copied = aligned.empty(array.size).reshape(array.shape)
        copied[...] = array
        array = copied
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
