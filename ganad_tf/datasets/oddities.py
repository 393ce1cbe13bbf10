"""Warnings of suspicious recordings: silent, clipped, with a dead channel, or duplicated."""

import functools
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ganad_tf.audio import sound_checks
from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import contents
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import SPLITS, Clip, Progress
from ganad_tf.config.sections import Audio
from ganad_tf.datasets.base import N_NAMED, some
from ganad_tf.errors import DataError
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)


def warn(runs: Sequence[MachineRun], *, progress: Progress) -> None:
    """Warns of suspicious recordings: one line per kind with their number and some names.

    Recordings that the caches have examined are not read again; imported log-mels have no recordings.

    Args:
      runs: One per machine type, of one experiment.
      progress: Displays the progress of reading.
    """
    examinations: dict[Clip, Examination | None] = {}
    unknown: list[Clip] = []
    recordings: list[tuple[Path, Clip, Audio]] = []
    for run in runs:
        if run.config.dataset.name == "imported":
            continue
        examinations |= _known(run)
        missing = [clip for clip in run.listing.clips if clip not in examinations]
        unknown += missing
        recordings += [(run.listing.directory, clip, run.config.audio) for clip in missing]
    if unknown:
        with ThreadPoolExecutor() as pool:
            examine = functools.partial(_examine, functools.cache(sound_checks.checksum))  # files of many clips, once
            examined = progress(pool.map(examine, recordings), len(unknown))
            examinations |= dict(zip(unknown, examined, strict=True))
    for line in lines(examinations):
        logger.warning("%s", line)


def lines(examinations: Mapping[Clip, Examination | None]) -> Iterator[str]:
    """Warnings, one line per kind of oddity.

    Args:
      examinations: Results by clip; None for files that can't be read.
    """
    having: dict[str, dict[str, None]] = defaultdict(dict)  # names by kind, each once
    for clip, examined in examinations.items():
        for remark in examined.remarks if examined else ():
            is_channel = remark.startswith(sound_checks.CONSTANT)
            kind, name = (sound_checks.CONSTANT, f"{clip.file} ({remark})") if is_channel else (remark, clip.key)
            having[kind][name] = None
    unreadable = list(dict.fromkeys(clip.file for clip, examined in examinations.items() if examined is None))
    if unreadable:
        yield f"{_recordings(unreadable)} can't be read, `ganad prepare` says why: {some(unreadable)}."
    if silent := having[sound_checks.SILENT]:
        yield f"Digital silence, every sample the same, in {_recordings(silent)}: {some(silent)}."
    if clipped := having[sound_checks.CLIPPED]:
        yield f"Clipped, cut off flat at full scale, in {_recordings(clipped)}: {some(clipped)}."
    if constant := having[sound_checks.CONSTANT]:
        yield f"A channel without sound, every sample the same, in {_recordings(constant)}: {some(constant)}."
    yield from _of_identical(examinations)


def _of_identical(examinations: Mapping[Clip, Examination | None]) -> Iterator[str]:
    alike: dict[str, list[Clip]] = defaultdict(list)
    files: set[str] = set()
    for clip, examined in examinations.items():
        if examined and examined.sha256 and clip.file not in files:  # channels of one file are not copies
            alike[examined.sha256].append(clip)
            files.add(clip.file)
    groups = [group for group in alike.values() if len(group) > 1]
    if groups:
        copies = [clip.file for group in groups for clip in group]
        n_groups = "1 group" if len(groups) == 1 else f"{len(groups)} groups"
        yield f"Identical files, {_recordings(copies)} in {n_groups}: {some(map(_equation, groups))}."
    leaked = [part for group in groups for part in _by_machine(group) if len({clip.split for clip in part}) > 1]
    if leaked:
        tests = [clip.file for group in leaked for clip in group if clip.split == "test"]
        yield (
            f"In training and in the test, which makes results too good, {_recordings(tests)}: "
            f"{some(map(_equation, leaked))}."
        )


def _by_machine(group: Sequence[Clip]) -> list[list[Clip]]:
    machines: dict[str, list[Clip]] = defaultdict(list)
    for clip in group:
        machines[clip.machine].append(clip)
    return list(machines.values())


def _known(run: MachineRun) -> dict[Clip, Examination]:
    """Results of the current clips that the caches hold."""
    known: dict[Clip, Examination] = {}
    for split in SPLITS:
        clips = run.listing.clips_of(split)
        try:
            cached = Cache(run, split).load()
        except DataError:  # there is no cache, or `prepare` will report what is wrong with it
            continue
        if cached.fingerprint != run.config.feature_fingerprint():
            continue
        cached = contents.as_listed(cached, clips, run.listing.directory)
        entries = {entry.clip: Examination(entry.sha256, entry.remarks) for entry in cached.entries if entry.sha256}
        left_out = {clip.stamp for clip in cached.skipped}  # `prepare` has reported them
        for clip in clips:
            if clip in entries:
                known[clip] = entries[clip]
            elif clip.stamp in left_out:
                known[clip] = Examination("", ())
    return known


def _examine(checksum_of: Callable[[Path], str], recording: tuple[Path, Clip, Audio]) -> Examination | None:
    try:
        return sound_checks.examine(*recording, checksum_of=checksum_of)
    except DataError:
        return None


def _equation(group: Sequence[Clip]) -> str:
    return " = ".join(clip.file for clip in group[:N_NAMED]) + (" = ..." if len(group) > N_NAMED else "")


def _recordings(files: Collection[str]) -> str:
    return "1 recording" if len(files) == 1 else f"{len(files)} recordings"
