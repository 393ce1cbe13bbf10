"""MIMII: `<SNR>/<machine>/id_00/{normal,abnormal}/00000000.wav`, with eight channels per file.

`<SNR>` is the folder of an archive, such as `-6_dB_fan`, or of its baseline, such as `min6dB`; without such folders the
machine types are in the data directory. If there are several ratios, each is a machine type of its own, such as
`fan_min6dB`. Its baseline tests, for each ID, all anomalies and as many normal clips, the first by name, and takes
channel 0, as `audio.channel` does by default.

Recordings: Purohit et al. 2019 (arXiv 1909.09347), Zenodo 3384388, CC BY-SA 4.0. The split is that of
`dataset_generator` in github.com/MIMII-hitachi/mimii_baseline, baseline.py.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ganad_tf import splits
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset, MIMIIData
from ganad_tf.datasets.base import MachineTypes, folders, make_clip, refuse_evaluation, visible_entries
from ganad_tf.errors import ConfigError, DataError

_SNR = re.compile(r"(?P<minus>-|min)?(?P<db>\d+)_?dB(_\w+)?")
_ID = re.compile(r"id_(?P<id>\d\d)")
_NAME = re.compile(r"\d{8}\.wav")
_LABELS = {"normal": 0, "abnormal": 1}


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """The machine types of each signal-to-noise ratio.

    Raises:
      ConfigError: If there are no recordings of `dataset.mimii.snr`.
      DataError: If a machine type is there twice at the same ratio.
    """
    refuse_evaluation(mode, "mimii")
    found = _machines(directory)
    wanted = settings.mimii.snr
    ratios = sorted({snr for _, snr in found if snr is not None})
    if wanted is not None and wanted not in ratios:
        names = ", ".join(map(str, ratios)) or "no folders such as `-6_dB_fan`"
        raise ConfigError(f"Expected recordings for `dataset.mimii.snr: {wanted}` in {directory}. Received: {names}.")
    chosen = {key: folder for key, folder in found.items() if wanted in (None, key[1])}
    has_several = len({snr for _, snr in chosen}) > 1
    types: MachineTypes = {}
    for (machine, snr), folder in sorted(chosen.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        name = f"{machine}_{_words(snr)}" if has_several else machine
        types[name] = partial(_listing, folder, directory, name, snr, settings.mimii)
    return types


def _machines(directory: Path) -> dict[tuple[str, int | None], Path]:
    """Folders by machine type and signal-to-noise ratio in dB, None if the folder above does not say it."""
    found: dict[tuple[str, int | None], Path] = {}
    for folder in folders(directory):
        match = _SNR.fullmatch(folder.name)
        snr = int(match["db"]) * (-1 if match["minus"] else 1) if match else None
        for machine in folders(folder) if match else [folder]:
            other = found.setdefault((machine.name, snr), machine)
            if other != machine:
                raise DataError(f"Expected {machine.name} once at {snr} dB. Received: {other} and {machine}.")
    return found


def _words(snr: int | None) -> str:
    """Name of a ratio in that of a machine type.

    >>> _words(-6), _words(0)
    ('min6dB', '0dB')
    """
    return "unknown" if snr is None else f"{'min' if snr < 0 else ''}{abs(snr)}dB"


def _listing(folder: Path, directory: Path, machine: str, snr: int | None, settings: MIMIIData) -> Listing:
    clips: list[Clip] = []
    foreign: list[str] = []
    for part in visible_entries(folder):
        match = _ID.fullmatch(part.name)
        if match is None or not part.is_dir():
            foreign.append(f"{part}: expected only folders such as `id_00` here")
            continue
        files = {label: _recordings(part / label, foreign) for label in _LABELS}
        foreign += [
            f"{path}: expected only the folders `normal` and `abnormal` here"
            for path in visible_entries(part)
            if path.name not in _LABELS
        ]
        tests = _test_clips(files["normal"], len(files["abnormal"]), settings.split)
        for path in (*files["normal"], *files["abnormal"]):
            label = _LABELS[path.parent.name]
            clip = make_clip(
                path,
                directory,
                machine=machine,
                machine_id=match["id"],
                split="test" if label or path in tests else "train",
                label=label,
                name=path.relative_to(folder).as_posix(),
                attributes={} if snr is None else {"snr": str(snr)},
            )
            clips.append(clip)
    return Listing(machine, directory, tuple(clips), tuple(foreign))


def _recordings(folder: Path, foreign: list[str]) -> list[Path]:
    """Recordings in a folder of a label; names the others in `foreign`."""
    files = list(visible_entries(folder)) if folder.is_dir() else []
    fitting = [path for path in files if _NAME.fullmatch(path.name) and path.is_file()]
    others = sorted(set(files) - set(fitting))
    foreign += [f"{path}: expected a name such as `00000000.wav`" for path in others]
    return fitting


def _test_clips(normal: Sequence[Path], count: int, rule: str) -> set[Path]:
    if rule == "first":
        return set(normal[:count])
    return {normal[index] for index in splits.held_out([path.name for path in normal], min(count, len(normal)))}
