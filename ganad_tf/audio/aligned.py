"""Arrays with the memory alignment of TensorFlow's tensors, so that they need not be copied. Needs no TensorFlow."""

import numpy as np

BYTES = 64  # alignment of addresses


def empty(n: int) -> np.ndarray:
    """Uninitialised aligned array, `[n]` float32."""
    size = n * np.dtype(np.float32).itemsize
    buffer = np.empty(size + BYTES, np.uint8)
    begin = -buffer.ctypes.data % BYTES
    return buffer[begin : begin + size].view(np.float32)


def is_aligned(array: np.ndarray) -> bool:
    """Whether an array is aligned, contiguous and writable."""
    return bool(array.ctypes.data % BYTES == 0 and array.flags.c_contiguous and array.flags.writeable)
