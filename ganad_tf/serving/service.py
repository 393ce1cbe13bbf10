"""Inputs → outputs of the models of a repository; and how much of that at a time. No HTTP here, and no gRPC.

A front (`http_front`, `grpc_front`) brings a request into arrays by name and calls `score`; or it calls `answer` with a
function that does that for a body in bytes, which then happens in another thread, inside the request's place in the
queue.
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
from ganad_tf.serving.metrics import Meters
from ganad_tf.serving.models import batching, wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.batching import Arrays, Batcher
from ganad_tf.serving.models.repository import NotHereError, Repository
from ganad_tf.serving.models.signature import named
from ganad_tf.serving.models.versions import State
from ganad_tf.serving.protocols import parsing
from ganad_tf.serving.refusals import BusyError, TooLargeError

LARGE = 8_000_000  # bytes of a body: such are parsed one at a time, and their room goes back to the system
MANY = 1_000_000  # values of an answer: such are encoded one at a time
LEAST_BYTES = 4  # of a value in an answer


@dataclass(frozen=True)
class Answer:
    """Body and headers of an answer."""

    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    status: int = 200


@dataclass(frozen=True)
class Parsed:
    """A request as arrays by name, and how its outputs become the answer."""

    signature: str
    inputs: Arrays
    encode: Callable[[Arrays], Answer]


# Body, version and model → the request.
Read = Callable[[parsing.Content, int, Artifact], Parsed]


class Service:
    """Answers requests from the models of a repository.

    Attributes:
      repository: The models.
      limits: Of what is taken.
      meters: Counts of what happens.
      is_draining: Whether the server is about to end: nothing new is taken.
    """

    def __init__(self, repository: Repository, limits: Limits, *, cores: int) -> None:
        self.repository = repository
        self.limits = limits
        self.meters = Meters(repository, queue_length=lambda: self._n_open)
        self.is_draining = False
        self._batcher = Batcher(n_workers=cores, largest=limits.batch, observe=self.meters.batch)
        self._parsers = ThreadPoolExecutor(cores, "parse")
        self._large = ThreadPoolExecutor(1, "parse-large")
        self._in_order = ThreadPoolExecutor(1, "compress")
        self._loaders = ThreadPoolExecutor(cores, "load")
        self._n_open = 0

    def close(self) -> None:
        """Answers what is waiting, then stops."""
        for pool in (self._loaders, self._parsers, self._large, self._in_order):
            pool.shutdown(cancel_futures=True)
        self._batcher.close()

    async def find(self, name: str, version: int | None) -> tuple[int, Artifact]:
        """A version of a model, the newest for None; one that has to be loaded first keeps nobody else waiting.

        Raises:
          NotHereError: If there is none that can be used.
        """
        ready = self.repository.loaded(name, version)
        return ready or await _in(self._loaders, self.repository.get, name, version)

    async def states(self, name: str, version: int | None = None) -> dict[int, State]:
        """States of a model's versions, the newest first, or of one of them.

        Raises:
          NotHereError: If there is no such model or version.
        """
        states: dict[int, State] = await _in(self._parsers, self.repository.versions, name)
        if version is None:
            return states
        if version not in states:
            raise NotHereError(f"Model {named(name)} has no version {version}.")
        return {version: states[version]}

    async def score(self, name: str, version: int | None, signature: str, inputs: Arrays) -> tuple[int, Arrays]:
        """Scores arrays.

        Args:
          name: Of the model.
          version: None for the newest.
          signature: One of `Artifact.signatures`.
          inputs: Arrays by name, of the signature's dtypes; strings as object arrays of `bytes`.

        Returns:
          The version, and the outputs by name.

        Raises:
          InputError: For what the client did wrong; names the field.
          NotHereError: If there is no such model or version.
          BusyError: If too many requests are being worked on. `refusals.refusal` knows a status for each.
        """
        with self._slot():
            number, artifact = await self.find(name, version)
            return number, await self._call(name, number, artifact, signature, inputs)

    async def answer(self, name: str, version: int | None, content: parsing.Content, read: Read) -> Answer:
        """Reads a body, scores what is in it, and encodes the answer, as `read` knows how.

        Raises:
          As `score`; TooLargeError: If the body holds more than the model takes.
        """
        pool = self._large if len(content) > LARGE else self._parsers
        try:
            with self._slot():
                number, artifact = await self.find(name, version)
                encode, future = await _in(pool, self._read, read, content, number, artifact)
                outputs = await self._outputs(name, number, future)
                size = sum(values.size for values in outputs.values())
                self._check_answer(size)
                return await _in(self._large if size > MANY else self._parsers, encode, outputs)
        finally:
            if pool is self._large:
                asyncio.get_running_loop().call_soon(self._give_back)

    async def in_order(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls a function in a thread, one call at a time: what takes much room shall not take it twice."""
        return await _in(self._in_order, function, *arguments)

    def bound(self, artifact: Artifact) -> parsing.Bound:
        """The marks that a JSON request for a model may have."""
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
        future = await _in(self._parsers, self._submit, artifact, signature, inputs)
        return await self._outputs(name, number, future)

    async def _outputs(self, name: str, number: int, future: "Future[Arrays]") -> Arrays:
        outputs = await asyncio.wrap_future(future)
        self.meters.scored(name, number, outputs)
        return outputs

    def _read(self, read: Read, content: parsing.Content, number: int, artifact: Artifact) -> Any:
        """A body, on its way to the model, and how its outputs become the answer."""
        parsed = read(content, number, artifact)
        return parsed.encode, self._submit(artifact, parsed.signature, parsed.inputs)

    def _submit(self, artifact: Artifact, signature: str, inputs: Arrays) -> "Future[Arrays]":
        if signature not in artifact.signatures:
            known = ", ".join(sorted(artifact.signatures))
            raise InputError(f"signature_name: expected one of {known}. Received: {signature!r}.")
        artifact.signatures[signature].check(inputs)
        self._check_size(artifact, inputs)
        if "wav_bytes" in inputs:
            inputs = {"wav_bytes": self._plain(inputs["wav_bytes"], artifact.audio.unknown_length)}
        return self._batcher.submit(batching.Request(artifact, signature, inputs))

    def _check_size(self, artifact: Artifact, inputs: Arrays) -> None:
        """Refuses more and longer clips than the limits say, before a model makes room for them."""
        rate, longest = artifact.audio.sample_rate, self.limits.clip_seconds
        hop = int(artifact.metadata["config"].get("feature", {}).get("hop_length", 1))
        for name, values in inputs.items():
            if len(values) > self.limits.clips:
                raise InputError(f"{name}: expected at most {self.limits.clips} clips. Received: {len(values)}.")
            samples = {"waveform": 1, "log_mel": hop}.get(name, 0) * (values.shape[1] - 1 if values.ndim > 1 else 0)
            if samples > parsing.samples(longest, rate):
                raise InputError(f"{name}: expected clips of at most {longest:g} s. Received: {samples / rate:.1f} s.")

    def _check_answer(self, n_values: int) -> None:
        """Refuses to make an answer that is too large anyway."""
        if n_values * LEAST_BYTES > self.limits.answer_bytes:
            most = f"{self.limits.answer_mb:g} MB"
            raise TooLargeError(f"the answer: expected at most {most}. It has {n_values} values; send fewer clips.")

    def _plain(self, files: np.ndarray, unknown_length: UnknownLength) -> np.ndarray:
        """WAV files with the header that TensorFlow reads."""
        longest, result = self.limits.clip_seconds, np.empty(len(files), dtype=object)
        for index, file in enumerate(files):
            result[index] = wav.plain(file, f"wav_bytes[{index}]", unknown_length)
            seconds = wav.seconds(result[index])
            if seconds > longest:
                what = f"expected clips of at most {longest:g} s. Received: {seconds:.1f} s."
                raise InputError(f"wav_bytes[{index}]: {what}")
        return result

    def _give_back(self) -> None:
        asyncio.get_running_loop().run_in_executor(self._large, heap.give_back)


async def _in(pool: ThreadPoolExecutor, function: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
