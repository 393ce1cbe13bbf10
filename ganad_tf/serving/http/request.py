"""One HTTP request: head, body, answer; what it holds, and for how long."""

import asyncio
import gzip
import logging
import time
from typing import TYPE_CHECKING, Any

from tornado import iostream, web

from ganad_tf.serving import logs
from ganad_tf.serving.http.connections import in_background
from ganad_tf.serving.http.endpoints import Asked, json_answer
from ganad_tf.serving.http.heads import Head, check_size, checked, takes_gzip
from ganad_tf.serving.models.signature import short
from ganad_tf.serving.protocols import parsing
from ganad_tf.serving.refusals import BusyError, RefusedError, TooLargeError, refusal
from ganad_tf.serving.service import Answer

if TYPE_CHECKING:
    from ganad_tf.serving.http.server import HttpFront

logger = logging.getLogger(__name__)

SMALL_ANSWER = 1 << 16  # bytes that the system takes from us in any case
LEAST_COMPRESSED = 1000  # bytes of an answer
STOPPING = "the server is stopping; ask another."


@web.stream_request_body
class Handler(web.RequestHandler):
    """One request: head, body, answer."""

    def initialize(self, front: "HttpFront") -> None:  # noqa: D102  Tornado's constructor
        self._front = front
        self._limits = front.service.limits
        self._begin = time.monotonic()
        self._body = bytearray()
        self._n_received = self._n_held = self._n_answer = 0
        self._refused: RefusedError | None = None
        self._head: Head | None = None
        self._labels: dict[str, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._work: asyncio.Task[Answer] | None = None
        self._error = ""
        front.handlers.add(self)

    def set_default_headers(self) -> None:
        """Names the server, and lets pages of some origins read the answer."""
        self.set_header("Server", "ganad")
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Content-Type-Options", "nosniff")

    def compute_etag(self) -> None:
        """No ETag: an answer is not asked for again."""

    def prepare(self) -> None:
        """Looks at the head; a refusal waits until the body has come, so that the client hears it."""
        for name, value in self._front.access.cors_headers(self.request.headers.get("Origin")).items():
            self.set_header(name, value)
        try:
            self._head = checked(self.request, self._front.endpoints, self._front.access, self._limits)
        except RefusedError as error:
            self._refused = error
            declared = self.request.headers.get("Content-Length", "0")
            is_waiting = "Expect" in self.request.headers
            if is_waiting or (declared.isdecimal() and int(declared[:18]) > 2 * self._limits.body_bytes):
                self._finish_now(error)
                return
        self._restart_timer()

    def data_received(self, chunk: bytes) -> None:
        """Keeps a piece of the body, if it is wanted and there is room."""
        self._restart_timer()
        self._n_received += len(chunk)
        try:
            if not self._refused and not self._finished:
                self._keep(chunk)
        except RefusedError as error:
            self._refused = error
            self._forget_body()
        if self._refused and self._n_received > 2 * self._limits.body_bytes and not self._finished:
            self._finish_now(self._refused)

    async def get(self) -> None:
        """Answers, whatever the method: the routes know which they take."""
        self._stop_timer()
        self._work = asyncio.create_task(self._answer())
        try:
            answer = await self._work
        except asyncio.CancelledError:
            if not self._work.cancelled():
                raise  # this handler itself
            answer = self._refusal_answer(BusyError(STOPPING))
        if not self._finished:
            await self._flushed(self._finish(answer))

    head = post = put = delete = patch = options = get

    def stop_reading(self) -> None:
        """Ends a request whose body has not come; the server stops."""
        if self._work is None and not self._finished:
            self._finish_now(BusyError(STOPPING))

    def on_connection_close(self) -> None:
        """The client has hung up: nobody needs the answer."""
        super().on_connection_close()
        self._end()
        if self._work is not None:
            self._work.cancel()

    def on_finish(self) -> None:
        """Counts the request, and logs it if asked to."""
        seconds, status = time.monotonic() - self._begin, self.get_status()
        self._front.service.meters.request(status, seconds, **self._labels)
        self._stop_timer()
        if self._front.has_access_log:
            line: dict[str, object] = {"client": self.request.remote_ip, "method": short(self.request.method)[1:-1]}
            line |= {"path": short(self.request.path)[1:-1], "status": status, "ms": round(1e3 * seconds, 1)}
            logs.access_line(line | {"received": self._n_received, **self._labels, "error": self._error})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers what Tornado refuses in the form of all errors."""
        error = kwargs.get("exc_info", (None, None))[1]
        self._error = "a bug in the server; its log says more." if status_code == 500 else f"{self._reason}."
        if isinstance(error, web.HTTPError) and status_code == 405:
            self._error = f"Expected one of the methods of HTTP. Received: {short(self.request.method)}."
        answer = json_answer({"error": self._error}, status_code)
        in_background(self._flushed(self._finish(answer)))

    def log_exception(self, _: Any, value: BaseException | None, __: Any) -> None:
        """Logs a bug, once; what a client did, or that it went away, is no bug."""
        if not isinstance(value, web.HTTPError | iostream.StreamClosedError):
            logger.error("a bug, at %s", short(self.request.path), exc_info=value)

    def _keep(self, chunk: bytes) -> None:
        check_size(self._n_received, self._limits)
        self._front.bodies.take(len(chunk), total=self._n_received)
        self._n_held += len(chunk)
        self._body += chunk

    async def _answer(self) -> Answer:
        try:
            if self._refused:
                raise self._refused
            assert self._head is not None
            if self._front.service.is_draining and not self._head.route.is_open:
                raise BusyError(STOPPING)
            content = await self._inflated() if self._head.is_compressed else self._body
            asked = Asked(content, self.request.headers, self._head.parts, self._labels)
            content = b""
            self._body = bytearray()
            answer = await self._head.route.function(asked)
            asked.content = b""
            return await self._compressed(self._held(answer))
        except Exception as error:
            refused = refusal(error)
            if refused is None:
                raise
            return self._refusal_answer(refused.with_traceback(None))  # whose frames hold the body
        finally:
            self._forget_body()

    async def _inflated(self) -> parsing.Content:
        content = await self._front.service.in_order(parsing.inflated, self._body, self._limits.body_bytes)
        self._front.bodies.take(len(content), total=len(content))
        self._n_held += len(content)
        return content

    def _held(self, answer: Answer) -> Answer:
        """An answer that has its place among those that wait for being read."""
        size = len(answer.content)
        if size > self._limits.answer_bytes:
            most = f"{self._limits.answer_mb:g} MB"
            raise TooLargeError(f"the answer: expected at most {most}. It has {size / 1e6:.0f}; send fewer clips.")
        if size > SMALL_ANSWER:
            self._front.answers.take(size, total=size)
            self._n_answer = size
        return answer

    async def _compressed(self, answer: Answer) -> Answer:
        is_wanted = takes_gzip(self.request.headers.get("Accept-Encoding", ""))
        if len(answer.content) < LEAST_COMPRESSED or not is_wanted:
            return answer
        content = await self._front.service.in_order(gzip.compress, answer.content, 1)
        return Answer(content, answer.headers | {"Content-Encoding": "gzip"}, answer.status)

    def _refusal_answer(self, error: RefusedError) -> Answer:
        self._error = str(error)
        answer = json_answer({"error": str(error)}, error.status)
        content = b"" if error.status == 204 else answer.content
        return Answer(content, answer.headers | error.headers, error.status)

    async def _flushed(self, written: "asyncio.Future[None]") -> None:
        """Waits until an answer has been read, within the time for it."""
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await written
            if self._front.service.is_draining:
                self._close()
        except TimeoutError:
            logger.debug("an answer was not read within %g s", self._limits.answer_seconds)
            self._close()
        except iostream.StreamClosedError:
            logger.debug("a client hung up before its answer")
        finally:
            self._end()

    def _finish(self, answer: Answer) -> "asyncio.Future[None]":
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.add_header("Vary", "Accept-Encoding")
        if self._front.service.is_draining:
            self.set_header("Connection", "close")
        if answer.status == 204:
            self.clear_header("Content-Type")
        return self.finish(answer.content or None)

    def _finish_now(self, error: RefusedError) -> None:
        """Answers although the body has not come, and closes."""
        self._stop_timer()
        self._forget_body()
        self.set_header("Connection", "close")
        in_background(self._flushed(self._finish(self._refusal_answer(error))))

    def _restart_timer(self) -> None:
        """A body has its time, and each piece of it the time of a head, which a refused one has in all."""
        self._stop_timer()
        most = self._limits.head_seconds if self._refused else self._limits.body_seconds
        left = self._begin + most - time.monotonic()
        seconds = max(0.0, min(left, self._limits.head_seconds))
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._finished:
            most = f"{self._limits.body_seconds:g} s, and a piece of it every {self._limits.head_seconds:g} s"
            self._finish_now(self._refused or RefusedError(408, f"the body: expected within {most}."))

    def _forget_body(self) -> None:
        self._front.bodies.give_back(self._n_held)
        self._n_held = 0
        self._body = bytearray()

    def _end(self) -> None:
        """Gives back whatever is held; more than once does no harm."""
        self._stop_timer()
        if self._work is None or self._work.done():
            self._forget_body()
        self._front.answers.give_back(self._n_answer)
        self._n_answer = 0
        self._front.handlers.discard(self)

    def _close(self) -> None:
        connection: Any = self.request.server_connection
        in_background(connection.close())
