"""Standard input, output and error as whoever calls the command line has left them: closed, or not in UTF-8."""

import io
import os
import sys

DESCRIPTORS = (0, 1, 2)


def open_all() -> None:
    r"""Makes sure that printing never ends a command; for the command line alone.

    What an encoding does not have is written as an escape, `\xf6`. A closed stream leads nowhere: otherwise the first
    file that is opened would take its number, and get what is printed.
    """
    for number in DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, and that is this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for the whole process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """Lets what is still to be printed go nowhere, since nobody takes it: Python would try again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
