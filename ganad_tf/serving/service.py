"""The scoring service: inputs → outputs of a repository's models, with a bounded queue. Knows no HTTP and no gRPC.

A protocol server (`http/server.py`, `grpc/server.py`) either parses a request into named arrays and calls `score`, or
calls `answer` with a reader for the raw body. The reader then runs in a worker thread while the request holds its slot
in the queue.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganad_tf import heap
from ganad_tf.audio.containers import UnknownLength
from ganad_tf.errors import InputError
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.metrics import Metrics
from ganad_tf.serving.models import batching, wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.batching import Arrays, Batcher
from ganad_tf.serving.models.repository import NotHereError, Repository
from ganad_tf.serving.models.signature import find_signature, quote_name
from ganad_tf.serving.models.versions import State
from ganad_tf.serving.pools import start_pool
from ganad_tf.serving.protocols import parsing
from ganad_tf.serving.refusals import BusyError, TooLargeError

LARGE = 8_000_000  # bytes: larger bodies are parsed one at a time, and their memory is returned to the system
MANY = 1_000_000  # values: larger answers are encoded one at a time
LEAST_BYTES = 4  # minimum size of one value in an encoded answer


@dataclass(frozen=True)
class Answer:
    """Body, headers and HTTP status of a response."""

    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    status: int = 200


@dataclass(frozen=True)
class ParsedRequest:
    """Signature and named inputs of a request, and the function that encodes its outputs."""

    signature: str
    inputs: Arrays
    encode: Callable[[Arrays], Answer]


# Body, version and model → the parsed request.
RequestReader = Callable[[parsing.Content, int, Artifact], ParsedRequest]


class Service:
    """Scores requests with the models of a repository.

    Attributes:
      repository: The models.
      limits: Bounds on requests.
      metrics: Prometheus metrics of the server.
      is_draining: Whether the server is stopping and accepts no new requests.
    """

    def __init__(self, repository: Repository, limits: Limits, *, cores: int) -> None:
        self.repository = repository
        self.limits = limits
        self.metrics = Metrics(repository, queue_length=lambda: self._n_open)
        self.is_draining = False
        self._batcher = Batcher(n_workers=cores, largest=limits.batch, observe=self.metrics.batch)
        self._parsers = start_pool(cores, "parse")
        self._large = start_pool(1, "parse-large")
        self._serial = start_pool(1, "compress")
        self._loaders = start_pool(cores, "load")
        self._n_open = 0

    def close(self) -> None:
        """Finishes the queued requests, then stops all threads."""
        for pool in (self._loaders, self._parsers, self._large, self._serial):
            pool.shutdown(cancel_futures=True)
        self._batcher.close()

    async def find(self, name: str, version: int | None) -> tuple[int, Artifact]:
        """A version of a model, the newest for None. Loading it, if necessary, does not block other requests.

        Raises:
          NotHereError: If there is no usable version.
        """
        ready = self.repository.loaded(name, version)
        return ready or await _run_in(self._loaders, self.repository.get, name, version)

    async def states(self, name: str, version: int | None = None) -> dict[int, State]:
        """States of a model's versions, newest first, or of one version.

        Raises:
          NotHereError: If there is no such model or version.
        """
        states: dict[int, State] = await _run_in(self._parsers, self.repository.versions, name)
        if version is None:
            return states
        if version not in states:
            raise NotHereError(f"Model {quote_name(name)} has no version {version}.")
        return {version: states[version]}

    async def score(self, name: str, version: int | None, signature: str, inputs: Arrays) -> tuple[int, Arrays]:
        """Scores arrays.

        Args:
          name: Name of the model.
          version: Version number; None for the newest.
          signature: One of `Artifact.signatures`.
          inputs: Arrays by name, of the signature's dtypes; strings as object arrays of `bytes`.

        Returns:
          Version number and outputs by name.

        Raises:
          InputError: If the inputs do not fit the signature or exceed a limit; names the field.
          NotHereError: If there is no such model or version.
          BusyError: If the queue is full.
        """
        with self._slot():
            number, artifact = await self.find(name, version)
            return number, await self._call(name, number, artifact, signature, inputs)

    async def answer(self, name: str, version: int | None, content: parsing.Content, read: RequestReader) -> Answer:
        """Parses a body with `read`, scores its inputs and encodes the answer.

        Raises:
          InputError: As `score`.
          NotHereError: As `score`.
          BusyError: As `score`.
          TooLargeError: If the body or the answer exceeds a limit.
        """
        pool = self._large if len(content) > LARGE else self._parsers
        try:
            with self._slot():
                number, artifact = await self.find(name, version)
                encode, future = await _run_in(pool, self._read, read, content, number, artifact)
                outputs = await self._outputs(name, number, future)
                size = sum(values.size for values in outputs.values())
                self._check_answer(size)
                return await _run_in(self._large if size > MANY else self._parsers, encode, outputs)
        finally:
            if pool is self._large:
                asyncio.get_running_loop().call_soon(self._trim_memory)

    async def run_serially(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function in a thread, one call at a time, which bounds the memory of large bodies."""
        return await _run_in(self._serial, function, *arguments)

    async def metrics_text(self) -> bytes:
        """Metrics in Prometheus' text format."""
        text: bytes = await _run_in(self._parsers, self.metrics.text)
        return text

    def json_bound(self, artifact: Artifact) -> parsing.Bound:
        """Bounds on the JSON of a request to a model."""
        samples = parsing.samples(self.limits.clip_seconds, artifact.audio.sample_rate)
        return parsing.Bound.of(artifact.signatures, clips=self.limits.clips, samples=samples)

    @contextmanager
    def _slot(self) -> Iterator[None]:
        if self._n_open >= self.limits.queue:
            raise BusyError
        self._n_open += 1
        try:
            yield
        finally:
            self._n_open -= 1

    async def _call(self, name: str, number: int, artifact: Artifact, signature: str, inputs: Arrays) -> Arrays:
        future = await _run_in(self._parsers, self._submit, artifact, signature, inputs)
        return await self._outputs(name, number, future)

    async def _outputs(self, name: str, number: int, future: "Future[Arrays]") -> Arrays:
        outputs = await asyncio.wrap_future(future)
        self.metrics.scored(name, number, outputs)
        return outputs

    def _read(self, read: RequestReader, content: parsing.Content, number: int, artifact: Artifact) -> Any:
        """Parses and submits a body; returns the encoder of its answer and the future outputs."""
        parsed = read(content, number, artifact)
        return parsed.encode, self._submit(artifact, parsed.signature, parsed.inputs)

    def _submit(self, artifact: Artifact, signature: str, inputs: Arrays) -> "Future[Arrays]":
        find_signature(artifact.signatures, signature).check(inputs)
        self._check_size(artifact, inputs)
        if "wav_bytes" in inputs:
            files = self._to_canonical(inputs["wav_bytes"], artifact.audio.unknown_length)
            inputs = {**inputs, "wav_bytes": files}
        return self._batcher.submit(batching.Request(artifact, signature, inputs))

    def _check_size(self, artifact: Artifact, inputs: Arrays) -> None:
        """Refuses too many or too long clips before the model allocates memory for them."""
        rate, longest = artifact.audio.sample_rate, self.limits.clip_seconds
        hop = int(artifact.metadata["config"].get("feature", {}).get("hop_length", 1))
        for name, values in inputs.items():
            if len(values) > self.limits.clips:
                raise InputError(f"{name}: expected at most {self.limits.clips} clips. Received: {len(values)}.")
            length = values.shape[1] if values.ndim > 1 else 0
            samples = {"waveform": length, "log_mel": hop * (length - 1)}.get(name, 0)
            if samples > parsing.samples(longest, rate):
                raise InputError(f"{name}: {wav.too_long(longest, samples / rate)}")

    def _check_answer(self, n_values: int) -> None:
        """Refuses to encode an answer that would exceed the limit."""
        if n_values * LEAST_BYTES > self.limits.answer_bytes:
            most = f"{self.limits.answer_mb:g} MB"
            raise TooLargeError(f"the answer: expected at most {most}. It has {n_values} values; send fewer clips.")

    def _to_canonical(self, files: np.ndarray, unknown_length: UnknownLength) -> np.ndarray:
        """WAV files with the canonical header that TensorFlow's decoder reads."""
        longest, result = self.limits.clip_seconds, np.empty(len(files), dtype=object)
        for index, file in enumerate(files):
            result[index] = wav.to_canonical(file, f"wav_bytes[{index}]", unknown_length)
            seconds = wav.seconds(result[index])
            if seconds > longest:
                raise InputError(f"wav_bytes[{index}]: {wav.too_long(longest, seconds)}")
        return result

    def _trim_memory(self) -> None:
        asyncio.get_running_loop().run_in_executor(self._large, heap.trim)


async def _run_in(pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
