"""The signature `audio_format`, which returns constants: the audio settings of the exported model."""

import tensorflow as tf

from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.audio_format import AudioFormat


def audio_format_function(settings: AudioFormat) -> tf.types.experimental.GenericFunction:
    """Function that returns the settings as numbers by name, `[batch]` each for an input `[batch]`."""

    def repeat_values(request: tf.Tensor) -> dict[str, tf.Tensor]:
        return {name: tf.fill(tf.shape(request), value) for name, value in settings.as_numbers().items()}

    spec = tf.TensorSpec([None], tf.float32, audio_format.INPUT)
    return tf.function(repeat_values, input_signature=[spec], autograph=False)
