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
    """Both protocols over one service; `version` is a number in the address, or None for the newest."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def predict(self, request: Request, model: str, version: str | None = None) -> Response:
        """`POST /v1/models/<model>[/versions/<version>]:predict`."""

        def read(body: Any, _: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, form, inputs = rest.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: rest.response(form, outputs)

        return await self._service.answer(request, model, _number(version), read)

    async def infer(self, request: Request, model: str, version: str | None = None) -> Response:
        """`POST /v2/models/<model>[/versions/<version>]/infer`."""

        def read(body: Any, found: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, inputs = open_inference.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: open_inference.response(model, found, body, outputs)

        return await self._service.answer(request, model, _number(version), read)

    async def no_such_verb(self, model: str, verb: str) -> Response:
        """`POST /v1/models/<model>:<anything else>`."""
        raise NotHereError(f"{named(model)}:{named(verb)} is not here; there is :predict.")

    async def status(self, model: str, version: str | None = None) -> Response:
        """`GET /v1/models/<model>[/versions/<version>]`."""
        found, number = await self._service.states(model), _number(version)
        if number is not None and number not in found:
            raise NotHereError(f"Model {named(model)} is not here in version {number}.")
        return json_response(rest.status({key: state for key, state in found.items() if number in (None, key)}))

    async def metadata(self, model: str, version: str | None = None) -> Response:
        """`GET /v1/models/<model>[/versions/<version>]/metadata`."""
        found, artifact = await self._service.find(model, _number(version))
        return json_response(rest.metadata(model, found, artifact.signatures))

    async def described(self, model: str, version: str | None = None) -> Response:
        """`GET /v2/models/<model>[/versions/<version>]`."""
        _, artifact = await self._service.find(model, _number(version))
        versions = list(await self._service.states(model))
        return json_response(open_inference.metadata(model, versions, artifact.signatures[rest.DEFAULT]))

    async def ready(self, model: str, version: str | None = None) -> Response:
        """`GET /v2/models/<model>[/versions/<version>]/ready`."""
        await self._service.find(model, _number(version))
        return json_response({"name": model, "ready": True})


def _number(version: str | None) -> int | None:
    if version is None:
        return None
    if not (version.isascii() and version.isdecimal() and len(version) < 20):
        raise NotHereError(f"Expected a version as a number. Received: {short(version)}.")
    return int(version)
