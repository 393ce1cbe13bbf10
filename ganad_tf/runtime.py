"""Switches of the whole process. The command line throws them; nothing that a script calls does.

A script that trains or scores with this package finds TensorFlow and Keras as it had left them, and throws by itself
what it wants: on a GPU `full_float32`, for a training that can be repeated to the last bit `deterministic`.
"""

import keras
import tensorflow as tf

_thrown: set[str] = set()  # TensorFlow does not tell


def full_float32() -> None:
    """From now on TensorFlow does not compute float32 products in TensorFloat-32, as it does on GPUs that can.

    That has three digits: scores depended on the batch that a clip came in, by up to 5 in 10 000.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)


def deterministic() -> None:
    """From now on every operation gives the same on the same machine; TensorFlow has no way back."""
    tf.config.experimental.enable_op_determinism()
    _thrown.add("determinism")


def is_deterministic() -> bool:
    """Whether `deterministic` was called in this process."""
    return "determinism" in _thrown


def forget_models() -> None:
    """Lets go of what Keras keeps of models that nobody uses any more."""
    keras.backend.clear_session()
