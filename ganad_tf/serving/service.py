"""One request from body to answer: read, parse, queue, score, encode; and how much of that at a time."""

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import Request, Response

from ganad_tf.errors import InputError
from ganad_tf.serving import batching, open_inference, rest
from ganad_tf.serving.artifact import Artifact
from ganad_tf.serving.batching import Arrays, Batcher
from ganad_tf.serving.repository import Repository

Answer = Callable[[Any, int, Artifact], tuple[str, Arrays, Callable[[Arrays], Any]]]
CORES = os.cpu_count() or 1


class BusyError(Exception):
    """More requests at a time than the queue has room for."""


@dataclass(frozen=True)
class Limits:
    """What the server takes.

    Attributes:
      body_mb: Largest body of a request, in 10^6 bytes.
      queue: Requests that are worked on or wait at the same time.
      batch: Clips in one call of a model.
    """

    body_mb: float = 100
    queue: int = 64
    batch: int = 32


class Service:
    """Answers requests from the models of a repository."""

    def __init__(self, repository: Repository, limits: Limits) -> None:
        self.repository = repository
        self.limits = limits
        self._batcher = Batcher(n_workers=CORES, largest=limits.batch)
        self._parsers = ThreadPoolExecutor(CORES)
        self._n_open = 0

    async def predict(self, request: Request, name: str, version: int | None) -> Response:
        """`POST /v1/models/<name>[/versions/<version>]:predict`."""

        def read(body: Any, _: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, form, inputs = rest.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: rest.response(form, outputs)

        return await self._answer(request, name, version, read)

    async def infer(self, request: Request, name: str, version: int | None) -> Response:
        """`POST /v2/models/<name>[/versions/<version>]/infer`."""

        def read(body: Any, found: int, artifact: Artifact) -> tuple[str, Arrays, Callable[[Arrays], Any]]:
            signature, inputs = open_inference.read_request(body, artifact.signatures)
            return signature, inputs, lambda outputs: open_inference.response(name, found, body, outputs)

        return await self._answer(request, name, version, read)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs what takes time without keeping others waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._parsers, function, *arguments)

    async def _answer(self, request: Request, name: str, version: int | None, read: Answer) -> Response:
        content = await self._body(request)
        if self._n_open >= self.limits.queue:
            raise BusyError
        self._n_open += 1
        try:
            encode, future = await self.in_thread(self._submit, content, name, version, read)
            outputs = await asyncio.wrap_future(future)
            return await self.in_thread(lambda: json_response(encode(outputs)))
        finally:
            self._n_open -= 1

    def _submit(self, content: bytes, name: str, version: int | None, read: Answer) -> Any:
        found, artifact = self.repository.get(name, version)
        try:
            body = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise InputError(f"the body: expected JSON ({error}).") from error
        signature, inputs, encode = read(body, found, artifact)
        artifact.signatures[signature].check(inputs)
        return encode, self._batcher.submit(batching.Request(artifact, signature, inputs))

    async def _body(self, request: Request) -> bytes:
        """The body; one that is too large is read to its end, so that the client hears the answer, but not kept."""
        largest = int(self.limits.body_mb * 1e6)
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size <= largest:
                parts.append(part)
            else:
                parts.clear()
        if size > largest:
            raise InputError(f"the body: expected at most {self.limits.body_mb:g} MB. Received: {size / 1e6:.0f} MB.")
        return b"".join(parts)


def json_response(value: Any, status: int = 200) -> Response:
    """A response that holds a JSON value."""
    return Response(orjson.dumps(value), status, media_type="application/json")
