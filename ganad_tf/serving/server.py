"""The verb `serve`: every exported model of a folder, on KServe's model server.

TensorFlow Serving's REST API under `/v1`, the Open Inference Protocol under `/v2`; health, `/metrics` and the
process itself are KServe's. What a client did wrong is 400 with `{"error": "..."}`, what is not there 404, too
many requests at a time 503.
"""

import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import tensorflow as tf
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from kserve import ModelRepository
from kserve.model_server import app as kserve_app
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension
from kserve.protocol.rest.server import RESTServer
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from ganad_tf.errors import DataError, InputError
from ganad_tf.serving.endpoints import Endpoints
from ganad_tf.serving.repository import NotHereError, Repository
from ganad_tf.serving.service import BusyError, Limits, Service, json_response

logger = logging.getLogger(__name__)

WAITING = 2048  # connections that are not accepted yet


def serve(repository: Repository, *, host: str, port: int, poll_seconds: float, limits: Limits) -> None:
    """Serves until interrupted.

    Raises:
      DataError: If there is no exported model in the folder, or the port is taken.
    """
    with _bound(host, port) as place:
        repository.require_models()
        repository.refresh()
        service = Service(repository, limits)
        add_routes(kserve_app, Endpoints(service))
        registry = _Registry(repository)
        server = _Server("kserve.model_server:app", DataPlane(registry), ModelRepositoryExtension(registry), port)
        place.listen(WAITING)
        repository.follow(poll_seconds)
        logger.info("serving %s on http://%s:%d", ", ".join(repository.names()), *place.getsockname()[:2])
        try:
            server.run(sockets=[place])
        finally:
            repository.close()
            service.close()


def add_routes(app: FastAPI, endpoints: Endpoints) -> None:
    """TensorFlow Serving's routes and those of the Open Inference Protocol that ask for a model."""
    routes = []
    for method, model, end, function in (
        ("POST", "/v1/models/{model}", ":predict", endpoints.predict),
        ("POST", "/v1/models/{model}", ":{verb}", endpoints.no_such_verb),
        ("GET", "/v1/models/{model}", "/metadata", endpoints.metadata),
        ("GET", "/v1/models/{model}", "", endpoints.status),
        ("POST", "/v2/models/{model}", "/infer", endpoints.infer),
        ("GET", "/v2/models/{model}", "/ready", endpoints.ready),
        ("GET", "/v2/models/{model}", "", endpoints.described),
    ):
        for version in ("/versions/{version}", ""):
            routes.append(Route(f"{model}{version}{end}", function, methods=[method]))
    app.router.routes[:0] = routes  # before KServe's own


class _Registry(ModelRepository):
    """What KServe's own routes (lists, health, repository) see of ours: it can look, not load or unload."""

    def __init__(self, repository: Repository) -> None:
        super().__init__(str(repository.folder))
        self._repository = repository

    def get_models(self) -> dict[str, Any]:
        """The models by name."""
        return dict.fromkeys(self._repository.names())


class _Server(RESTServer):
    """KServe's, with our sentences for errors."""

    def _add_exception_handlers(self, app: FastAPI) -> None:
        super()._add_exception_handlers(app)
        _add_handlers(app)


def _add_handlers(app: FastAPI) -> None:
    """Every error is `{"error": "..."}`."""

    def answer(status: int, sentence: Callable[[Any], str]) -> Callable[[Request, Any], Awaitable[Response]]:
        async def handler(_: Request, error: Any) -> Response:
            return json_response({"error": sentence(error)}, status)

        return handler

    async def bug(request: Request, error: Exception) -> Response:
        logger.error("a bug, at %s", request.url.path, exc_info=error)
        return json_response({"error": "a bug in the server; its log says more."}, 500)

    async def hung_up(_: Request, error: Any) -> Response:
        logger.debug("a client hung up: %s", error)
        return Response(status_code=400)  # nobody hears it

    async def http(_: Request, error: Any) -> Response:
        return json_response({"error": f"{error.detail}."}, error.status_code)

    def invalid(error: RequestValidationError) -> str:
        return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()) + "."

    busy = "too many requests at a time; try again in a moment."
    app.add_exception_handler(InputError, answer(400, str))
    app.add_exception_handler(NotHereError, answer(404, str))
    app.add_exception_handler(BusyError, answer(503, lambda _: busy))
    app.add_exception_handler(tf.errors.ResourceExhaustedError, answer(503, lambda _: busy))
    app.add_exception_handler(RequestValidationError, answer(400, invalid))
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(ClientDisconnect, hung_up)
    app.add_exception_handler(Exception, bug)


def _bound(host: str, port: int) -> socket.socket:
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
    except (OSError, OverflowError) as error:
        place.close()
        raise DataError(f"Can't listen on {host}:{port}: {error}.") from error
    return place
