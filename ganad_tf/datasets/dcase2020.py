"""DCASE 2020 Task 2: `<machine>/{train,test}/{normal,anomaly}_id_XX_NNNNNNNN.wav`.

The layout is that of the challenge's baseline. Development data are labelled by name; the test files of the
evaluation data are `id_XX_NNNNNNNN.wav`, unlabelled. Training clips are normal in both.
Recordings: Koizumi et al. 2020 (arXiv 2006.05822), CC BY-NC-SA 4.0.
"""

import re
from pathlib import Path

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets.base import make_clip, visible_entries

_LABELLED = re.compile(r"(?P<label>normal|anomaly)_id_(?P<id>\d\d)_\d{8}\.wav")
_TRAINING = re.compile(r"(?P<label>normal)_id_(?P<id>\d\d)_\d{8}\.wav")
_UNLABELLED = re.compile(r"id_(?P<id>\d\d)_\d{8}\.wav")
_LABELS = {"normal": 0, "anomaly": 1}


def list_clips(directory: Path, mode: Mode, settings: Dataset) -> list[Listing]:
    """Lists each folder of `directory` as a machine type."""
    del settings  # the layout needs no settings
    machines = [path for path in visible_entries(directory) if path.is_dir()]
    return [_list_machine(directory, machine.name, mode) for machine in machines]


def _list_machine(directory: Path, machine: str, mode: Mode) -> Listing:
    clips: list[Clip] = []
    foreign: list[str] = []
    for path in visible_entries(directory / machine):
        if path.name not in ("train", "test") or not path.is_dir():
            foreign.append(f"{path}: expected only the folders `train` and `test` here")
    for split in ("train", "test"):
        pattern, example = _expected(split, mode)
        folder = directory / machine / split
        for path in visible_entries(folder) if folder.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match is None or not path.is_file():
                foreign.append(f"{path}: expected a name such as `{example}`")
                continue
            label = _LABELS[match["label"]] if "label" in match.groupdict() else None
            clips.append(make_clip(path, directory, machine=machine, machine_id=match["id"], split=split, label=label))
    return Listing(machine, directory, tuple(clips), tuple(foreign))


def _expected(split: str, mode: Mode) -> tuple[re.Pattern[str], str]:
    if split == "train":
        return _TRAINING, "normal_id_00_00000000.wav"
    if mode == "dev":
        return _LABELLED, "anomaly_id_00_00000000.wav"
    return _UNLABELLED, "id_00_00000000.wav"
