"""Environment variables of the command line's process, set before Keras and TensorFlow read them."""

import os


def reset_keras_settings() -> None:
    """Resets Keras to its defaults, whatever the user has set for other programs; for the command line only.

    A backend, a float type or an epsilon in `keras.json`, or a forgotten limit of epochs, would stop a command or
    silently change scores. KERAS_HOME is set to a path that is no folder and so holds no `keras.json`.
    """
    for name in [name for name in os.environ if name.startswith("KERAS_")]:
        del os.environ[name]
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF_USE_LEGACY_KERAS": "0"}


def set_ray_defaults() -> None:
    """Has Ray send no statistics and print no advice; for the command line only, before Ray is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
