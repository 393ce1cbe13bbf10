"""Routes of the HTTP server, in one table that also gives `Allow` and `/openapi.json`."""

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import unquote

import msgspec

from ganad_tf.serving.http import openapi
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.batching import Arrays
from ganad_tf.serving.models.repository import NotHereError
from ganad_tf.serving.models.signature import quote_name, shorten
from ganad_tf.serving.protocols import binary_tensors, open_inference, parsing, rest
from ganad_tf.serving.refusals import RefusedError
from ganad_tf.serving.service import Answer, ParsedRequest, Service


@dataclass
class EndpointRequest:
    """A request to a route.

    Attributes:
      content: Inflated body.
      headers: Headers by name, case-insensitive.
      parameters: Parts of the path: `model`, `version`, `verb`.
      labels: Model, version and signature for the metrics, set once they are known to exist.
    """

    content: parsing.Content
    headers: Mapping[str, str]
    parameters: Mapping[str, str]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.parameters["model"]

    @property
    def version(self) -> int | None:
        """Version in the path; None for the newest.

        Raises:
          NotHereError: If it is not a number.
        """
        version = self.parameters.get("version")
        if version is None:
            return None
        if not (version.isascii() and version.isdecimal() and len(version) < 20):
            raise NotHereError(f"Expected a version as a number. Received: {shorten(version)}.")
        return int(version)


@dataclass(frozen=True)
class Route:
    """A method and path with the function that answers it.

    Attributes:
      method: `GET`, which includes `HEAD`, or `POST`.
      path: Path template with the names of its parts in braces.
      function: Answers a request; its docstring's first line is the summary in OpenAPI.
      is_open: Whether the route needs no token.
    """

    method: str
    path: str
    function: Callable[[EndpointRequest], Awaitable[Answer]]
    is_open: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """Parts of a path by name, None if it does not match; a colon in a name must be percent-encoded."""
        match = self._pattern.fullmatch(path)
        return {name: unquote(part) for name, part in match.groupdict().items()} if match else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(self.path)))

    @property
    def methods(self) -> tuple[str, ...]:
        """HTTP methods of the route."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class Endpoints:
    """Routes of both HTTP protocols for one service; a path without a version means the newest."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.routes = list(self._routes())

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """Route of a request and the parts of its path.

        Raises:
          RefusedError: 404 for an unknown path, 405 for a method that the path does not support.
        """
        matching = [(route, parts) for route in self.routes if (parts := route.match(path)) is not None]
        if not matching:
            raise RefusedError(404, f"Not Found: {shorten(path)}; /openapi.json lists the addresses.")
        for route, parts in matching:
            if method in route.methods:
                return route, parts
        allowed = ", ".join(dict.fromkeys(method for route, _ in matching for method in route.methods))
        raise RefusedError(405, f"Expected {allowed} at this address. Received: {shorten(method)}.", {"Allow": allowed})

    def _routes(self) -> Iterator[Route]:
        yield Route("GET", "/", self.alive, is_open=True)
        yield Route("GET", "/v2/health/live", self.live, is_open=True)
        yield Route("GET", "/v2/health/ready", self.all_ready, is_open=True)
        yield Route("GET", "/metrics", self.metrics)
        yield Route("GET", "/openapi.json", self.openapi)
        yield Route("GET", "/v1/models", self.models)
        yield Route("GET", "/v2", self.server)
        yield Route("GET", "/v2/models", self.models)
        for version in ("", "/versions/{version}"):
            first, second = f"/v1/models/{{model}}{version}", f"/v2/models/{{model}}{version}"
            yield Route("POST", f"{first}:predict", self.predict)
            yield Route("POST", f"{first}:{{verb}}", self.no_such_verb)
            yield Route("GET", f"{first}/metadata", self.metadata)
            yield Route("GET", first, self.status)
            yield Route("POST", f"{second}/infer", self.infer)
            yield Route("GET", f"{second}/ready", self.ready)
            yield Route("GET", second, self.model_metadata)

    async def alive(self, _: EndpointRequest) -> Answer:
        """Says that the process runs."""
        return json_answer({"status": "alive"})

    async def live(self, _: EndpointRequest) -> Answer:
        """Says that the process runs, also while models are loaded."""
        return json_answer({"live": True})

    async def all_ready(self, _: EndpointRequest) -> Answer:
        """Says whether any model can be used: 503 before the first is loaded, and while the server ends."""
        is_ready = bool(self._service.repository.names()) and not self._service.is_draining
        return json_answer({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(self, _: EndpointRequest) -> Answer:
        """Counts in Prometheus' text format."""
        text = await self._service.metrics_text()
        return Answer(text, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def openapi(self, _: EndpointRequest) -> Answer:
        """This description of the server."""
        described = [(route.methods[0], route.path, route.function.__doc__ or "") for route in self.routes]
        return json_answer(openapi.document(described))

    async def models(self, _: EndpointRequest) -> Answer:
        """Lists the models that can be used."""
        return json_answer({"models": self._service.repository.names()})

    async def server(self, _: EndpointRequest) -> Answer:
        """Names the server and what it knows beyond the protocol."""
        return json_answer(open_inference.server_metadata())

    async def predict(self, request: EndpointRequest) -> Answer:
        """Scores clips by TensorFlow Serving's REST API."""

        def read(content: parsing.Content, number: int, artifact: Artifact) -> ParsedRequest:
            request.labels.update(model=request.model, version=str(number))
            body = parsing.json_value(content, self._service.json_bound(artifact))
            signature, form, inputs = rest.read_request(body, artifact.signatures)
            request.labels.update(signature=signature)

            def encode(outputs: Arrays) -> Answer:
                return json_answer(rest.response(form, outputs))

            return ParsedRequest(signature, inputs, encode)

        return await self._service.answer(request.model, request.version, request.content, read)

    async def infer(self, request: EndpointRequest) -> Answer:
        """Scores clips by the Open Inference Protocol."""

        def read(content: parsing.Content, number: int, artifact: Artifact) -> ParsedRequest:
            request.labels.update(model=request.model, version=str(number))
            json_part, binary = binary_tensors.split(content, request.headers.get(binary_tensors.HEADER))
            body = parsing.json_value(json_part, self._service.json_bound(artifact))
            signature, inputs = open_inference.read_request(body, artifact.signatures, binary)
            request.labels.update(signature=signature)
            requested = {key: body[key] for key in ("outputs", "id", "parameters") if key in body}

            def encode(outputs: Arrays) -> Answer:
                value, tensors = open_inference.response(request.model, number, requested, outputs)
                return Answer(*binary_tensors.join(json_answer(value).content, tensors))

            return ParsedRequest(signature, inputs, encode)

        return await self._service.answer(request.model, request.version, request.content, read)

    async def no_such_verb(self, request: EndpointRequest) -> Answer:
        """Refuses other verbs than `predict`."""
        raise NotHereError(
            f"{quote_name(request.model)}:{quote_name(request.parameters['verb'])} is not here; there is :predict."
        )

    async def status(self, request: EndpointRequest) -> Answer:
        """States of a model's versions."""
        return json_answer(rest.status(await self._service.states(request.model, request.version)))

    async def metadata(self, request: EndpointRequest) -> Answer:
        """Signatures of a model, as TensorFlow Serving tells them."""
        number, artifact = await self._service.find(request.model, request.version)
        return json_answer(rest.metadata(request.model, number, artifact.signatures, artifact.about()))

    async def model_metadata(self, request: EndpointRequest) -> Answer:
        """Inputs, outputs and versions of a model, as the Open Inference Protocol tells them."""
        _, artifact = await self._service.find(request.model, request.version)
        states = await self._service.states(request.model)
        versions = [number for number, state in states.items() if state.name != "END"]
        return json_answer(open_inference.metadata(request.model, versions, artifact.signatures[rest.DEFAULT]))

    async def ready(self, request: EndpointRequest) -> Answer:
        """Says whether a model can be used."""
        await self._service.find(request.model, request.version)
        return json_answer({"name": request.model, "ready": True})


def json_answer(value: object, status: int = 200) -> Answer:
    """Encodes a JSON value as an answer."""
    return Answer(msgspec.json.encode(value), status=status)
