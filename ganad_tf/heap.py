"""Memory of the C library's allocator (glibc; elsewhere nothing happens), returned to the system when it is freed.

The command line calls `limit_arenas` before TensorFlow starts its threads; no library code does.
"""

import ctypes
import sys

M_ARENA_MAX = -8  # malloc.h
ARENAS = 4


def limit_arenas() -> None:
    """Limits malloc to `ARENAS` arenas; to be called before there are threads.

    By default glibc has up to eight arenas per core. Memory that one thread allocates and another frees leaves holes in
    all of them: hundreds of megabytes in ten epochs. With a single arena the threads of a step wait for each other.
    """
    _call("mallopt", M_ARENA_MAX, ARENAS)


def trim() -> None:
    """Returns free memory to the system (`malloc_trim`)."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    if sys.platform == "win32":  # where no library stands for the process
        return
    function = getattr(ctypes.CDLL(None), name, None)
    if function:
        function(*arguments)
