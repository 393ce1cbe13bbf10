"""Runs command lines for tests, one after another, in one process that is not pytest's.

    python tests/commands.py   (reads a JSON object per line: words, cwd, environment, stdout, stderr;
                                answers with an exit code)

Importing TensorFlow takes several seconds, converting and tracing functions for the first time as many again, and the
tests call dozens of commands. Names of layers, loggers, warnings and streams are each time those of a new process; the
tests of signals, memory, imports and the environment start a process of their own.
"""

import gc
import json
import logging
import os
import signal
import sys
import traceback
import warnings
from pathlib import Path

SECONDS = 900  # at most, for one command; it then takes the process with it, and the next one gets another


def main() -> int:
    """Runs the command of each line of stdin."""
    import keras

    from ganad_tf.cli import main as cli
    from ganad_tf.training import train  # noqa: F401

    gc.freeze()  # what is imported stays; the collector need not look at it again
    with os.fdopen(os.dup(1), "w") as answers:
        for line in sys.stdin:
            job = json.loads(line)
            for number, name in ((1, job["stdout"]), (2, job["stderr"])):
                stream = os.open(name, os.O_RDWR | os.O_CREAT)
                os.dup2(stream, number)
                os.close(stream)
            code = command(cli.main, job)
            sys.stdout.flush()
            sys.stderr.flush()
            keras.utils.clear_session(free_memory=False)
            print(code, file=answers, flush=True)
    return 0


def command(run, job: dict) -> int:
    """The exit code of `ganad WORDS`, as a process has it."""
    logging.getLogger().handlers.clear()
    os.chdir(job["cwd"])
    sys.path[0] = str(Path.cwd())
    sys.argv = ["ganad", *job["words"]]
    kept = dict(os.environ)
    os.environ.update(job["environment"])
    signal.alarm(SECONDS)
    try:
        with warnings.catch_warnings():
            return run()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except Exception:
        traceback.print_exc()
        return 1
    finally:
        signal.alarm(0)
        os.environ.clear()
        os.environ.update(kept)


if __name__ == "__main__":
    sys.exit(main())
