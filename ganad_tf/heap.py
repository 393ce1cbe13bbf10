"""Switches of the C library's heap (glibc's; elsewhere nothing happens): what a process has freed shall not stay its.

The command line throws `limit`, before TensorFlow starts its threads; no library code does.
"""

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h
ARENAS = 4


def limit() -> None:
    """At most `ARENAS` heaps from now on; best before there are threads.

    glibc gives each thread one, up to eight for each core, and what one thread makes and another frees leaves holes in
    all of them: hundreds of megabytes in ten epochs. With a single one, the threads of a step wait for each other.
    """
    _call("mallopt", M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Returns to the system what is free."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    if sys.platform == "win32":  # where no library stands for the process
        return
    function = getattr(ctypes.CDLL(None), name, None)
    if function:
        function(*arguments)
