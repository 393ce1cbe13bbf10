"""The service over HTTP/1.1, on Tornado: which client may send how much for how long, and which hears what.

Tornado bounds the head's time and the connections' idle time, frames and refuses what is no HTTP. Here: bodies are
collected within a room that all share, and only then does a request take its place in the queue; a slow body is 408;
answers that nobody reads end; connections are counted, so that file descriptors are left for TensorFlow, which aborts
without them.
"""

import asyncio
import gzip
import logging
import resource
import socket
import ssl
import time
from pathlib import Path
from typing import Any

from tornado import httpserver, iostream, web

from ganad_tf.errors import ConfigError
from ganad_tf.serving import logs, parsing
from ganad_tf.serving.access import Access
from ganad_tf.serving.endpoints import Asked, Endpoints, Route, json_answer
from ganad_tf.serving.fields import short
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.refusals import BusyError, RefusedError, TooLargeError, refusal
from ganad_tf.serving.service import Answer, Service

logger = logging.getLogger(__name__)

MOST_HEADERS = 100
HELD_BODIES = 4  # of the largest size, together
SMALL = 1_000_000  # bytes of a body or of an answer; a quarter of the room is kept for such
SMALL_ANSWER = 1 << 16  # bytes that the system takes from us in any case
LEAST_COMPRESSED = 1000  # bytes of an answer
SPARE_DESCRIPTORS = 24  # for models, random numbers and logs
FEWEST_CONNECTIONS = 4
STOPPING = "the server is stopping; ask another."
WARN_SECONDS = 10.0  # between two lines about connections that were not taken

# Answered before there is a handler, as a client that is over the limit of connections.
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Room:
    """Bytes that many share, the last quarter of them for the small."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held = 0

    def take(self, n_bytes: int, *, total: int) -> None:
        """Takes bytes for something that has then so many in total.

        Raises:
          BusyError: If there are not so many left.
        """
        room = self._size if total <= SMALL else self._size * 3 // 4
        if self._held + n_bytes > max(room, total):  # what is alone may be as large as it may be
            raise BusyError
        self._held += n_bytes

    def give_back(self, n_bytes: int) -> None:
        """Gives bytes back."""
        self._held -= n_bytes


class HttpFront:
    """Listens, and answers by the endpoints of a service.

    Args:
      service: What answers.
      access: Who is answered.
      tls: For HTTPS.
      has_access_log: Whether each request writes a line.
    """

    def __init__(
        self, service: Service, access: Access, *, tls: ssl.SSLContext | None = None, has_access_log: bool = False
    ) -> None:
        limits = service.limits
        self.service = service
        self.access = access
        self.endpoints = Endpoints(service)
        self.has_access_log = has_access_log
        self.bodies = Room(HELD_BODIES * limits.body_bytes)
        self.answers = Room(limits.answer_bytes)
        self.handlers: set[Handler] = set()
        application = web.Application([(r".*", Handler, {"front": self})], log_function=_log_nothing)
        self._server = _Server(
            application,
            ssl_options=tls,
            idle_connection_timeout=limits.head_seconds,
            max_header_size=2 * limits.head_bytes,  # what is between is answered 431, what is longer is cut off
            max_body_size=1 << 62,  # Handler has its own, with a sentence
            max_buffer_size=max(1 << 20, 4 * limits.head_bytes),
        )
        self._server.limit(connections(limits), service)
        self._scheme = "https" if tls else "http"

    def listen(self, listener: socket.socket) -> None:
        """Begins to accept the connections of a socket that listens."""
        self._server.add_socket(listener)

    def url(self, listener: socket.socket) -> str:
        """Where a socket is reached."""
        host, port = listener.getsockname()[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def drain(self) -> None:
        """Answers what was accepted, within the time for it; what is idle, or sent by halves, ends at once."""
        self._server.stop()
        for handler in list(self.handlers):
            handler.stop_reading()
        self._server.close_idle({handler.request.server_connection for handler in self.handlers})
        end = time.monotonic() + self.service.limits.drain_seconds
        while self.handlers and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await self._server.close_all_connections()


def connections(limits: Limits) -> int:
    """Connections that may be open: as limited, or as the file descriptors of the process allow.

    Raises:
      ConfigError: If hardly any are left.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = (
        soft - len(list(Path("/dev/fd").iterdir())) - SPARE_DESCRIPTORS
        if soft != resource.RLIM_INFINITY
        else limits.connections
    )
    if left < FEWEST_CONNECTIONS:
        raise ConfigError(f"Expected more open files than {soft} for a server; raise the limit (ulimit -n 1024).")
    return min(limits.connections, left)


class _Server(httpserver.HTTPServer):
    """Tornado's, with so many connections at a time."""

    def limit(self, most: int, service: Service) -> None:
        """Sets the limit; before it listens."""
        self._most = most
        self._service = service
        self._open: set[Any] = set()
        self._n_open = 0
        self._warned = float("-inf")

    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        """Serves a connection, or closes it at once."""
        if self._n_open < self._most:
            self._n_open += 1
            super().handle_stream(stream, address)
            return
        self._service.meters.refused_connection()
        if time.monotonic() - self._warned > WARN_SECONDS:
            self._warned = time.monotonic()
            logger.warning("%d connections are open, which is the limit: others are refused", self._most)
        if not self.ssl_options:
            stream.write(_FULL)
        stream.close()

    def start_request(self, server_conn: Any, request_conn: Any) -> Any:
        """Called for each request that may come on a connection."""
        self._open.add(server_conn)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: Any) -> None:
        """Called when a connection has ended."""
        self._n_open -= 1
        self._open.discard(server_conn)
        super().on_close(server_conn)

    def close_idle(self, busy: set[Any]) -> None:
        """Closes the connections that have no request."""
        for connection in self._open - busy:
            _in_background(connection.close())


@web.stream_request_body
class Handler(web.RequestHandler):
    """One request: head, body, answer."""

    def initialize(self, front: HttpFront) -> None:  # noqa: D102  Tornado's constructor
        self._front = front
        self._limits = front.service.limits
        self._begin = time.monotonic()
        self._body = bytearray()
        self._n_received = self._n_held = self._n_answer = 0
        self._refused: RefusedError | None = None
        self._route: Route | None = None
        self._parts: dict[str, str] = {}
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
            self._check_head()
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
            logs.access_line(
                {
                    "client": self.request.remote_ip,
                    "method": short(self.request.method)[1:-1],
                    "path": short(self.request.path)[1:-1],
                    "status": status,
                    "ms": round(1e3 * seconds, 1),
                    "received": self._n_received,
                    **self._labels,
                    "error": self._error,
                }
            )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answers what Tornado refuses in the form of all errors."""
        error = kwargs.get("exc_info", (None, None))[1]
        is_bug = status_code == 500
        self._error = "a bug in the server; its log says more." if is_bug else f"{self._reason}."
        if isinstance(error, web.HTTPError) and status_code == 405:
            self._error = f"Expected one of the methods of HTTP. Received: {short(self.request.method)}."
        answer = json_answer({"error": self._error}, status_code)
        _in_background(self._flushed(self._finish(answer)))

    def log_exception(self, _: Any, value: BaseException | None, __: Any) -> None:
        """Logs a bug, once; what a client did, or that it went away, is no bug."""
        if not isinstance(value, web.HTTPError | iostream.StreamClosedError):
            logger.error("a bug, at %s", short(self.request.path), exc_info=value)

    def _check_head(self) -> None:
        request = self.request
        lines = list(request.headers.get_all())
        size = len(request.uri or "") + sum(len(name) + len(value) + 4 for name, value in lines)
        if len(lines) > MOST_HEADERS or size > self._limits.head_bytes:
            most = f"{MOST_HEADERS} headers and {self._limits.head_kb:g} kB"
            raise RefusedError(431, f"the head: expected at most {most}. Received: {len(lines)} and {size / 1e3:.0f}.")
        try:
            self._route, self._parts = self._front.endpoints.route(str(request.method), request.path)
        except RefusedError as error:
            self._check_preflight(error)
            self._front.access.check_token(request.headers.get("Authorization"))
            raise
        if not self._route.is_open:
            self._front.access.check_token(request.headers.get("Authorization"))
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            sentence = f"Content-Encoding: expected gzip, or none. Received: {short(encoding)}."
            raise RefusedError(415, sentence, {"Accept-Encoding": "gzip"})
        self._is_compressed = encoding != "identity"
        declared = request.headers.get("Content-Length", "0")
        if declared.isdecimal() and len(declared) < 19:
            self._check_size(int(declared))

    def _check_preflight(self, error: RefusedError) -> None:
        """A browser asks whether a page may ask."""
        if self.request.method == "OPTIONS" and error.status == 405:
            origin = self.request.headers.get("Origin")
            headers = self._front.access.preflight_headers(origin, error.headers["Allow"])
            if headers is not None:
                raise RefusedError(204, "", dict(headers))

    def _check_size(self, n_bytes: int) -> None:
        if n_bytes > self._limits.body_bytes:
            received = f"{n_bytes / 1e6:.3g} MB"
            raise TooLargeError(f"the body: expected at most {self._limits.body_mb:g} MB. Received: {received}.")

    def _keep(self, chunk: bytes) -> None:
        self._check_size(self._n_received)
        self._front.bodies.take(len(chunk), total=self._n_received)
        self._n_held += len(chunk)
        self._body += chunk

    async def _answer(self) -> Answer:
        try:
            if self._refused:
                raise self._refused
            if self._front.service.is_draining and self._route and not self._route.is_open:
                raise BusyError(STOPPING)
            assert self._route is not None
            asked = Asked(await self._inflated(), self.request.headers, self._parts, self._labels)
            self._body = bytearray()
            answer = await self._route.function(asked)
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
        if not self._is_compressed:
            return self._body
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
        is_wanted = _takes_gzip(self.request.headers.get("Accept-Encoding", ""))
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
        _in_background(self._flushed(self._finish(self._refusal_answer(error))))

    def _restart_timer(self) -> None:
        """A body has its time, and each piece of it the time of a head."""
        self._stop_timer()
        left = self._begin + self._limits.body_seconds - time.monotonic()
        seconds = max(0.0, min(left, self._limits.head_seconds))
        self._timer = asyncio.get_running_loop().call_later(seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self._finished:
            most = f"{self._limits.body_seconds:g} s, and a piece of it every {self._limits.head_seconds:g} s"
            self._finish_now(RefusedError(408, f"the body: expected within {most}."))

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
        _in_background(connection.close())


def _takes_gzip(accepted: str) -> bool:
    """Whether a client takes compressed answers."""
    for coding in accepted.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _log_nothing(_: web.RequestHandler) -> None:
    """Tornado's own access log is not written."""


_TASKS: set["asyncio.Task[None]"] = set()  # asyncio itself does not hold on to them


def _in_background(work: Any) -> None:
    task = asyncio.ensure_future(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
