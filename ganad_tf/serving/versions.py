"""Where exported models are: `<folder>/<model>/<version>/`, as TensorFlow Serving looks for them.

Folders may come and go while they are looked at: what is gone is not there, and never an error.
"""

import re
from pathlib import Path

from ganad_tf.errors import DataError

METADATA = Path("assets.extra", "ganad.json")
SAVED_MODEL = "saved_model.pb"


def versions(model: Path) -> dict[int, Path]:
    """The versions of a model by number, the newest first."""
    found = {int(path.name): path for path in _numbered(model) if (path / SAVED_MODEL).exists()}
    return dict(sorted(found.items(), reverse=True))


def models(folder: Path) -> dict[str, Path]:
    """The models in a folder by name."""
    return {path.name: path for path in sorted(_folders(folder)) if versions(path)}


def next_version(model: Path) -> int:
    """One above the highest number that is there, complete or not."""
    return 1 + max((int(path.name) for path in _numbered(model)), default=0)


def newest(path: Path) -> Path:
    """The folder of a version: `path` itself, or the newest version below it.

    Raises:
      DataError: If there is none.
    """
    if (path / SAVED_MODEL).exists():
        return path
    found = versions(path)
    if not found:
        inside = models(path)
        hint = f"; it holds the models {', '.join(inside)}, name one of them" if inside else ""
        raise DataError(f"Expected an exported model in {path}, such as exported_models/demo, but there is none{hint}.")
    return next(iter(found.values()))


def stamp(version: Path) -> tuple[int, int, int]:
    """Changes with any of the files of a version: how many, how large together, and the latest change."""
    sizes, times = [], []
    for path in version.rglob("*"):
        try:
            status = path.stat()
        except OSError:
            continue
        sizes.append(status.st_size)
        times.append(status.st_mtime_ns)
    return len(sizes), sum(sizes), max(times, default=0)


def _numbered(model: Path) -> list[Path]:
    return [path for path in _folders(model) if re.fullmatch(r"0|[1-9]\d{0,17}", path.name, re.ASCII)]


def _folders(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if path.is_dir()]
    except OSError:
        return []
