"""Large arrays in little memory, and a shortage of it in a sentence that names the recording that was too much."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.errors import MemoryShortageError

LARGE = 2**22  # bytes; smaller arrays are copied faster than this takes
ALIGNMENT = 64  # bytes, as TensorFlow wants its tensors to be


@contextmanager
def enough_for(path: Path) -> Iterator[None]:
    """Says of a recording that it can't be worked on for want of memory.

    Raises:
      MemoryShortageError: Instead of what NumPy and TensorFlow raise.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise MemoryShortageError(
            f"{path}: expected enough memory for this recording, but there is too little; close other programs, "
            "or cut the recording into shorter ones."
        ) from error


def tensor_of(array: np.ndarray) -> tf.Tensor:
    """A tensor of the same values. Of a large array one copy is made, where `tf.constant` makes two and keeps both."""
    if array.nbytes < LARGE:
        return tf.constant(array)
    buffer = np.empty(array.nbytes + ALIGNMENT, np.uint8)
    begin = -buffer.ctypes.data % ALIGNMENT
    aligned = buffer[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return tf.experimental.dlpack.from_dlpack(aligned.__dlpack__())
