"""The service over HTTP/1.1, on Tornado, with bounds on the memory and the time of every client.

Tornado parses HTTP, refuses malformed requests, and applies the timeouts for heads and idle connections. This package
collects bodies within a shared memory budget before a request enters the queue, answers slow bodies with 408, drops
answers that are not read in time, and limits connections.
"""

import asyncio
import socket
import ssl
import time

from tornado import web

from ganad_tf.serving.access import Access
from ganad_tf.serving.http.byte_budget import ByteBudget
from ganad_tf.serving.http.connections import LimitedServer, max_connections
from ganad_tf.serving.http.endpoints import Endpoints
from ganad_tf.serving.http.request import Handler
from ganad_tf.serving.service import Service

HELD_BODIES = 4  # bodies of maximum size that fit the memory budget


class HttpServer:
    """HTTP server of a service's endpoints.

    Args:
      service: Scoring service.
      access: Token and CORS rules.
      tls: TLS context for HTTPS; None for HTTP.
      has_access_log: Whether to log each request.
    """

    def __init__(
        self, service: Service, access: Access, *, tls: ssl.SSLContext | None = None, has_access_log: bool = False
    ) -> None:
        limits = service.limits
        self.service = service
        self.access = access
        self.endpoints = Endpoints(service)
        self.has_access_log = has_access_log
        self.bodies = ByteBudget(HELD_BODIES * limits.body_bytes)
        self.answers = ByteBudget(limits.answer_bytes)
        self.handlers: set[Handler] = set()
        application = web.Application([(r".*", Handler, {"server": self})], log_function=_log_nothing)
        self._server = LimitedServer(
            application,
            ssl_options=tls,
            idle_connection_timeout=limits.head_seconds,
            max_header_size=2
            * limits.head_bytes,  # up to this size a head is answered with 431, beyond it the connection is closed
            max_body_size=1 << 62,  # Handler applies the limit, with a reason for the client
            max_buffer_size=max(1 << 20, 4 * limits.head_bytes),
        )
        self._server.limit(max_connections(limits), service.metrics)
        self._scheme = "https" if tls else "http"

    def listen(self, listener: socket.socket) -> None:
        """Accepts the connections of a listening socket."""
        self._server.add_socket(listener)

    def url(self, listener: socket.socket) -> str:
        """URL of a listening socket."""
        host, port = listener.getsockname()[:2]
        return f"{self._scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    async def drain(self) -> None:
        """Stops listening, ends idle connections and unfinished bodies, and waits for accepted requests."""
        self._server.stop()
        for handler in list(self.handlers):
            handler.stop_reading()
        self._server.close_idle({handler.request.server_connection for handler in self.handlers})
        end = time.monotonic() + self.service.limits.drain_seconds
        while self.handlers and time.monotonic() < end:
            await asyncio.sleep(0.02)
        await self._server.close_all_connections()


def _log_nothing(_: web.RequestHandler) -> None:
    """Disables Tornado's own access log."""
