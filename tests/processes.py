"""Processes, most of them of the real command line, that begin with TensorFlow imported.

Each is forked from a server that has imported everything (multiprocessing's forkserver), which saves three seconds of a
processor every time. It has its own memory, signals, streams, folder and environment. What happens while Python starts
and ends is not that of `python -m ganad_tf`, which the tests of the environment, of imports and of documents start.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

IMPORTED = ["keras", "ganad_tf.cli.main", "ganad_tf.training.train", "ganad_tf.serving.server"]

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(IMPORTED)


def forked(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """A process of its own, begun, that calls a test's function."""
    process = _context.Process(target=function, args=arguments, daemon=True)
    process.start()
    return process


def kill_after(process: BaseProcess, path: Path, seconds: float) -> None:
    """Kills a process so many seconds after it has written a file, for which a minute is waited."""
    deadline = time.monotonic() + 60
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join(60)


class Command:
    """`ganad` with these arguments, with the methods of `subprocess.Popen` that tests call.

    Attributes:
      stdout: What it prints, a text stream; None unless asked for.
      stderr: Its log, a text stream; None if it has another.
      returncode: Its exit code or, if a signal has ended it, that number's negative; None until it is waited for.
    """

    def __init__(
        self, *arguments: object, cwd: Path | None = None, stderr: int | None = None, has_stdout: bool = False
    ) -> None:
        self.stdout, out = _pipe() if has_stdout else (None, Connection(os.open(os.devnull, os.O_RDWR)))
        self.stderr, err = _pipe() if stderr is None else (None, Connection(os.dup(stderr), readable=False))
        words = [str(argument) for argument in arguments]
        given = (words, str(cwd or Path.cwd()), dict(os.environ), out, err)
        self._process = _context.Process(target=_run, args=given, daemon=True)  # ends with the tests at the latest
        self._process.start()
        for end in (out, err):
            end.close()
        self.pid, self.kill = self._process.pid, self._process.kill

    def __enter__(self) -> "Command":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        """The exit code, None if it still runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; the exit code."""
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("ganad", timeout or 0)
        return self._process.exitcode

    def rest_of_log(self) -> str:
        """Waits for the end; what it has logged and nobody has read."""
        with self.stderr:
            log = self.stderr.read()
        self.wait()
        return log


class CommandLines:
    """The process of commands.py, for whoever doesn't start it by a launcher.

    Attributes:
      stdin: Its jobs, a text stream.
      stdout: Its answers, a text stream.
    """

    def __init__(self) -> None:
        self.stdout, out = _pipe()
        jobs, end = _context.Pipe(duplex=False)
        self.stdin = os.fdopen(os.dup(end.fileno()), "w", encoding="utf-8")
        self._process = _context.Process(target=_take_jobs, args=(jobs, out), daemon=True)
        self._process.start()
        for each in (jobs, out, end):
            each.close()

    def wait(self, timeout: float) -> None:
        """Waits for the end."""
        self._process.join(timeout)


def _take_jobs(jobs: Connection, out: Connection) -> None:
    """The process itself."""
    for number, end in ((0, jobs), (1, out)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import commands

    commands.main()


def _pipe() -> tuple:
    """A text stream that reads, and the end of it that writes."""
    reader, writer = _context.Pipe(duplex=False)
    stream = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
    reader.close()
    return stream, writer


def _run(words: list[str], cwd: str, environment: dict[str, str], out: Connection, err: Connection) -> None:
    """The process itself."""
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout, sys.stderr = os.fdopen(1, "w", encoding="utf-8"), os.fdopen(2, "w", 1, encoding="utf-8")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background of a shell ignore it
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0], sys.argv = cwd, ["ganad", *words]
    from ganad_tf.cli.main import main

    sys.exit(main())  # multiprocessing ends the process with this code, or with 1 and a traceback
