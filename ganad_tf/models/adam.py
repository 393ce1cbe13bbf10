"""The optimizer's name in detectors that `ganad train` has saved before it took `keras.optimizers.Adam`."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="ganad_tf")
class Adam(keras.optimizers.Adam):
    """Stands for `ganad_tf>Adam` in saved files; loading them gives `keras.optimizers.Adam`.

    >>> type(Adam.from_config({"learning_rate": 0.5})) is keras.optimizers.Adam
    True
    """

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> keras.optimizers.Adam:
        """Keras' Adam, whose settings and variables are the same."""
        return keras.optimizers.Adam.from_config(config)
