"""Environment variables of the command line's process, set or checked before Keras and TensorFlow read them."""

import json
import os

from ganad_tf.errors import ConfigError


def reset_keras_settings() -> None:
    """Resets Keras to its defaults, whatever the user has set for other programs; for the command line only.

    A backend, a float type or an epsilon in `keras.json`, or a forgotten limit of epochs, would stop a command or
    silently change scores. KERAS_HOME is set to a path that is no folder and so holds no `keras.json`.
    """
    for name in [name for name in os.environ if name.startswith("KERAS_")]:
        del os.environ[name]
    os.environ |= {"KERAS_BACKEND": "tensorflow", "KERAS_HOME": os.devnull, "TF_USE_LEGACY_KERAS": "0"}


def check_workers() -> int:
    """Number of workers in TF_CONFIG, by which TensorFlow finds them.

    Raises:
      ConfigError: If it is missing or can't be read, or names no other worker.
    """
    given = os.environ.get("TF_CONFIG", "")
    try:
        settings = json.loads(given)
        addresses, task = settings["cluster"]["worker"], settings["task"]
        is_complete = len(addresses) > 1 and len(settings["cluster"]) == 1 and all(":" in each for each in addresses)
        if is_complete and task["type"] == "worker" and int(task["index"]) in range(len(addresses)):
            return len(addresses)
    except (ValueError, TypeError, KeyError):  # told below, with what was expected
        pass
    raise ConfigError(
        "Expected the environment variable TF_CONFIG for `fit.distribute: multi_worker`, as in "
        '\'{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, "task": {"type": "worker", "index": 0}}\'. '
        f"Received: {given or 'none'}."
    )


def set_ray_defaults() -> None:
    """Has Ray send no statistics and print no advice; for the command line only, before Ray is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
