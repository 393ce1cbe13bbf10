"""TensorFlow Serving's gRPC API for the same service as HTTP: same limits, same messages, same scores.

`PredictionService.Predict` and `.GetModelMetadata`, `ModelService.GetModelStatus`, and gRPC's health check, which
Kubernetes calls; all other methods answer UNIMPLEMENTED. Message classes come from the package tensorflow-serving-api.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import grpc
import tensorflow as tf
from google.protobuf import json_format
from google.protobuf.message import Message
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from ganad_tf.errors import DataError, InputError
from ganad_tf.serving import logs
from ganad_tf.serving.access import Access
from ganad_tf.serving.grpc import messages
from ganad_tf.serving.models.signature import shorten
from ganad_tf.serving.pools import start_pool
from ganad_tf.serving.protocols import rest
from ganad_tf.serving.refusals import BUG, RefusedError, refusal
from ganad_tf.serving.service import Service

logger = logging.getLogger(__name__)

PREDICTION, MODEL = "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"
HEALTH = "grpc.health.v1.Health"
ABSENT = {
    PREDICTION: ("Classify", "Regress", "MultiInference", "PredictStreamed"),
    MODEL: ("HandleReloadConfigRequest",),
}
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,  # gRPC clients retry it
}
CALLS_PER_SLOT = 16  # concurrent calls per queue slot: a call without its message occupies no slot
IDLE_BODIES = 10  # times `body_seconds`: timeout of an idle connection; clients reconnect by themselves
STREAMS = 100  # minimum per connection; HTTP/2 advises against fewer
CLIENT_GONE = 499  # status in the metrics: the client cancelled the call
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"  # grpc.health.v1.HealthCheckResponse


def tls_credentials(certificate: Path, key: Path | None) -> grpc.ServerCredentials:
    """TLS credentials from the PEM files that `access.tls` has checked."""
    return grpc.ssl_server_credentials([((key or certificate).read_bytes(), certificate.read_bytes())])


Work = Callable[[Any], Awaitable[Message]]


class GrpcServer:
    """gRPC server of a service; created, started and stopped in the service's event loop.

    Args:
      service: Scoring service.
      host: Address or name to listen on.
      port: Port; 0 for any free one.
      access: Token rule for `authorization` in a call's metadata.
      credentials: TLS credentials; None for plain text.
      has_access_log: Whether to log each call.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str,
        port: int,
        access: Access,
        credentials: grpc.ServerCredentials | None = None,
        has_access_log: bool = False,
    ) -> None:
        self._service = service
        self._address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._access = access
        self._credentials = credentials
        self._has_access_log = has_access_log
        self._parser = start_pool(1, "parse-grpc")  # one message at a time bounds the memory
        limits = service.limits
        self._server = grpc.aio.server(
            maximum_concurrent_rpcs=CALLS_PER_SLOT * limits.queue,
            options=[
                ("grpc.max_receive_message_length", int(limits.body_mb * 1e6)),
                ("grpc.max_send_message_length", int(limits.answer_mb * 1e6)),
                ("grpc.max_concurrent_streams", max(STREAMS, limits.queue)),
                ("grpc.max_allowed_incoming_connections", limits.connections),
                ("grpc.server_handshake_timeout_ms", int(limits.head_seconds * 1e3)),
                ("grpc.max_connection_idle_ms", int(IDLE_BODIES * limits.body_seconds * 1e3)),
                ("grpc.max_metadata_size", int(limits.head_kb * 1e3)),
                ("grpc.so_reuseport", 0),  # a taken port is an error
            ],
        )
        methods: dict[str, dict[str, tuple[type[Message] | None, Work]]] = {
            PREDICTION: {
                "Predict": (predict_pb2.PredictRequest, self._predict),
                "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, self._metadata),
            },
            MODEL: {"GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, self._status)},
        }
        for name, known in methods.items():
            handlers = {method: self._handler(method, kind, work) for method, (kind, work) in known.items()}
            handlers |= {method: self._handler(method, None, _absent(method)) for method in ABSENT[name]}
            self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])
        health = {"Check": grpc.unary_unary_rpc_method_handler(self._health)}
        self._server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(HEALTH, health)])

    async def start(self) -> str:
        """Starts to listen; returns the URL.

        Raises:
          DataError: If the address is taken, or not one of this machine.
        """
        try:
            if self._credentials:
                port = self._server.add_secure_port(self._address, self._credentials)
            else:
                port = self._server.add_insecure_port(self._address)
        except RuntimeError as error:
            raise DataError(f"Can't listen on {self._address} for gRPC; is the port taken?") from error
        await self._server.start()
        scheme = "grpcs" if self._credentials else "grpc"
        return f"{scheme}://{self._address.rpartition(':')[0]}:{port}"

    async def stop(self, seconds: float) -> None:
        """Accepts no new calls and cancels those that take longer than `seconds`."""
        await self._server.stop(seconds)
        self._parser.shutdown(cancel_futures=True)

    def _handler(self, method: str, kind: type[Message] | None, work: Work) -> grpc.RpcMethodHandler:
        """Handler of a unary method with a timeout for the request message.

        The handler declares a client stream, which is the same on the wire, because gRPC has no timeout for the
        message of a unary call.
        """

        async def handle(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
            begin = time.monotonic()
            status, labels, sentence = CLIENT_GONE, {}, ""
            try:
                self._check_permission(context)
                content = await self._receive(requests)
                request = await self._in_parser(messages.parse, kind, content) if kind else content
                answer = await work(request)
                status, labels = 200, messages.metric_labels(answer)
                return answer.SerializeToString()
            except Exception as error:
                refused = refusal(error)
                status, sentence = (refused.status, str(refused)) if refused else (500, BUG)
                if refused is None:
                    logger.error("a bug, in gRPC's %s", method, exc_info=error)
                await context.abort(CODES.get(status, grpc.StatusCode.UNKNOWN), sentence)
                raise  # not reached: abort has raised
            finally:
                seconds = time.monotonic() - begin
                self._service.metrics.request(status, seconds, **labels)
                if self._has_access_log:
                    fields = {
                        "client": _peer_address(context.peer()),
                        "method": "gRPC",
                        "path": method,
                        "status": status,
                    }
                    logs.access_line({**fields, "ms": round(1e3 * seconds, 1), **labels, "error": sentence})

        return grpc.stream_unary_rpc_method_handler(handle)

    def _check_permission(self, context: grpc.aio.ServicerContext) -> None:
        authorization = dict(context.invocation_metadata() or ()).get("authorization")
        self._access.check_token(authorization if isinstance(authorization, str) else None)

    async def _receive(self, requests: AsyncIterator[bytes]) -> bytes:
        seconds = self._service.limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await anext(requests)
        except TimeoutError as error:
            raise RefusedError(408, f"expected a message within {seconds:g} s.") from error
        except StopAsyncIteration as error:
            raise InputError("expected a message.") from error

    async def _predict(self, request: predict_pb2.PredictRequest) -> Message:
        name, version = messages.read_model_spec(request.model_spec)
        signature = request.model_spec.signature_name or rest.DEFAULT
        inputs = await self._in_parser(messages.to_arrays, request.inputs, self._service.limits.clips)
        number, outputs = await self._service.score(name, version, signature, inputs)
        unknown = sorted(set(request.output_filter) - outputs.keys())
        if unknown:
            known = ", ".join(sorted(outputs))
            raise InputError(f"output_filter: expected names among {known}. Received: {shorten(unknown[0])}.")
        response = predict_pb2.PredictResponse()
        messages.fill_model_spec(response.model_spec, name, number, signature)
        for key in set(request.output_filter) or outputs:
            response.outputs[key].CopyFrom(tf.make_tensor_proto(outputs[key]))
        return response

    async def _metadata(self, request: get_model_metadata_pb2.GetModelMetadataRequest) -> Message:
        if list(request.metadata_field) != ["signature_def"]:
            raise InputError(
                f"metadata_field: expected signature_def. Received: {shorten(list(request.metadata_field))}."
            )
        name, version = messages.read_model_spec(request.model_spec)
        number, artifact = await self._service.find(name, version)
        definitions = rest.metadata(name, number, artifact.signatures)["metadata"]["signature_def"]
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        messages.fill_model_spec(response.model_spec, name, number)
        packed = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Pack(json_format.ParseDict(definitions, packed))
        return response

    async def _status(self, request: get_model_status_pb2.GetModelStatusRequest) -> Message:
        name, version = messages.read_model_spec(request.model_spec)
        states = await self._service.states(name, version)
        return json_format.ParseDict(rest.status(states), get_model_status_pb2.GetModelStatusResponse())

    async def _health(self, *_: Any) -> bytes:
        is_ready = self._service.repository.names() and not self._service.is_draining
        return SERVING if is_ready else NOT_SERVING

    async def _in_parser(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._parser, function, *arguments)


def _peer_address(peer: str) -> str:
    """IP address in gRPC's name of a peer, as the HTTP server logs it.

    >>> _peer_address("ipv4:127.0.0.1:4711"), _peer_address("ipv6:%5B::1%5D:4711"), _peer_address("unix:")
    ('127.0.0.1', '::1', 'unix:')
    """
    kind, _, address = unquote(peer).partition(":")
    return address.rpartition(":")[0].strip("[]") if kind in ("ipv4", "ipv6") else peer


def _absent(method: str) -> Work:
    async def refuse(_: bytes) -> Message:
        raise RefusedError(501, f"{method} is not here; there are Predict, GetModelMetadata and GetModelStatus.")

    return refuse
