"""Translation of TensorFlow's errors of writing files, such as on a full disk, to `OSError`."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def as_oserror() -> Iterator[None]:
    """Raises TensorFlow's errors as the `OSError` of the operating system that caused them."""
    try:
        yield
    except tf.errors.OpError as error:  # such as `path/of/a/file; No space left on device [Op:SaveV2]`
        raise OSError(error.message.rpartition("; ")[2].partition(" [Op:")[0]) from error
