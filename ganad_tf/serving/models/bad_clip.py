"""Calls of a model that name the refused clip of a batch."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from ganad_tf.errors import InputError

Outputs = dict[str, np.ndarray]


def call(
    model: Callable[[str, Mapping[str, np.ndarray]], Outputs], signature: str, inputs: Mapping[str, np.ndarray]
) -> Outputs:
    """Calls a model; an error message names the refused clip.

    The graph's message, such as `wav_bytes: expected a sample rate of ...`, does not say which clip of the batch is
    meant. The clips are then scored one by one until one is refused, which takes at most as long as the batch.

    Raises:
      InputError: The model's message, with `wav_bytes[2]:` if the third of several clips is refused.
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
            except InputError as clip_error:
                sentence = str(clip_error).removeprefix(f"{name}:")
                raise InputError(f"{name}[{number}]:{sentence}") from clip_error
        raise
