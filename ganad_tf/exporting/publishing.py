"""A new version of an exported model: complete under a number of its own, or nothing at all."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ganad_tf.serving.models.versions import next_version

_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@contextmanager
def no_empty_folders(model: Path) -> Iterator[None]:
    """Removes at the end the folders that were made for `model`, down to it, if nothing is in them."""
    made = [folder for folder in (model, *model.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder in made:
            with suppress(OSError):  # there is something in it, from us or from another export
                folder.rmdir()


def publish(draft: Path, model: Path, write_notes: Callable[[int], None]) -> Path:
    """Renames a finished folder to the model's next version; of several exports at once each gets a number.

    Args:
      draft: The folder, on the same file system as `model`.
      model: The folder of versions.
      write_notes: Writes a version number into the draft.

    Raises:
      OSError: If it can't be written or renamed.
    """
    while True:
        version = next_version(model)
        write_notes(version)
        try:
            return draft.rename(model / str(version))
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
