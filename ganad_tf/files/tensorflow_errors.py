"""Files that TensorFlow writes itself: a full disk is an `OSError` there too, as for what Python writes."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def writing() -> Iterator[None]:
    """Makes TensorFlow's errors those of the operating system that are behind them."""
    try:
        yield
    except tf.errors.OpError as error:  # such as `path/of/a/file; No space left on device [Op:SaveV2]`
        raise OSError(error.message.rpartition("; ")[2].partition(" [Op:")[0]) from error
