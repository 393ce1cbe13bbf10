"""Refused requests and their HTTP statuses."""

import asyncio

import tensorflow as tf

from ganad_tf.errors import GanadError, InputError
from ganad_tf.serving.models.repository import NotHereError

BUG = "a bug in the server; its log says more."
BUSY = "too many requests at a time; try again in a moment."
NO_MEMORY = "not enough memory for this request now; try again, or send fewer clips."


class RefusedError(GanadError):
    """A request that the server refuses.

    Args:
      status: HTTP status.
      sentence: Reason for the client.
      headers: Additional response headers.
    """

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


class BusyError(RefusedError):
    """503: too many requests, or too large ones, at the same time."""

    def __init__(self, sentence: str = BUSY) -> None:
        super().__init__(503, sentence, {"Retry-After": "1"})


class TooLargeError(RefusedError):
    """413: a body or an answer above a limit."""

    def __init__(self, sentence: str) -> None:
        super().__init__(413, sentence)


def refusal(error: BaseException) -> RefusedError | None:
    """Refusal for an error that a client or the load has caused; None for a bug in the server."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, InputError):
        return RefusedError(400, str(error))
    if isinstance(error, NotHereError):
        return RefusedError(404, str(error))
    if isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
        return BusyError(NO_MEMORY)
    if isinstance(error, asyncio.CancelledError):
        return BusyError("the server is stopping.")
    return None
