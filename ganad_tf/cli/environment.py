"""Environment variables that a command sets for its own process, before Keras and TensorFlow read them."""

import os


def settle_keras() -> None:
    """Makes Keras the same everywhere, whatever the user has set for other programs; for the command line alone.

    A backend, a float type or an epsilon from `keras.json`, or a limit of epochs that somebody set to try something
    out, would end a command or change scores without a word. What is not a folder holds no `keras.json`.
    """
    for name in [name for name in os.environ if name.startswith("KERAS_")]:
        del os.environ[name]
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF_USE_LEGACY_KERAS": "0"}
