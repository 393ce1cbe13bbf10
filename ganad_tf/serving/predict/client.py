"""Files → predictions by a model on a server, TensorFlow Serving or `ganad serve`. No TensorFlow.

`http_client` and `grpc_client` connect to the server.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import DataError
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.models.signature import FALSE_ALARMS, MACHINE, MACHINE_ID
from ganad_tf.serving.predict.excerpts import Excerpt, excerpts
from ganad_tf.serving.predict.http_client import CONCURRENT_REQUESTS, Ask
from ganad_tf.serving.predict.predictions import Prediction, no_p_values, refused

# Server and input name before the reason why a clip is refused; removed, so that the message reads as in process.
_OF_THE_MODEL = re.compile(
    r"^\S+ answered (?:400|INVALID_ARGUMENT): (?:(?:wav_bytes|waveform)(?:\[0\])?: |(?=false_alarms: ))"
)


def predict(
    ask: Ask,
    paths: Sequence[Path],
    false_alarms: float | None = None,
    machine_id: str | None = None,
    machine: str | None = None,
) -> Iterator[Prediction | DataError]:
    """Scores files on a server, with several requests at a time.

    Args:
      ask: Calls the model on the server; made by `http_client.connect` or `grpc_client.connect`.
      paths: Audio files in any format that `ganad prepare` reads.
      false_alarms: The rate that sets the threshold; None for the threshold of the export.
      machine_id: The machine that the files are of, for models that need it.
      machine: The machine of a fleet that the files are of.

    Yields:
      One per clip, in order: its prediction, or the error that prevented it.

    Raises:
      DataError: If the server does not return the model's audio format, or the model lacks the p-values that a rate
        needs.
      InputError: If the rate is lower than the model allows.
    """
    clip_format = audio_format.fetch(ask)
    given = {MACHINE_ID: machine_id, MACHINE: machine}
    names = {name: np.array([of.encode()], dtype=object) for name, of in given.items() if of is not None}
    with ThreadPoolExecutor(CONCURRENT_REQUESTS) as pool:
        clips = excerpts(paths, clip_format.audio)
        yield from pool.map(partial(_predict_one, ask, clip_format, false_alarms, names), clips)


def _predict_one(
    ask: Ask,
    clip_format: AudioFormat,
    false_alarms: float | None,
    names: Mapping[str, np.ndarray],
    clip: Excerpt | DataError,
) -> Prediction | DataError:
    if isinstance(clip, DataError):
        return clip
    try:
        of_clip = replace(clip_format, audio=clip_format.audio.of_channel(clip.channel))
        signature, inputs = audio_format.read_request(clip.path, of_clip, clip.span)
    except DataError as error:
        return error
    if false_alarms is not None:
        signature = signature.replace("score", "decide")
        inputs[FALSE_ALARMS] = np.full(1, false_alarms, np.float32)
    inputs.update(names)
    try:
        return _prediction(clip, ask(signature, inputs))
    except DataError as error:
        if false_alarms is not None and signature in str(error):  # the server doesn't know it
            raise no_p_values("the server's") from error
        return refused(clip, _OF_THE_MODEL.sub("", str(error)))


def _prediction(clip: Excerpt, outputs: Mapping[str, Any]) -> Prediction:
    try:
        return Prediction.from_outputs(clip, outputs)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("the server's model does not answer like one made by `ganad export`.") from error
