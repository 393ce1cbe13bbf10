"""Removal of private paths from the settings of an exported model."""

import os.path
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any


def strip_private_paths(value: Any, project: Path) -> Any:
    """Returns a JSON value without absolute paths, home directories and user names.

    Args:
      value: Any JSON value; paths may occur at any depth.
      project: Folder that commands run in.

    Returns:
      The value with absolute paths inside `project` made relative to it. Entries with other absolute paths, or with
      paths that lead out of the project, are left out.

    >>> strip_private_paths({"a": "/data/fan", "b": ["/home/me/x/y", "./z"], "c": "../other/x"}, Path("/home/me/x"))
    {'b': ['./y', './z']}
    """
    if isinstance(value, Mapping):
        return {
            key: strip_private_paths(inner, project) for key, inner in value.items() if not _is_private(inner, project)
        }
    if isinstance(value, list | tuple):
        return [strip_private_paths(inner, project) for inner in value if not _is_private(inner, project)]
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
