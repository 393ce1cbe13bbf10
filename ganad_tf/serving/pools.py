"""Thread pools that have all their threads, because none can be started once memory is short."""

import threading
from concurrent.futures import ThreadPoolExecutor


def start_pool(n_threads: int, name: str) -> ThreadPoolExecutor:
    """Starts a thread pool with all its threads, which `ThreadPoolExecutor` alone starts one by one when needed.

    Raises:
      RuntimeError: If a thread can't be started.
    """
    pool = ThreadPoolExecutor(n_threads, name)
    all_started = threading.Barrier(n_threads + 1)
    try:
        for _ in range(n_threads):
            pool.submit(all_started.wait)  # keeps its thread busy, so that the next one needs another
    except RuntimeError:
        all_started.abort()
        raise
    all_started.wait()
    return pool
