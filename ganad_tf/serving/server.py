"""The verb `serve`: start, life and shutdown of the server for a folder of exported models.

TensorFlow Serving's REST API under `/v1`, the Open Inference Protocol under `/v2`. The server listens before it loads
models, so that liveness probes are answered meanwhile.
"""

import asyncio
import dataclasses
import logging
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Protocol

from ganad_tf.errors import DataError
from ganad_tf.serving.access import Access
from ganad_tf.serving.http.connections import max_connections
from ganad_tf.serving.http.server import HttpServer
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.models.repository import Repository
from ganad_tf.serving.service import Service

logger = logging.getLogger(__name__)

CORES = os.cpu_count() or 1
BACKLOG = 2048  # connections that are not accepted yet


class ProtocolServer(Protocol):
    """A server of another protocol for the same service."""

    async def start(self) -> str:
        """Starts to listen; returns the URL."""

    async def stop(self, seconds: float) -> None:
        """Accepts no new calls and cancels those that take longer than `seconds`."""


MakeServer = Callable[[Service], ProtocolServer]


def serve(
    repository: Repository,
    *,
    host: str,
    port: int,
    poll_seconds: float,
    limits: Limits,
    access: Access,
    tls: ssl.SSLContext | None = None,
    has_access_log: bool = False,
    other_servers: Sequence[MakeServer] = (),
) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
      repository: Models to serve.
      host: Address or name to listen on.
      port: HTTP port.
      poll_seconds: Time between two scans of the folder.
      limits: Bounds on requests and connections; all protocols share the connections equally.
      access: Token and CORS rules.
      tls: TLS context for HTTPS; None for HTTP.
      has_access_log: Whether to log each request.
      other_servers: Constructors of servers for other protocols.

    Raises:
      ConfigError: If the process may open too few files.
      DataError: If there is no exported model in the folder, it can't be read, or the port is taken.
    """
    repository.require_models()
    listener = bind_socket(host, port)
    if other_servers:
        share = max(1, max_connections(limits) // (1 + len(other_servers)))
        limits = dataclasses.replace(limits, connections=share)
    try:
        asyncio.run(_serve(repository, listener, poll_seconds, limits, access, tls, has_access_log, other_servers))
    finally:
        listener.close()
        repository.close()


async def _serve(
    repository: Repository,
    listener: socket.socket,
    poll_seconds: float,
    limits: Limits,
    access: Access,
    tls: ssl.SSLContext | None,
    has_access_log: bool,
    other_servers: Sequence[MakeServer],
) -> None:
    service = Service(repository, limits, cores=CORES)
    others = [make(service) for make in other_servers]
    http_server = HttpServer(service, access, tls=tls, has_access_log=has_access_log)
    stop, url = _stop_signal(), http_server.url(listener)
    listener.listen(BACKLOG)
    http_server.listen(listener)
    logger.info("listening on %s port %d; loading models from %s", *listener.getsockname()[:2], repository.folder)
    try:
        for other in others:
            logger.info("listening on %s", await other.start())
        is_loaded = await _done_before(_load_models(repository), stop)
        if is_loaded:
            repository.follow(poll_seconds)
            logger.info("serving %s on %s", ", ".join(repository.names()) or "no model that can be used yet", url)
            await stop.wait()
            logger.info("stopping: accepted requests are answered first; a second signal stops at once")
    finally:
        service.is_draining = True
        repository.close()
        await asyncio.gather(http_server.drain(), *(other.stop(limits.drain_seconds) for other in others))
        service.close()


def _load_models(repository: Repository) -> "asyncio.Future[None]":
    """Loads the models in a daemon thread, which does not keep the process alive."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def load() -> None:
        error: BaseException | None = None
        try:
            repository.refresh()
        except Exception as caught:  # re-raised by the awaiting task
            error = caught
        with suppress(RuntimeError):  # the event loop was closed meanwhile
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=load, daemon=True).start()
    return done


async def _done_before(work: "asyncio.Future[None]", stop: asyncio.Event) -> bool:
    """Waits for the work or the stop signal; returns whether the work was done first.

    Raises:
      Exception: The exception of the work.
    """
    stopped: asyncio.Future[object] = asyncio.ensure_future(stop.wait())
    either: set[asyncio.Future[Any]] = {work, stopped}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        return False
    stopped.cancel()
    work.result()
    return True


def _stop_signal() -> asyncio.Event:
    """Event that SIGINT or SIGTERM sets; a second signal ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopping() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping)
    return stop


def bind_socket(host: str, port: int) -> socket.socket:
    """Binds a socket to a host's IPv4 or IPv6 address; `::` stands for all addresses of both.

    Raises:
      DataError: If the host has no address, or the port is taken.
    """
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses.sort(key=lambda address: address[0] != socket.AF_INET)  # a name may have both; IPv4 comes first
        family, _, _, _, address = addresses[0]
        return _bind(family, address, host)
    except (OSError, OverflowError, UnicodeError) as error:
        raise DataError(f"Can't listen on {host}:{port}: {error}.") from error


def _bind(family: int, address: tuple[object, ...], host: str) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        listener.setblocking(False)
        listener.bind(address)
    except BaseException:
        listener.close()
        raise
    return listener
