"""Publication of a new model version: atomic, under a version number that no other export takes."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganad_tf.serving.models.versions import next_version

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def no_empty_folders(model: Path) -> Iterator[None]:
    """Context manager that removes the folders created for `model`, itself included, if they stay empty."""
    created = [folder for folder in (model, *model.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in created:
            with suppress(OSError):  # not empty: this or another export has written to it
                folder.rmdir()


def publish(draft: Path, model: Path, write_notes: Callable[[int], None]) -> Path:
    """Renames a finished folder to the model's next version; concurrent exports get different numbers.

    Args:
      draft: Finished folder, on the same file system as `model`.
      model: Folder of the model's versions.
      write_notes: Writes the version number into the draft.

    Returns:
      Folder of the new version.

    Raises:
      OSError: If the draft can't be written or renamed.
    """
    while True:
        version = next_version(model)
        write_notes(version)
        try:
            return draft.rename(model / str(version))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
