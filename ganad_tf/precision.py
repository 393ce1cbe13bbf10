"""Float32 in full, on GPUs too."""

import tensorflow as tf


def full() -> None:
    """From now on TensorFlow does not compute float32 products in TensorFloat-32, as it does on GPUs that can.

    That has three digits: scores depended on the batch that a clip came in, by up to 5 in 10 000. `train`, `score`,
    `export`, `predict` and `serve` call this; a script that uses the detectors by themselves has to.
    """
    tf.config.experimental.enable_tensor_float_32_execution(False)
