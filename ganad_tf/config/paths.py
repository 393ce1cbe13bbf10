"""Paths in settings, in which `~` and environment variables are expanded as by a shell, and URLs in their place."""

import os
import re
from pathlib import Path
from typing import Annotated

Location = Annotated[str, "the path of a file or folder"]

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://([^/]+)/*(.*)", re.DOTALL)
_FILE = re.compile(r"file://(?:localhost)?(?=/)")
_VARIABLE = re.compile(r"\$(\w+|\{[^}]*\}?)", re.ASCII)


def expand(path: str) -> str:
    """Expands `~`, `~user`, `$NAME` and `${NAME}` in a path; a `file://` URL becomes a path. Idempotent.

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
    return _FILE.sub("", expanded, count=1)


def is_url(location: str) -> bool:
    """Whether a location is the URL of an object store, such as `s3://bucket/folder`."""
    return _URL.fullmatch(location) is not None


def image(url: str, scratch: Path) -> Path:
    """Local directory that the content of a URL is worked on in: kept apart by scheme, bucket and folder.

    >>> image("s3://plant/model/", Path("/scratch")).as_posix()
    '/scratch/s3/plant/model'
    """
    match = _URL.fullmatch(url)
    assert match is not None  # the caller has asked `is_url`
    scheme, bucket, folder = match.groups()
    return scratch.joinpath(scheme, bucket, *(part for part in folder.split("/") if part not in ("", ".", "..")))


def url_of(path: Path, scratch: Path) -> str | None:
    """URL that a local path is the image of; None for other paths. The reverse of `image`."""
    if not path.is_relative_to(scratch):
        return None
    scheme, *rest = path.relative_to(scratch).parts or ("",)
    return f"{scheme}://{'/'.join(rest)}" if rest else None
