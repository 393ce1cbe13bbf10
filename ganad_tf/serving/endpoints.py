"""What each address of the server answers."""

from collections.abc import Callable
from typing import Any

from fastapi import Request, Response

from ganad_tf.serving import open_inference, rest
from ganad_tf.serving.artifact import Artifact
from ganad_tf.serving.batching import Arrays
from ganad_tf.serving.fields import named, short
from ganad_tf.serving.repository import NotHereError
from ganad_tf.serving.service import Service, json_response


class Endpoints:
    """Both protocols over one service; an address without a version means the newest."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def predict(self, request: Request) -> Response:
        """`POST /v1/models/<model>[/versions/<version>]:predict`."""

        def read(body: Any, _: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, form, inputs = rest.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: rest.response(form, outputs)

        return await self._service.answer(request, *_asked(request), read)

    async def infer(self, request: Request) -> Response:
        """`POST /v2/models/<model>[/versions/<version>]/infer`."""
        model, version = _asked(request)

        def read(body: Any, found: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, inputs = open_inference.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: open_inference.response(model, found, body, outputs)

        return await self._service.answer(request, model, version, read)

    async def no_such_verb(self, request: Request) -> Response:
        """`POST /v1/models/<model>:<anything else>`."""
        model, verb = (request.path_params[key] for key in ("model", "verb"))
        raise NotHereError(f"{named(model)}:{named(verb)} is not here; there is :predict.")

    async def status(self, request: Request) -> Response:
        """`GET /v1/models/<model>[/versions/<version>]`."""
        model, number = _asked(request)
        found = await self._service.states(model)
        if number is not None and number not in found:
            raise NotHereError(f"Model {named(model)} is not here in version {number}.")
        return json_response(rest.status({key: state for key, state in found.items() if number in (None, key)}))

    async def metadata(self, request: Request) -> Response:
        """`GET /v1/models/<model>[/versions/<version>]/metadata`."""
        model, version = _asked(request)
        found, artifact = await self._service.find(model, version)
        return json_response(rest.metadata(model, found, artifact.signatures, artifact.about()))

    async def described(self, request: Request) -> Response:
        """`GET /v2/models/<model>[/versions/<version>]`."""
        model, version = _asked(request)
        _, artifact = await self._service.find(model, version)
        states = await self._service.states(model)
        versions = [number for number, state in states.items() if state.name != "END"]
        return json_response(open_inference.metadata(model, versions, artifact.signatures[rest.DEFAULT]))

    async def ready(self, request: Request) -> Response:
        """`GET /v2/models/<model>[/versions/<version>]/ready`."""
        model, version = _asked(request)
        await self._service.find(model, version)
        return json_response({"name": model, "ready": True})


def _asked(request: Request) -> tuple[str, int | None]:
    """Model and version in the address."""
    model, version = request.path_params["model"], request.path_params.get("version")
    if version is None:
        return model, None
    if not (version.isascii() and version.isdecimal() and len(version) < 20):
        raise NotHereError(f"Expected a version as a number. Received: {short(version)}.")
    return model, int(version)
