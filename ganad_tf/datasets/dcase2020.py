"""DCASE 2020 Task 2: `<machine>/{train,test}/{normal,anomaly}_id_XX_NNNNNNNN.wav`.

The layout is that of the challenge's baseline. Development data are labelled by name; the test files of the evaluation
data are `id_XX_NNNNNNNN.wav`, unlabelled unless `dataset.truth` has their labels. Training clips are normal in both.
Recordings: Koizumi et al. 2020 (arXiv 2006.05822), CC BY-NC-SA 4.0.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets import evaluation_truth
from ganad_tf.datasets.base import MachineTypes, folders, make_clip, not_there, visible_entries

_LABELLED = re.compile(r"(?P<label>normal|anomaly)_id_(?P<id>\d\d)_\d{8}\.wav")
_TRAINING = re.compile(r"(?P<label>normal)_id_(?P<id>\d\d)_\d{8}\.wav")
_UNLABELLED = re.compile(r"id_(?P<id>\d\d)_\d{8}\.wav")
_LABELS = {"normal": 0, "anomaly": 1}


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """Each folder of `directory`, by its name."""
    truth = evaluation_truth.of_mode(settings, mode)
    source = Path(settings.truth) if truth and settings.truth else None
    return {
        folder.name: partial(_list_machine, folder, mode, truth.get(folder.name, {}), source)
        for folder in folders(directory)
    }


def _list_machine(machine: Path, mode: Mode, truth: Mapping[str, str], source: Path | None) -> Listing:
    """Lists a machine's folder, with labels by the names in `truth`, which `source` holds if there is one."""
    clips: list[Clip] = []
    foreign: list[str] = []
    for path in visible_entries(machine):
        if path.name not in ("train", "test") or not path.is_dir():
            foreign.append(f"{path}: expected only the folders `train` and `test` here")
    for split in ("train", "test"):
        is_labelled = source is not None and split == "test"
        pattern, example = _expected(split, "dev" if is_labelled else mode)
        folder = machine / split
        files = list(visible_entries(folder)) if folder.is_dir() else []
        for path in files:
            if is_labelled and path.name not in truth:
                foreign.append(f"{path}: expected a line in {source}")
                continue
            match = pattern.fullmatch(truth[path.name] if is_labelled else path.name)
            if match is None or not path.is_file():
                foreign.append(f"{path}: expected a name such as `{example}`")
                continue
            label = _LABELS[match["label"]] if "label" in match.groupdict() else None
            clip = make_clip(
                path, machine.parent, machine=machine.name, machine_id=match["id"], split=split, label=label
            )
            clips.append(clip)
        if source and is_labelled and (missing := sorted(truth.keys() - {path.name for path in files})):
            foreign.append(not_there(source, missing, folder))
    return Listing(machine.name, machine.parent, tuple(clips), tuple(foreign))


def _expected(split: str, mode: Mode) -> tuple[re.Pattern[str], str]:
    if split == "train":
        return _TRAINING, "normal_id_00_00000000.wav"
    if mode == "dev":
        return _LABELLED, "anomaly_id_00_00000000.wav"
    return _UNLABELLED, "id_00_00000000.wav"
