"""Settings as they may leave this computer: paths relative to the project, or left out."""

import os.path
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def portable(value: Any, project: Path) -> Any:
    """A JSON value without home directories, user names and absolute paths.

    Args:
      value: Any JSON value; paths may be anywhere in it.
      project: The folder that commands run in.

    Returns:
      The same, with absolute paths inside `project` relative to it. Entries that hold other absolute paths, or
      lead out of the project, are left out.

    >>> portable({"a": "/data/fan", "b": ["/home/me/x/y", "./z"], "c": "../other/x"}, Path("/home/me/x"))
    {'b': ['./y', './z']}
    """
    if isinstance(value, Mapping):
        return {key: portable(inner, project) for key, inner in value.items() if not _is_private(inner, project)}
    if isinstance(value, list | tuple):
        return [portable(inner, project) for inner in value if not _is_private(inner, project)]
    return _relative(value, project) if isinstance(value, str) else value


def _is_private(value: Any, project: Path) -> bool:
    if not isinstance(value, str):
        return False
    text = _relative(value, project)
    leads_out = Path(os.path.normpath(text)).parts[:1] == ("..",)
    is_absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).is_absolute()
    home = os.path.expanduser("~")  # noqa: PTH111  # unlike Path.home, never an error
    return is_absolute or leads_out or text.startswith(("~", "$")) or (len(home) > 1 and home in text)


def _relative(text: str, project: Path) -> str:
    for folder in (project, project.resolve()):
        if Path(text).is_absolute() and Path(text).is_relative_to(folder):
            return f"./{Path(text).relative_to(folder)}"
    return text
