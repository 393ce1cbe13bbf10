"""Files → predictions of a server, TensorFlow Serving or `ganad serve`, over its REST API. No TensorFlow here."""

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import soundfile

from ganad_tf.errors import DataError, InputError
from ganad_tf.serving import wav
from ganad_tf.serving.predictions import Prediction

AT_ONCE = 8  # requests
SECONDS = 60  # that an answer may take


def is_url(model: str) -> bool:
    """Whether it names a model on a server, not a folder."""
    return model.startswith(("http://", "https://"))


def predict(url: str, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Asks a server about files, a few at a time.

    Args:
      url: `http://HOST:PORT/v1/models/NAME`, with `/versions/N` for one that is not the newest.
      paths: Audio files of 16-bit samples.

    Yields:
      One for each file, in order: what the server says, or why it can't be said.

    Raises:
      InputError: If the URL does not name a model.
    """
    address = _address(url)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield from pool.map(partial(_predict_one, f"{address}:predict"), paths)


def _address(url: str) -> str:
    address = url.removesuffix("/").removesuffix(":predict")
    try:
        parts = urlsplit(address)
        is_model = parts.hostname and parts.port != 0 and "/v1/models/" in parts.path and " " not in address
    except ValueError:
        is_model = False
    if not is_model:
        raise InputError(f"Expected the URL of a model, http://HOST:PORT/v1/models/NAME. Received: {url}.")
    return address


def _predict_one(url: str, path: Path) -> Prediction | DataError:
    try:
        file = base64.b64encode(_wav_bytes(path)).decode()
        body = json.dumps({"signature_name": "score_wav", "instances": [{"b64": file}]}).encode()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            row = json.loads(answer.read())["predictions"][0]
        return Prediction(str(path), float(row["anomaly_score"]), bool(row["is_anomaly"]), float(row["threshold"]))
    except DataError as error:
        return error
    except urllib.error.HTTPError as error:
        return DataError(f"{path}: {url} answered {error.code}: {_reason(error)}")
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError) as error:
        return DataError(f"{path}: no prediction from {url}: {getattr(error, 'reason', error)}.")


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


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"])
    except (OSError, http.client.HTTPException, ValueError, LookupError, TypeError):
        return str(error.reason)
