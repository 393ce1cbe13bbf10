"""Tornado's server with so many connections at a time, so that file descriptors are left for TensorFlow."""

import asyncio
import logging
import resource
import time
from pathlib import Path
from typing import Any

from tornado import httpserver, iostream

from ganad_tf.errors import ConfigError
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.metrics import Meters

logger = logging.getLogger(__name__)

SPARE_DESCRIPTORS = 24  # for models, random numbers and logs
FEWEST_CONNECTIONS = 4
WARN_SECONDS = 10.0  # between two lines about connections that were not taken

# For a client that is over the limit of connections; there is no handler yet.
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


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


class Server(httpserver.HTTPServer):
    """Tornado's, with so many connections at a time."""

    def limit(self, most: int, meters: Meters) -> None:
        """Sets the limit; before it listens."""
        self._most = most
        self._meters = meters
        self._open: set[Any] = set()
        self._n_open = 0
        self._warned = float("-inf")

    def handle_stream(self, stream: iostream.IOStream, address: Any) -> None:
        """Serves a connection, or closes it at once."""
        if self._n_open < self._most:
            self._n_open += 1
            super().handle_stream(stream, address)
            return
        self._meters.refused_connection()
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
            in_background(connection.close())


_TASKS: set["asyncio.Task[None]"] = set()  # asyncio itself does not hold on to them


def in_background(work: Any) -> None:
    """Runs a coroutine that nobody waits for."""
    task = asyncio.ensure_future(work)
    _TASKS.add(task)
    task.add_done_callback(_TASKS.discard)
