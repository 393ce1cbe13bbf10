"""Files → predictions of a server: TensorFlow Serving, or `ganad serve`. No TensorFlow here.

`http_client` and `grpc_client` know how a server is asked.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ganad_tf.errors import DataError
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.predict.http_client import AT_ONCE, Ask
from ganad_tf.serving.predict.predictions import Prediction

# Who says that a clip can't be scored, and of which input: left out, so that it is said as in process.
_OF_THE_MODEL = re.compile(r"^\S+ answered (?:400|INVALID_ARGUMENT): (?:wav_bytes|waveform)(?:\[0\])?: ")


def predict(ask: Ask, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Asks a server about files, a few at a time.

    Args:
      ask: The model on the server, as `http_client.connect` and `grpc_client.connect` make it of a URL.
      paths: Audio files in any format that `ganad prepare` reads.

    Yields:
      One for each file, in order: what the server says, or why it can't be said.

    Raises:
      DataError: If the server does not say how the model's clips are to be read.
    """
    wanted = audio_format.ask_for(ask)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(partial(_predict_one, ask, wanted), paths)


def _predict_one(ask: Ask, wanted: AudioFormat, path: Path) -> Prediction | DataError:
    try:
        signature, inputs = audio_format.request_for(path, wanted)
    except DataError as error:
        return error
    try:
        return _prediction(path, ask(signature, inputs))
    except DataError as error:
        return DataError(f"{path}: {_OF_THE_MODEL.sub('', str(error))}")


def _prediction(path: Path, outputs: Mapping[str, Any]) -> Prediction:
    try:
        score, is_anomaly, threshold = (outputs[name][0] for name in ("anomaly_score", "is_anomaly", "threshold"))
        return Prediction(str(path), float(score), bool(is_anomaly), float(threshold))
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("the server's model does not answer as one made by `ganad export` does.") from error
