"""ToyADMOS: `<toy>/case1/NormalSound_IND/1100010001_ToyCar_case1_normal_IND_ch1_0001.wav`.

A case, one specimen of the toy, is listed as a machine ID. `NormalSound_IND` and `AnomalousSound_IND` hold single runs,
`..._CNT` continuous recordings of ten minutes; `EnvironmentalSound_CNT`, noise without the toy, is left alone. Each
microphone has a file of its own, `ch1` to `ch4`; those of one take are one recording. There is no official split: a
share of the takes, chosen by name, is held out for the test.

Recordings: Koizumi et al. 2019 (arXiv 1908.03299), Zenodo 3351307, at 48 kHz. The names were read in repositories that
use the recordings, because the description that comes with them, DETAIL.pdf, was not at hand.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ganad_tf import splits
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset, ToyADMOSData
from ganad_tf.datasets.base import MachineTypes, folders, make_clip, refuse_evaluation, visible_entries

_CASE = re.compile(r"case\d+")
_FOLDER = re.compile(r"(?P<label>Normal|Anomalous)Sound_(?P<kind>IND|CNT)")
_NAME = re.compile(
    r"\d+_(?P<toy>\w+)_case(?P<case>\d+)_(?P<condition>normal|ab\w+)_(?P<kind>IND|CNT)_ch(?P<channel>\d)_(?P<take>\d+)"
    r"\.wav"
)
_NOISE = "EnvironmentalSound"


@dataclass(frozen=True)
class _File:
    """A file of one microphone, and what its name says."""

    path: Path
    case: str
    condition: str
    kind: str
    channel: int
    take: str

    @property
    def recording(self) -> str:
        return f"case{self.case}_{self.condition}_{self.kind}_{self.take}"

    @property
    def is_normal(self) -> bool:
        return self.condition == "normal"


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """Each folder of `directory`, by its name."""
    refuse_evaluation(mode, "toyadmos")
    return {folder.name: partial(_listing, folder, settings.toyadmos) for folder in folders(directory)}


def _listing(folder: Path, settings: ToyADMOSData) -> Listing:
    foreign: list[str] = []
    files = [
        file for file in _files(folder, foreign) if file.channel in settings.channels and file.kind in settings.kinds
    ]
    tests: set[str] = set()
    for case in {file.case for file in files}:
        normal = [file.recording for file in files if file.is_normal and file.case == case]
        tests |= {normal[index] for index in splits.held_out(normal, round(settings.test_split * len(normal)))}
    clips = tuple(_clip(file, folder, is_test=not file.is_normal or file.recording in tests) for file in files)
    return Listing(folder.name, folder.parent, clips, tuple(foreign))


def _files(folder: Path, foreign: list[str]) -> Iterator[_File]:
    """Files of a toy; names those that do not fit in `foreign`."""
    for case in visible_entries(folder):
        if case.name.startswith(_NOISE):
            continue
        if not case.is_dir() or not _CASE.fullmatch(case.name):
            foreign.append(f"{case}: expected only folders such as `case1` here")
            continue
        for sounds in visible_entries(case):
            match = _FOLDER.fullmatch(sounds.name)
            if match and sounds.is_dir():
                yield from _sounds(sounds, folder.name, case.name, match, foreign)
            elif not sounds.name.startswith(_NOISE):
                foreign.append(f"{sounds}: expected only folders such as `NormalSound_IND` here")


def _sounds(folder: Path, toy: str, case: str, expected: re.Match[str], foreign: list[str]) -> Iterator[_File]:
    """Files in a folder of a case, whose names have to agree with the folders'."""
    for path in visible_entries(folder):
        match = _NAME.fullmatch(path.name)
        is_normal = expected["label"] == "Normal"
        wanted = (toy, case, expected["kind"], is_normal)
        if (
            match is None
            or not path.is_file()
            or wanted
            != (
                match["toy"],
                f"case{match['case']}",
                match["kind"],
                match["condition"] == "normal",
            )
        ):
            example = f"1100010001_{toy}_{case}_{'normal' if is_normal else 'ab01'}_{expected['kind']}_ch1_0001.wav"
            foreign.append(f"{path}: expected a name such as `{example}`")
            continue
        yield _File(path, match["case"], match["condition"], match["kind"], int(match["channel"]), match["take"])


def _clip(file: _File, folder: Path, *, is_test: bool) -> Clip:
    return make_clip(
        file.path,
        folder.parent,
        machine=folder.name,
        machine_id=f"{int(file.case):02d}",
        split="test" if is_test else "train",
        label=0 if file.is_normal else 1,
        group=file.recording,
        attributes={"channel": str(file.channel), "condition": file.condition, "kind": file.kind},
    )
