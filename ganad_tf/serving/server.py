"""The verb `serve`: every exported model of a folder, over HTTP, from start to stop.

TensorFlow Serving's REST API under `/v1`, the Open Inference Protocol under `/v2`. It listens first and loads then, so
that a probe of liveness is answered meanwhile.
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
from ganad_tf.serving.http.connections import connections
from ganad_tf.serving.http.server import HttpFront
from ganad_tf.serving.limits import Limits
from ganad_tf.serving.models.repository import Repository
from ganad_tf.serving.service import Service

logger = logging.getLogger(__name__)

CORES = os.cpu_count() or 1
WAITING = 2048  # connections that are not accepted yet


class Front(Protocol):
    """Another protocol over the service."""

    async def start(self) -> str:
        """Listens; the address where."""

    async def stop(self, seconds: float) -> None:
        """Takes nothing new, and ends what is not done in so many seconds."""


MakeFront = Callable[[Service], Front]


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
    fronts: Sequence[MakeFront] = (),
) -> None:
    """Serves until SIGINT or SIGTERM.

    Args:
      repository: The models.
      host: To listen at.
      port: To listen at for HTTP.
      poll_seconds: Between two looks at the folder.
      limits: Of what is taken; with more fronts than HTTP, each gets its share of the connections.
      access: Who is answered.
      tls: For HTTPS.
      has_access_log: Whether each request writes a line.
      fronts: Other protocols over the same service.

    Raises:
      ConfigError: If the system gives too few file descriptors.
      DataError: If there is no exported model in the folder, it can't be read, or the port is taken.
    """
    repository.require_models()
    listener = bound(host, port)
    if fronts:
        share = max(1, connections(limits) // (1 + len(fronts)))
        limits = dataclasses.replace(limits, connections=share)
    try:
        asyncio.run(_serve(repository, listener, poll_seconds, limits, access, tls, has_access_log, fronts))
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
    fronts: Sequence[MakeFront],
) -> None:
    service = Service(repository, limits, cores=CORES)
    others = [make(service) for make in fronts]
    front = HttpFront(service, access, tls=tls, has_access_log=has_access_log)
    stop, url = _stop_signal(), front.url(listener)
    listener.listen(WAITING)
    front.listen(listener)
    logger.info("listening on %s port %d; loading models from %s", *listener.getsockname()[:2], repository.folder)
    try:
        for other in others:
            logger.info("listening on %s", await other.start())
        loaded = await _first_of(_loaded(repository), stop)
        if loaded:
            repository.follow(poll_seconds)
            logger.info("serving %s on %s", ", ".join(repository.names()) or "no model that can be used yet", url)
            await stop.wait()
            logger.info("stopping: what was accepted is answered first; a second signal ends it at once")
    finally:
        service.is_draining = True
        repository.close()
        await asyncio.gather(front.drain(), *(other.stop(limits.drain_seconds) for other in others))
        await asyncio.to_thread(service.close)


def _loaded(repository: Repository) -> "asyncio.Future[None]":
    """Loads the models in a thread that does not keep the process from ending."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def finish(error: BaseException | None) -> None:
        if not done.done():
            done.set_exception(error) if error else done.set_result(None)

    def load() -> None:
        error: BaseException | None = None
        try:
            repository.refresh()
        except Exception as caught:  # reaches whoever waits
            error = caught
        with suppress(RuntimeError):  # the server was stopped meanwhile: nobody waits
            loop.call_soon_threadsafe(finish, error)

    threading.Thread(target=load, daemon=True).start()
    return done


async def _first_of(work: "asyncio.Future[None]", stop: asyncio.Event) -> bool:
    """Whether the work was done before the server was stopped.

    Raises:
      Exception: What the work has raised.
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
    """Set by SIGINT or SIGTERM; the second one ends the process at once."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def stopping() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping)
    return stop


def bound(host: str, port: int) -> socket.socket:
    """A socket at a host's address, IPv4 or IPv6; `::` is every address of both.

    Raises:
      DataError: If there is none, or the port is taken.
    """
    try:
        addresses = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        addresses.sort(key=lambda address: address[0] != socket.AF_INET)  # a name may have both: the older first
        family, _, _, _, address = addresses[0]
        return _bound(family, address, host)
    except (OSError, OverflowError, UnicodeError) as error:
        raise DataError(f"Can't listen on {host}:{port}: {error}.") from error


def _bound(family: int, address: tuple[object, ...], host: str) -> socket.socket:
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
