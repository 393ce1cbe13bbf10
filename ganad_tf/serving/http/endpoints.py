"""Addresses of the server and their answers: one table, which the front, `Allow` and `/openapi.json` are made of."""

import asyncio
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
from ganad_tf.serving.models.signature import named, short
from ganad_tf.serving.protocols import binary_tensors, open_inference, parsing, rest
from ganad_tf.serving.refusals import RefusedError
from ganad_tf.serving.service import Answer, Parsed, Service


@dataclass
class Asked:
    """A request to one of the addresses.

    Attributes:
      content: Its body, inflated.
      headers: By name, in any case.
      parameters: Parts of the address: `model`, `version`, `verb`.
      labels: Model, version and signature for `meters`, once they are known to be there.
    """

    content: parsing.Content
    headers: Mapping[str, str]
    parameters: Mapping[str, str]
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The model's name."""
        return self.parameters["model"]

    @property
    def version(self) -> int | None:
        """Version in the address; None for the newest.

        Raises:
          NotHereError: If it is no number.
        """
        version = self.parameters.get("version")
        if version is None:
            return None
        if not (version.isascii() and version.isdecimal() and len(version) < 20):
            raise NotHereError(f"Expected a version as a number. Received: {short(version)}.")
        return int(version)


@dataclass(frozen=True)
class Route:
    """An address and its answer.

    Attributes:
      method: `GET`, which includes `HEAD`, or `POST`.
      path: With the names of parts in braces.
      function: Makes the answer; its docstring's first line describes it.
      is_open: Whether it is answered without a token.
    """

    method: str
    path: str
    function: Callable[[Asked], Awaitable[Answer]]
    is_open: bool = False

    def match(self, path: str) -> dict[str, str] | None:
        """The parts of an address that has this form; a colon in a name has to be quoted."""
        match = self._pattern.fullmatch(path)
        return {name: unquote(part) for name, part in match.groupdict().items()} if match else None

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/:]+)", re.escape(self.path)))

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that it answers."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


class Endpoints:
    """Both protocols over one service; an address without a version means the newest."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.routes = list(self._routes())

    def route(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route of a request and the parts of its address.

        Raises:
          RefusedError: 404 for an address that is not there, 405 for one that does not answer this method.
        """
        matching = [(route, parts) for route in self.routes if (parts := route.match(path)) is not None]
        if not matching:
            raise RefusedError(404, f"Not Found: {short(path)}; /openapi.json lists the addresses.")
        for route, parts in matching:
            if method in route.methods:
                return route, parts
        allowed = ", ".join(dict.fromkeys(method for route, _ in matching for method in route.methods))
        raise RefusedError(405, f"Expected {allowed} at this address. Received: {short(method)}.", {"Allow": allowed})

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
            yield Route("GET", second, self.described)

    async def alive(self, _: Asked) -> Answer:
        """Says that the process runs."""
        return json_answer({"status": "alive"})

    async def live(self, _: Asked) -> Answer:
        """Says that the process runs, also while models are loaded."""
        return json_answer({"live": True})

    async def all_ready(self, _: Asked) -> Answer:
        """Says whether any model can be used: 503 before the first is loaded, and while the server ends."""
        is_ready = bool(self._service.repository.names()) and not self._service.is_draining
        return json_answer({"ready": is_ready}, 200 if is_ready else 503)

    async def metrics(self, _: Asked) -> Answer:
        """Counts in Prometheus' text format."""
        text = await asyncio.to_thread(self._service.meters.text)
        return Answer(text, {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def openapi(self, _: Asked) -> Answer:
        """This description of the server."""
        described = [(route.methods[0], route.path, route.function.__doc__ or "") for route in self.routes]
        return json_answer(openapi.document(described))

    async def models(self, _: Asked) -> Answer:
        """Lists the models that can be used."""
        return json_answer({"models": self._service.repository.names()})

    async def server(self, _: Asked) -> Answer:
        """Names the server and what it knows beyond the protocol."""
        return json_answer(open_inference.server_metadata())

    async def predict(self, asked: Asked) -> Answer:
        """Scores clips by TensorFlow Serving's REST API."""

        def read(content: parsing.Content, number: int, artifact: Artifact) -> Parsed:
            asked.labels.update(model=asked.model, version=str(number))
            body = parsing.json_value(content, self._service.bound(artifact))
            signature, form, inputs = rest.read_request(body, artifact.signatures)
            asked.labels.update(signature=signature)

            def encode(outputs: Arrays) -> Answer:
                return json_answer(rest.response(form, outputs))

            return Parsed(signature, inputs, encode)

        return await self._service.answer(asked.model, asked.version, asked.content, read)

    async def infer(self, asked: Asked) -> Answer:
        """Scores clips by the Open Inference Protocol."""

        def read(content: parsing.Content, number: int, artifact: Artifact) -> Parsed:
            asked.labels.update(model=asked.model, version=str(number))
            json_part, binary = binary_tensors.split(content, asked.headers.get(binary_tensors.HEADER))
            body = parsing.json_value(json_part, self._service.bound(artifact))
            signature, inputs = open_inference.read_request(body, artifact.signatures, binary)
            asked.labels.update(signature=signature)
            wanted = {key: body[key] for key in ("outputs", "id", "parameters") if key in body}

            def encode(outputs: Arrays) -> Answer:
                value, tensors = open_inference.response(asked.model, number, wanted, outputs)
                return Answer(*binary_tensors.joined(json_answer(value).content, tensors))

            return Parsed(signature, inputs, encode)

        return await self._service.answer(asked.model, asked.version, asked.content, read)

    async def no_such_verb(self, asked: Asked) -> Answer:
        """Refuses other verbs than `predict`."""
        raise NotHereError(f"{named(asked.model)}:{named(asked.parameters['verb'])} is not here; there is :predict.")

    async def status(self, asked: Asked) -> Answer:
        """States of a model's versions."""
        return json_answer(rest.status(await self._service.states(asked.model, asked.version)))

    async def metadata(self, asked: Asked) -> Answer:
        """Signatures of a model, as TensorFlow Serving tells them."""
        number, artifact = await self._service.find(asked.model, asked.version)
        return json_answer(rest.metadata(asked.model, number, artifact.signatures, artifact.about()))

    async def described(self, asked: Asked) -> Answer:
        """Inputs, outputs and versions of a model, as the Open Inference Protocol tells them."""
        _, artifact = await self._service.find(asked.model, asked.version)
        states = await self._service.states(asked.model)
        versions = [number for number, state in states.items() if state.name != "END"]
        return json_answer(open_inference.metadata(asked.model, versions, artifact.signatures[rest.DEFAULT]))

    async def ready(self, asked: Asked) -> Answer:
        """Says whether a model can be used."""
        await self._service.find(asked.model, asked.version)
        return json_answer({"name": asked.model, "ready": True})


def json_answer(value: object, status: int = 200) -> Answer:
    """An answer that holds a JSON value."""
    return Answer(msgspec.json.encode(value), status=status)
