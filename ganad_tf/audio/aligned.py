"""Arrays in memory as TensorFlow wants its tensors to be, so that they need not be copied. No TensorFlow here."""

import numpy as np

BYTES = 64  # of which addresses are multiples


def empty(n: int) -> np.ndarray:
    """`[n]` float32, of any values."""
    size = n * np.dtype(np.float32).itemsize
    buffer = np.empty(size + BYTES, np.uint8)
    begin = -buffer.ctypes.data % BYTES
    return buffer[begin : begin + size].view(np.float32)


def is_aligned(array: np.ndarray) -> bool:
    """Whether an array begins at such an address, and has no gaps."""
    return bool(array.ctypes.data % BYTES == 0 and array.flags.c_contiguous and array.flags.writeable)
