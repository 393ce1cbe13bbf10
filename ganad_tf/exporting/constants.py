"""The signature by which an exported model says how its clips are to be read."""

import tensorflow as tf

from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.audio_format import AudioFormat


def function_of(wanted: AudioFormat) -> tf.types.experimental.GenericFunction:
    """A function that returns the numbers of `wanted` by name, once for every entry of its input `[batch]`."""

    def values_for_each(request: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.fill(tf.shape(request), value) for name, value in wanted.as_numbers().items()}

    return tf.function(values_for_each, input_signature=[tf.TensorSpec([None], tf.float32, audio_format.INPUT)])
