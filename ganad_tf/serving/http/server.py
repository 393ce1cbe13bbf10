"""The service over HTTP/1.1, on Tornado: which client may send how much for how long, and which hears what.

Tornado bounds the head's time and the connections' idle time, frames and refuses what is no HTTP. Here: bodies are
collected within a room that all share, and only then does a request take its place in the queue; a slow body is 408;
answers that nobody reads end; connections are counted.
"""

import asyncio
import socket
import ssl
import time

from tornado import web

from ganad_tf.serving.access import Access
from ganad_tf.serving.http.byte_budget import Room
from ganad_tf.serving.http.connections import Server, connections
from ganad_tf.serving.http.endpoints import Endpoints
from ganad_tf.serving.http.request import Handler
from ganad_tf.serving.service import Service

HELD_BODIES = 4  # of the largest size, together


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
        self._server = Server(
            application,
            ssl_options=tls,
            idle_connection_timeout=limits.head_seconds,
            max_header_size=2 * limits.head_bytes,  # what is between is answered 431, what is longer is cut off
            max_body_size=1 << 62,  # Handler has its own, with a sentence
            max_buffer_size=max(1 << 20, 4 * limits.head_bytes),
        )
        self._server.limit(connections(limits), service.meters)
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


def _log_nothing(_: web.RequestHandler) -> None:
    """Tornado's own access log is not written."""
