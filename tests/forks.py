"""Runs command lines for tests, each in a process of its own, which begins where TensorFlow has been imported.

    python tests/forks.py   (reads a JSON object per line: words, cwd, stdout, stderr; answers with an exit code)

Importing takes several seconds, and the tests call dozens of commands. Nothing has been computed before the fork, so
that there are no threads, heaps or random numbers that a command could get from another one.
"""

import json
import os
import signal
import sys
from pathlib import Path

import keras  # noqa: F401
import tensorflow  # noqa: F401

from ganad_tf.cli import main as cli
from ganad_tf.training import train  # noqa: F401


def main() -> int:
    """Forks for each line of stdin; the exit code of a command in a fork."""
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            return command(job)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return 0


def command(job: dict) -> int:
    """What `ganad WORDS` does, with these files as its output and no input, in at most five minutes."""
    signal.alarm(300)
    for number, path in enumerate((os.devnull, job["stdout"], job["stderr"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.chdir(job["cwd"])
    sys.path[0] = str(Path.cwd())
    sys.argv = ["ganad", *job["words"]]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
