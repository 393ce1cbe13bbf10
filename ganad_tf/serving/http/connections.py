"""Tornado's HTTP server with a connection limit, so that file descriptors are left for TensorFlow."""

import asyncio
import logging
import resource
import time
from pathlib import Path
from typing import Any

from tornado import httpserver, iostream

from ganad_tf.errors import ConfigError
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.metrics import Metrics

logger = logging.getLogger(__name__)

SPARE_DESCRIPTORS = 24  # file descriptors for models, random numbers and logs
FEWEST_CONNECTIONS = 4
WARN_SECONDS = 10.0  # minimum time between two warnings about refused connections

# Written directly to a connection over the limit, which has no request handler yet.
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def max_connections(limits: Limits) -> int:
    """Maximum number of connections: the configured limit, or fewer if the process may open fewer files.

    Raises:
      ConfigError: If fewer than `FEWEST_CONNECTIONS` are left.
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


class LimitedServer(httpserver.HTTPServer):
    """Tornado's server that refuses connections over a limit with 503."""

    def limit(self, most: int, metrics: Metrics) -> None:
        """Sets the connection limit; called before the server listens."""
        self._most = most
        self._metrics = metrics
        self._open: set[Any] = set()
        self._n_open = 0
        self._warned = float("-inf")

    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        """Serves a new connection, or refuses it."""
        if self._n_open < self._most:
            self._n_open += 1
            super().handle_stream(stream, address)
            return
        self._metrics.refused_connection()
        if time.monotonic() - self._warned > WARN_SECONDS:
            self._warned = time.monotonic()
            logger.warning("%d connections are open, which is the limit: others are refused", self._most)
        if not self.ssl_options:
            stream.write(_FULL)
        stream.close()

    def start_request(self, server_conn: Any, request_conn: Any) -> Any:
        """Tornado's hook for a connection that is ready for a request."""
        self._open.add(server_conn)
        return super().start_request(server_conn, request_conn)

    def on_close(self, server_conn: Any) -> None:
        """Tornado's hook for a closed connection."""
        self._n_open -= 1
        self._open.discard(server_conn)
        super().on_close(server_conn)

    def close_idle(self, busy: set[Any]) -> None:
        """Closes all connections except those in `busy`, which have a request."""
        for connection in self._open - busy:
            in_background(connection.close())


_TASKS: set["asyncio.Task[None]"] = set()  # asyncio itself holds only weak references


def in_background(work: Any) -> None:
    """Schedules a coroutine whose result nobody awaits."""
    task = asyncio.ensure_future(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
