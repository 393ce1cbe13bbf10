"""Detection of identical files, such as a recording that was copied under another name."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from ganad_tf.files import checksummed
from ganad_tf.storage import placeholders

SAMPLE_BYTES = 4096  # from the middle of a file; in two different recordings these differ, except in silence


def identical_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Groups of two or more identical files, in the order of `paths`.

    Sizes and a sample are compared first, so that few files are read completely. Unreadable files are in no group;
    their error is reported when the recordings are read.
    """
    groups = [list(paths)]
    for trait in (_size, _sample, checksummed.file_checksum):
        groups = [part for group in groups for part in _alike(group, trait)]
    return groups


def _alike(paths: list[Path], trait: Callable[[Path], Hashable]) -> list[list[Path]]:
    groups: dict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        try:
            groups[trait(path)].append(path)
        except OSError:
            continue
    return [group for group in groups.values() if len(group) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _sample(path: Path) -> bytes:
    placeholders.ensure(path)
    with path.open("rb") as stream:
        stream.seek(_size(path) // 2)
        return stream.read(SAMPLE_BYTES)
