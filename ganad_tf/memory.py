"""A shortage of memory, in a sentence that names the recording that was too much."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tensorflow as tf

from ganad_tf.errors import DataError


@contextmanager
def enough_for(path: Path) -> Iterator[None]:
    """Says of a recording that it can't be worked on for want of memory.

    Raises:
      DataError: Instead of what NumPy and TensorFlow raise.
    """
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise DataError(
            f"{path}: expected enough memory for this recording, but there is too little; close other programs, "
            "or cut the recording into shorter ones."
        ) from error
