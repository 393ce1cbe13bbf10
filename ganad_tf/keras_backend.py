"""Keras as the detectors and the features need it: on TensorFlow, in float32.

Importing this module is the check. Whoever imports Keras here imports this first, so that one sentence says what is
missing where there would be a traceback of Keras's, at once or in the midst of a training.
"""

from ganad_tf.errors import KerasBackendError

try:
    import keras
except (ImportError, ValueError, AssertionError) as error:  # no jax here; a value that no Keras takes
    raise KerasBackendError(
        f"Keras can't be imported as it is set: {error}. Set the environment variable KERAS_BACKEND=tensorflow, and "
        "mend or remove keras.json (in ~/.keras or KERAS_HOME)."
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
