"""Ctrl-C that is not lost.

Python raises `KeyboardInterrupt` in whatever the main thread executes. If that is a `__del__`, or a function that
TensorFlow calls from C++, the exception is dropped and the command would run on. So the signal is recorded as well, and
the loops that show progress raise the exception again.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_is_pending = False


@contextmanager
def recorded() -> Iterator[None]:
    """Records SIGINT while the block runs, for `check`.

    Leaves SIGINT alone where Python's default handler is not in charge: in a command started with SIGINT ignored, and
    in threads other than the main one.
    """
    global _is_pending
    handler, hook = signal.getsignal(signal.SIGINT), sys.unraisablehook

    def report(dropped: "sys.UnraisableHookArgs") -> None:
        if not issubclass(dropped.exc_type, KeyboardInterrupt):
            hook(dropped)

    try:
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, _handle)
    except ValueError:  # not in the main thread, which alone receives signals
        handler = None
    sys.unraisablehook = report
    try:
        yield
    finally:
        _is_pending = False
        sys.unraisablehook = hook
        if handler is signal.default_int_handler:
            signal.signal(signal.SIGINT, handler)


def check() -> None:
    """Raises `KeyboardInterrupt` if a recorded SIGINT has not ended the command."""
    if _is_pending:
        raise KeyboardInterrupt


def _handle(number: int, frame: FrameType | None) -> None:
    global _is_pending
    _is_pending = True
    signal.default_int_handler(number, frame)
