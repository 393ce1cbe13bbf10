"""Client of TensorFlow Serving's gRPC API: named arrays in, named arrays out.

Message classes come from the package tensorflow-serving-api, which imports TensorFlow.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from ganad_tf.errors import DataError, InputError
from ganad_tf.serving.predict import http_client
from ganad_tf.serving.predict.http_client import Ask

# Retries while the server is busy; gRPC itself allows at most five attempts.
RETRIES = """{"methodConfig": [{"name": [{}], "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.2s",
  "maxBackoff": "30s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}"""


def connect(url: str, *, headers: Sequence[str] = (), ca_cert: Path | None = None) -> Ask:
    """Returns a function that calls a model on a server, like that of `http_client.connect`.

    Args:
      url: `grpc://HOST:PORT/NAME[/versions/N]`, or `grpcs://` for TLS.
      headers: `NAME: VALUE` each, sent as metadata of every call.
      ca_cert: PEM file of the certificate authorities to trust instead of gRPC's own.

    Raises:
      InputError: If the URL does not name a model, or a header is malformed.
    """
    target, name, version, is_tls = _address(url)
    metadata = [(key.lower(), value) for key, value in http_client.parse_headers(headers).items()]
    channel = _channel(target, ca_cert, is_tls=is_tls)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(signature: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = name, signature
        if version is not None:
            request.model_spec.version.value = version
        for key, values in inputs.items():
            request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
        try:
            response = stub.Predict(request, timeout=http_client.TIMEOUT_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            code = str(error.code().name)
            raise DataError(f"grpc://{target}/{name} answered {code}: {_sentence(error)}") from error
        return {key: tf.make_ndarray(tensor) for key, tensor in response.outputs.items()}

    return ask


def _address(url: str) -> tuple[str, str, int | None, bool]:
    """Host and port, model, version, and whether the URL asks for TLS."""
    try:
        parts = urlsplit(url)
        path = re.fullmatch(r"/([^/]+)(?:/versions/(\d{1,18}))?/?", parts.path, re.ASCII)
        is_model = parts.hostname and parts.port and path and "@" not in parts.netloc
    except ValueError:
        is_model, path = False, None
    if not is_model or path is None:
        shown = http_client.hide_password(url)
        raise InputError(f"Expected the URL of a model, grpc://HOST:PORT/NAME, without a user. Received: {shown}.")
    return parts.netloc, path[1], int(path[2]) if path[2] else None, parts.scheme == "grpcs"


def _channel(target: str, ca_cert: Path | None, *, is_tls: bool) -> grpc.Channel:
    host = urlsplit(f"//{target}").hostname or ""
    options = [("grpc.max_receive_message_length", -1), ("grpc.service_config", RETRIES)]
    if http_client.is_loopback(host):
        options.append(("grpc.enable_http_proxy", 0))
    if not is_tls:
        return grpc.insecure_channel(target, options)
    try:
        roots = ca_cert.read_bytes() if ca_cert else None
    except OSError as error:
        raise InputError(f"--ca-cert: expected a file of certificates. Received: {ca_cert}.") from error
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options)


def _sentence(error: grpc.RpcError) -> str:
    return " ".join(str(error.details()).split())[:500]
