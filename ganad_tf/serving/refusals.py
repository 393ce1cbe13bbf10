"""Errors that the server answers, and their HTTP statuses."""

import asyncio

import tensorflow as tf

from ganad_tf.errors import GanadError, InputError
from ganad_tf.serving.models.repository import NotHereError

BUSY = "too many requests at a time; try again in a moment."
NO_MEMORY = "not enough memory for this request now; try again, or send fewer clips."


class RefusedError(GanadError):
    """A request that is not worked on.

    Args:
      status: HTTP status.
      sentence: Answer to the client.
      headers: Additional headers of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.headers = headers or {}


class BusyError(RefusedError):
    """More requests at a time, or larger ones, than there is room for."""

    def __init__(self, sentence: str = BUSY) -> None:
        super().__init__(503, sentence, {"Retry-After": "1"})


class TooLargeError(RefusedError):
    """A body above a limit."""

    def __init__(self, sentence: str) -> None:
        super().__init__(413, sentence)


def refusal(error: BaseException) -> RefusedError | None:
    """The answer to an error that is a client's, or the load's; None for a bug."""
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
