"""The C library's heap (glibc's; elsewhere nothing happens): a long training shall not grow by what it has freed."""

import ctypes

M_ARENA_MAX = -8  # malloc.h


def share_heap() -> None:
    """One heap for all threads that are still to come.

    With one for each thread, batches made by one and freed by another leave holes that add up to hundreds of
    megabytes in ten epochs.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(M_ARENA_MAX, 1)


def give_back() -> None:
    """Returns to the system what is free."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim:
        malloc_trim(0)
