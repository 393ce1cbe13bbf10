"""The clip of a request that a model refuses, by its number."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from ganad_tf.errors import InputError

Outputs = dict[str, np.ndarray]


def call(
    model: Callable[[str, Mapping[str, np.ndarray]], Outputs], signature: str, inputs: Mapping[str, np.ndarray]
) -> Outputs:
    """Calls a model; a refusal names the clip that it is about.

    The graph says `wav_bytes: expected a sample rate of ...` of any clip of a batch. Clips are then asked about one
    by one, until one is refused: this takes at most as long as the request itself.

    Raises:
      InputError: As the model does, with `wav_bytes[2]:` for the third clip of several.
    """
    try:
        return model(signature, inputs)
    except InputError as error:
        n_clips = min((len(values) for values in inputs.values()), default=0)
        name, colon, _ = str(error).partition(":")
        if n_clips < 2 or not colon or name not in inputs or re.search(r"\bclip \d", str(error)):
            raise
        for number in range(n_clips):
            try:
                model(signature, {key: values[number : number + 1] for key, values in inputs.items()})
            except InputError as own:
                sentence = str(own).removeprefix(f"{name}:")
                raise InputError(f"{name}[{number}]:{sentence}") from own
        raise
