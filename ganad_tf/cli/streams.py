"""Robust standard streams, where the caller has closed them or their encoding is not UTF-8."""

import io
import os
import sys

DESCRIPTORS = (0, 1, 2)


def open_all() -> None:
    r"""Makes sure that printing never fails; for the command line only.

    Characters outside the encoding are written as escapes such as `\xf6`. A closed stream is opened on the null device:
    otherwise the next file that is opened would get its descriptor, and receive the output.
    """
    for number in DESCRIPTORS:
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free descriptor, which is this one
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - open for the whole process
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """Discards buffered output that nobody reads or that can't be written, which Python would try to flush at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
