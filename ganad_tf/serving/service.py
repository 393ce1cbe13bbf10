"""One request from body to answer: read, parse, queue, score, encode; and how much of that at a time."""

import asyncio
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response

from ganad_tf.errors import InputError
from ganad_tf.serving import batching, wav
from ganad_tf.serving.artifact import Artifact
from ganad_tf.serving.batching import Arrays, Batcher
from ganad_tf.serving.repository import Repository
from ganad_tf.serving.versions import State

Read = Callable[[Any, int, Artifact], tuple[str, Arrays, Callable[[Arrays], Any]]]
CORES = os.cpu_count() or 1
BODY_SECONDS = 60.0  # that a body may take
HELD_BODIES = 4  # of the largest size, together


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
        self._loader = ThreadPoolExecutor(1)
        self._n_open = 0
        self._n_bytes = 0  # of bodies

    def close(self) -> None:
        """Answers what is waiting, then stops."""
        self._loader.shutdown()
        self._parsers.shutdown()
        self._batcher.close()

    async def find(self, name: str, version: int | None) -> tuple[int, Artifact]:
        """A version of a model; one that has to be loaded first keeps nobody else waiting."""
        found = self.repository.loaded(name, version)
        return found or await _in(self._loader, self.repository.get, name, version)

    async def states(self, name: str) -> dict[int, State]:
        """The versions of a model."""
        return dict(await _in(self._parsers, self.repository.versions, name))

    async def answer(self, request: Request, name: str, version: int | None, read: Read) -> Response:
        """Reads a request, scores what is in it, and encodes the answer, as `read` knows how.

        Raises:
          InputError: For what the client did wrong.
          NotHereError: If there is no such model or version.
          BusyError: If too many requests, or too large ones, are being worked on.
        """
        if self._n_open >= self.limits.queue:
            await self._body(request, is_kept=False)
        self._n_open += 1
        content = b""
        try:
            content = await self._body(request, is_kept=True)
            number, artifact = await self.find(name, version)
            encode, future = await _in(self._parsers, self._submit, content, number, artifact, read)
            outputs = await asyncio.wrap_future(future)
            return await _in(self._parsers, lambda: json_response(encode(outputs)))
        finally:
            self._n_open -= 1
            self._n_bytes -= len(content)

    def _submit(self, content: bytes, number: int, artifact: Artifact, read: Read) -> Any:
        signature, inputs, encode = read(_parsed(content), number, artifact)
        artifact.signatures[signature].check(inputs)
        if "wav_bytes" in inputs:
            files = [wav.plain(file, f"wav_bytes[{place}]") for place, file in enumerate(inputs["wav_bytes"])]
            inputs = {"wav_bytes": np.array([*files, None], dtype=object)[:-1]}
        return encode, self._batcher.submit(batching.Request(artifact, signature, inputs))

    async def _body(self, request: Request, *, is_kept: bool) -> bytes:
        """The body. What is refused is still read, within reason, so that the client hears the answer."""
        largest = int(self.limits.body_mb * 1e6)
        parts, size, held = [], 0, 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for part in request.stream():
                    size += len(part)
                    is_kept = is_kept and self._n_bytes + len(part) <= HELD_BODIES * largest
                    if is_kept and size <= largest:
                        parts.append(part)
                        held += len(part)
                        self._n_bytes += len(part)
                    elif size > 2 * largest:
                        break
        except BaseException as error:
            self._n_bytes -= held
            if isinstance(error, TimeoutError):
                raise InputError(f"the body: expected within {BODY_SECONDS:g} s.") from error
            raise
        if is_kept and size <= largest:
            return b"".join(parts)
        self._n_bytes -= held
        if size > largest:
            received = f"more than {size / 1e6:.0f}" if size > 2 * largest else f"{size / 1e6:.0f}"
            raise InputError(f"the body: expected at most {self.limits.body_mb:g} MB. Received: {received} MB.")
        raise BusyError


async def _in(pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(content)  # slower; knows NaN and Infinity, as TensorFlow Serving does
        except (ValueError, RecursionError):
            raise InputError(f"the body: expected JSON ({error}).") from error


def json_response(value: Any, status: int = 200) -> Response:
    """A response that holds a JSON value."""
    return Response(orjson.dumps(value), status, media_type="application/json")
