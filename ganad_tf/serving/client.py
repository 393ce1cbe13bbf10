"""Files → predictions of a server: TensorFlow Serving, or `ganad serve`. No TensorFlow here.

`http_client` and `grpc_client` know how a server is asked.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ganad_tf.errors import DataError, InputError
from ganad_tf.serving import wav
from ganad_tf.serving.http_client import AT_ONCE, Ask
from ganad_tf.serving.predictions import Prediction


def predict(ask: Ask, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Asks a server about files, a few at a time.

    Args:
      ask: The model on the server, as `http_client.connect` and `grpc_client.connect` make it of a URL.
      paths: Audio files of 16-bit samples.

    Yields:
      One for each file, in order: what the server says, or why it can't be said.
    """
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(partial(_predict_one, ask), paths)


def _predict_one(ask: Ask, path: Path) -> Prediction | DataError:
    try:
        file = _wav_bytes(path)
    except DataError as error:
        return error
    try:
        return _prediction(path, ask("score_wav", {"wav_bytes": np.array([file, None], dtype=object)[:1]}))
    except DataError as error:
        return DataError(f"{path}: {error}")


def _prediction(path: Path, outputs: Mapping[str, Any]) -> Prediction:
    try:
        score, is_anomaly, threshold = (outputs[name][0] for name in ("anomaly_score", "is_anomaly", "threshold"))
        return Prediction(str(path), float(score), bool(is_anomaly), float(threshold))
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("the server's model does not answer as one made by `ganad export` does.") from error


def _wav_bytes(path: Path) -> bytes:
    """The file as a plain 16-bit WAV file, its samples as they are.

    Raises:
      DataError: If it can't be read, or its samples don't fit into 16 bits.
    """
    try:
        with soundfile.SoundFile(path) as file:
            if file.subtype != "PCM_16":
                raise DataError(f"{path}: expected 16-bit samples, which a server takes. Received: {file.subtype}.")
            samples = file.read(dtype="int16", always_2d=True)
            declared, rate, form = file.frames, file.samplerate, file.format
        if form in ("WAV", "WAVEX"):
            return wav.plain(path.read_bytes(), str(path))
        if len(samples) != declared:
            raise DataError(f"{path}: expected {declared} samples as its header says; it is cut off.")
        return wav.encode(samples, rate)
    except InputError as error:
        raise DataError(str(error)) from error
    except (soundfile.SoundFileError, OSError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise DataError(f"{path}: expected an audio file that can be read. Received: {reason.rstrip('.')}.") from error
