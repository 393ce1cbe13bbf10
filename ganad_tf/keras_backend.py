"""Check, on import, that Keras runs on TensorFlow and in float32, as the detectors and the features need.

Modules that import Keras import this one first, so that a wrong setup gives one sentence at once instead of a
traceback from inside Keras, perhaps in the middle of a training.
"""

from ganad_tf.errors import KerasBackendError

try:
    import keras
except (ImportError, ValueError, AssertionError) as error:  # a backend that is not installed; an invalid value
    raise KerasBackendError(
        f"Keras can't be imported as it is configured: {error}. Set the environment variable KERAS_BACKEND=tensorflow, "
        "and fix or remove keras.json (in ~/.keras or KERAS_HOME)."
    ) from error

if keras.config.backend() != "tensorflow":
    raise KerasBackendError(
        f"Expected Keras on TensorFlow. Received: the backend {keras.config.backend()!r}; set the environment variable "
        "KERAS_BACKEND=tensorflow before Keras is imported."
    )
if keras.config.floatx() != "float32":
    raise KerasBackendError(
        f"Expected Keras with numbers in float32. Received: floatx={keras.config.floatx()!r}; call "
        "keras.config.set_floatx('float32') before ganad_tf is imported, or change keras.json (in ~/.keras or "
        "KERAS_HOME)."
    )
