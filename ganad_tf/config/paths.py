"""Paths as people write them: `~` and environment variables stand for what a shell would put there."""

import os
import re
from typing import Annotated

Location = Annotated[str, "the path of a file or folder"]

_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\}?)", re.ASCII)


def expand(path: str) -> str:
    """The path with `~`, `~user`, `$NAME` and `${NAME}` replaced; any other as it is.

    A path that has been expanded stays as it is when it is expanded again.

    Raises:
      ValueError: If a variable is not set or empty, nobody has such a home folder, or the path is empty. A folder
        with such a name would be made otherwise, or another one be used.

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
