"""Float32 in full, on GPUs too."""

import tensorflow as tf


def full() -> None:
    """Keeps TensorFlow from computing float32 products in TensorFloat-32, as it does on GPUs that can, from now on.

    That has three digits: scores depended on the batch that a clip came in, by up to 5 in 10 000. Our networks are too
    small to gain by it.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
