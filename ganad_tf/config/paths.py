"""Paths in settings, in which `~` and environment variables are expanded as by a shell."""

import os
import re
from typing import Annotated

Location = Annotated[str, "the path of a file or folder"]

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\}?)", re.ASCII)


def expand(path: str) -> str:
    """Expands `~`, `~user`, `$NAME` and `${NAME}` in a path. Idempotent.

    Raises:
      ValueError: If the path is empty, a variable is unset or empty, or there is no such home folder. Otherwise a
        folder of that literal name would be created, or another folder be used.

    >>> expand("./dev_data")
    './dev_data'
    """
    if not path:
        raise ValueError(f"it is empty. Received: {path!r}")
    for name in _VARIABLE.findall(path):
        if not os.environ.get(name.strip("{}")):
            raise ValueError(f"the environment variable `{name.strip('{}')}` is not set. Received: {path!r}")
    expanded = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111 - `Path` would change other paths too
    if expanded.startswith("~"):
        raise ValueError(
            f"there is no home folder of that user (a folder that begins with `~` is written `./~`). Received: {path!r}"
        )
    if _VARIABLE.search(expanded):
        raise ValueError(f"its environment variables give {expanded!r}, which has variables again. Received: {path!r}")
    return expanded
