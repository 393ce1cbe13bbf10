"""Process-wide switches of TensorFlow and Keras. The command line sets them; no function that a script calls does.

A script that trains or scores with this package keeps the TensorFlow and Keras settings it had. It calls what it
wants: `full_float32` on a GPU, `deterministic` for a training that is reproducible to the last bit.
"""

import atexit
import gc

import keras
import tensorflow as tf

_switched_on: set[str] = set()  # TensorFlow has no getter for op determinism
_strategies: list[tf.distribute.Strategy] = []  # of the workers; TensorFlow connects them once per process


def full_float32() -> None:
    """Disables TensorFloat-32, in which GPUs that support it compute float32 matrix products by default.

    Its three significant digits made a clip's score depend on the batch it was in, by up to 5 in 10 000.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)


def deterministic() -> None:
    """Makes all operations reproducible on the same machine. TensorFlow can't undo this within a process."""
    tf.config.experimental.enable_op_determinism()
    _switched_on.add("determinism")


def is_deterministic() -> bool:
    """Whether `deterministic` was called in this process."""
    return "determinism" in _switched_on


def join_workers() -> None:
    """Connects this process with the other workers that the environment variable TF_CONFIG names, and waits for them.

    Has to come before TensorFlow computes anything.

    Raises:
      RuntimeError: If it has already.
      tf.errors.OpError: If a worker can't be reached.
    """
    if not _strategies:
        _strategies.append(tf.distribute.MultiWorkerMirroredStrategy())
        atexit.register(_leave_workers)


def _leave_workers() -> None:
    """Ends the strategy's threads, which print a traceback if Python is taken down before them."""
    _strategies.clear()
    gc.collect()


def workers() -> tf.distribute.Strategy | None:
    """The strategy that `join_workers` has made; None if it was not called."""
    return _strategies[0] if _strategies else None


def forget_models() -> None:
    """Frees the memory that Keras keeps for models that are no longer in use."""
    keras.backend.clear_session()
