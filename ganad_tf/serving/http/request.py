"""Handling of one HTTP request: head, body, answer, and the memory and time that each may take."""

import asyncio
import gzip
import logging
import time
from typing import TYPE_CHECKING, Any

from tornado import iostream, web

from ganad_tf.serving import logs
from ganad_tf.serving.http.connections import in_background
from ganad_tf.serving.http.endpoints import EndpointRequest, json_answer
from ganad_tf.serving.http.heads import Head, check_size, read_head, takes_gzip
from ganad_tf.serving.models.signature import shorten
from ganad_tf.serving.protocols import parsing
from ganad_tf.serving.refusals import BUG, BusyError, RefusedError, TooLargeError, refusal
from ganad_tf.serving.service import Answer

if TYPE_CHECKING:
    from ganad_tf.serving.http.server import HttpServer

logger = logging.getLogger(__name__)

SMALL_ANSWER = 1 << 16  # bytes that fit the socket's send buffer
LEAST_COMPRESSED = 1000  # bytes; smaller answers are not compressed
STOPPING = "the server is stopping; ask another."


@web.stream_request_body
class Handler(web.RequestHandler):
    """Handler of one request, in Tornado's order: `prepare`, `data_received`, the method, `on_finish`."""

    def initialize(self, server: "HttpServer") -> None:  # noqa: D102  Tornado's constructor
        self._server = server
        self._limits = server.service.limits
        self._begin = time.monotonic()
        self._body = bytearray()
        self._n_received = self._n_held = self._n_answer = 0
        self._refused: RefusedError | None = None
        self._head: Head | None = None
        self._labels: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Answer] | None = None
        self._error = ""
        server.handlers.add(self)

    def set_default_headers(self) -> None:
        """Sets the headers of every response."""
        self.set_header("Server", "ganad")
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> None:
        """Returns None: scores are not cached by clients."""

    def prepare(self) -> None:
        """Checks the head; a refusal is sent after the body, because most clients read no answer before."""
        for name, value in self._server.access.cors_headers(self.request.headers.get("Origin")).items():
            self.set_header(name, value)
        try:
            self._head = read_head(self.request, self._server.endpoints, self._server.access, self._limits)
        except RefusedError as error:
            self._refused = error
            declared = self.request.headers.get("Content-Length", "0")
            is_waiting = "Expect" in self.request.headers
            if is_waiting or (declared.isdecimal() and int(declared[:18]) > 2 * self._limits.body_bytes):
                self._finish_now(error)
                return
        self._restart_timer()

    def data_received(self, chunk: bytes) -> None:
        """Collects a chunk of the body unless the request is refused."""
        self._restart_timer()
        self._n_received += len(chunk)
        try:
            if not self._refused and not self._finished:
                self._keep(chunk)
        except (RefusedError, MemoryError) as error:
            self._refused = refusal(error)
            self._release_body()
        if self._refused and self._n_received > 2 * self._limits.body_bytes and not self._finished:
            self._finish_now(self._refused)

    async def get(self) -> None:
        """Answers any method; the route has checked it."""
        self._stop_timer()
        self._work = asyncio.create_task(self._answer())
        try:
            answer = await self._work
        except asyncio.CancelledError:
            if not self._work.cancelled():
                raise  # the handler itself was cancelled, not its work
            answer = self._refusal_answer(BusyError(STOPPING))
        if not self._finished:
            await self._wait_until_read(self._finish(answer))

    head = post = put = delete = patch = options = get

    def stop_reading(self) -> None:
        """Refuses a request with an unfinished body while the server stops."""
        if self._work is None and not self._finished:
            self._finish_now(BusyError(STOPPING))

    def on_connection_close(self) -> None:
        """Cancels the work when the client has closed the connection."""
        super().on_connection_close()
        self._release_all()
        if self._work is not None:
            self._work.cancel()

    def on_finish(self) -> None:
        """Counts the request and writes the access log."""
        seconds, status = time.monotonic() - self._begin, self.get_status()
        self._server.service.metrics.request(status, seconds, **self._labels)
        self._stop_timer()
        if self._server.has_access_log:
            line: dict[str, object] = {"client": self.request.remote_ip, "method": shorten(self.request.method)[1:-1]}
            line |= {"path": shorten(self.request.path)[1:-1], "status": status, "ms": round(1e3 * seconds, 1)}
            logs.access_line(line | {"received": self._n_received, **self._labels, "error": self._error})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Formats Tornado's own errors as all other errors."""
        error = kwargs.get("exc_info", (None, None))[1]
        self._error = BUG if status_code == 500 else f"{self._reason}."
        if isinstance(error, web.HTTPError) and status_code == 405:
            self._error = f"Expected one of the methods of HTTP. Received: {shorten(self.request.method)}."
        answer = json_answer({"error": self._error}, status_code)
        in_background(self._wait_until_read(self._finish(answer)))

    def log_exception(self, _: Any, value: BaseException | None, __: Any) -> None:
        """Logs a bug once; client errors and closed connections are not bugs."""
        if not isinstance(value, web.HTTPError | iostream.StreamClosedError):
            logger.error("a bug, at %s", shorten(self.request.path), exc_info=value)

    def _keep(self, chunk: bytes) -> None:
        check_size(self._n_received, self._limits)
        self._server.bodies.reserve(len(chunk), total=self._n_received)
        self._n_held += len(chunk)
        self._body += chunk

    async def _answer(self) -> Answer:
        try:
            if self._refused:
                raise self._refused
            assert self._head is not None
            if self._server.service.is_draining and not self._head.route.is_open:
                raise BusyError(STOPPING)
            content = await self._inflate_body() if self._head.is_compressed else self._body
            request = EndpointRequest(content, self.request.headers, self._head.parts, self._labels)
            content = b""
            self._body = bytearray()
            answer = await self._head.route.function(request)
            request.content = b""
            return await self._compress(self._reserve(answer))
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                raise
            return self._refusal_answer(refused.with_traceback(None))  # its frames hold the body
        finally:
            self._release_body()

    async def _inflate_body(self) -> parsing.Content:
        content = await self._server.service.run_serially(parsing.inflate, self._body, self._limits.body_bytes)
        self._server.bodies.reserve(len(content), total=len(content))
        self._n_held += len(content)
        return content

    def _reserve(self, answer: Answer) -> Answer:
        """Reserves the memory of a large answer until the client has read it."""
        size = len(answer.content)
        if size > self._limits.answer_bytes:
            most = f"{self._limits.answer_mb:g} MB"
            raise TooLargeError(f"the answer: expected at most {most}. It has {size / 1e6:.0f}; send fewer clips.")
        if size > SMALL_ANSWER:
            self._server.answers.reserve(size, total=size)
            self._n_answer = size
        return answer

    async def _compress(self, answer: Answer) -> Answer:
        is_wanted = takes_gzip(self.request.headers.get("Accept-Encoding", ""))
        if len(answer.content) < LEAST_COMPRESSED or not is_wanted:
            return answer
        content = await self._server.service.run_serially(gzip.compress, answer.content, 1)
        return Answer(content, answer.headers | {"Content-Encoding": "gzip"}, answer.status)

    def _refusal_answer(self, error: RefusedError) -> Answer:
        self._error = str(error)
        answer = json_answer({"error": str(error)}, error.status)
        content = b"" if error.status == 204 else answer.content
        return Answer(content, answer.headers | error.headers, error.status)

    async def _wait_until_read(self, written: "asyncio.Future[None]") -> None:
        """Waits until the client has read the answer; closes the connection at the timeout."""
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await written
            if self._server.service.is_draining:
                self._close()
        except TimeoutError:
            logger.debug("an answer was not read within %g s", self._limits.answer_seconds)
            self._close()
        except iostream.StreamClosedError:
            logger.debug("a client hung up before its answer")
        finally:
            self._release_all()

    def _finish(self, answer: Answer) -> "asyncio.Future[None]":
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.add_header("Vary", "Accept-Encoding")
        if self._server.service.is_draining:
            self.set_header("Connection", "close")
        if answer.status == 204:
            self.clear_header("Content-Type")
        return self.finish(answer.content or None)

    def _finish_now(self, error: RefusedError) -> None:
        """Answers before the body is complete and closes the connection."""
        self._stop_timer()
        self._release_body()
        self.set_header("Connection", "close")
        in_background(self._wait_until_read(self._finish(self._refusal_answer(error))))

    def _restart_timer(self) -> None:
        """Restarts the timeout: `head_seconds` per chunk and `body_seconds` in total, `head_seconds` if refused."""
        self._stop_timer()
        most = self._limits.head_seconds if self._refused else self._limits.body_seconds
        left = self._begin + most - time.monotonic()
        seconds = max(0.0, min(left, self._limits.head_seconds))
        self._timer = asyncio.get_running_loop().call_later(seconds, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        if not self._finished:
            most = f"{self._limits.body_seconds:g} s, and a part of it every {self._limits.head_seconds:g} s"
            self._finish_now(self._refused or RefusedError(408, f"the body: expected within {most}."))

    def _release_body(self) -> None:
        self._server.bodies.release(self._n_held)
        self._n_held = 0
        self._body = bytearray()

    def _release_all(self) -> None:
        """Releases all memory and timers of the request; idempotent."""
        self._stop_timer()
        if self._work is None or self._work.done():
            self._release_body()
        self._server.answers.release(self._n_answer)
        self._n_answer = 0
        self._server.handlers.discard(self)

    def _close(self) -> None:
        connection: Any = self.request.server_connection
        in_background(connection.close())
