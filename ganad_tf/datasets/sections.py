"""DCASE Task 2 from 2021 to 2026, MIMII DUE and MIMII DG: machine types with sections and domains.

    <machine>/train/section_00_source_train_normal_0000_vel_16.wav
    <machine>/test/section_00_target_test_anomaly_0000_vel_8.wav
    <machine>/attributes_00.csv

A section is listed as a machine ID. Its source domain has many training clips, its target domain few or none. In 2021
and in MIMII DUE the folders of the test are `source_test/` and `target_test/`. Test clips of evaluation data have no
label in their names: `section_03_source_test_0000.wav` (2021), `section_00_test_0000.wav` (2022 to 2025),
`section_00_0000.wav` (2026); `dataset.truth` labels them, and so does a folder `test_rename/`, into which the
challenge's baseline copies them under names with labels. From 2025 on, `supplemental/` holds recordings of the machine
without noise (`machine` in their names) or of noise without the machine (`noise`).

The recordings of 2026 have two channels, the near microphone (`audio.channel: 0`) and the far one (1); with
`audio.channel: all` both are clips, of one recording. Lengths differ from 6 to 18 s, which no setting depends on.

Read in the READMEs of the challenge's baseline (github.com/nttcslab/dcase2023_task2_baseline_ae: README_legacy.md for
2021 to 2024, README.md at the versions of 2025 and 2026) and of dcase2021_task2_baseline_ae and
dcase2022_task2_baseline_ae. The names in `supplemental/` could not be verified: that README has
`section_00_machine_0001_.wav`, readers by others have further words, so that only section, `machine` and `noise` count.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ganad_tf.clips import DOMAINS, Clip, Listing
from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.datasets import attributes, evaluation_truth
from ganad_tf.datasets.base import MachineTypes, folders, make_clip, not_there, refuse_evaluation, visible_entries


@dataclass(frozen=True)
class Release:
    """Differences between the releases.

    Attributes:
      test_folders: Folders of test clips.
      has_pairs: Whether names hold attributes as pairs of name and value, `vel_16_loc_A`; otherwise they hold a
        `condition` as a whole, such as `strength_1_ambient`.
      has_supplement: Whether there may be a folder `supplemental`.
      has_evaluation: Whether there are evaluation data.
    """

    test_folders: tuple[str, ...] = ("test",)
    has_pairs: bool = True
    has_supplement: bool = False
    has_evaluation: bool = True


RELEASES = {
    "dcase2021": Release(("source_test", "target_test", "test"), has_pairs=False),
    "dcase2022": Release(),
    "dcase2023": Release(),
    "dcase2024": Release(),
    "dcase2025": Release(has_supplement=True),
    "dcase2026": Release(has_supplement=True),
    "mimii_due": Release(("source_test", "target_test", "test"), has_pairs=False, has_evaluation=False),
    "mimii_dg": Release(has_evaluation=False),
}

RENAMED = "test_rename"  # test clips of evaluation data with labels in their names
_LABELS = {"normal": 0, "anomaly": 1}
_TRAINING = re.compile(
    r"section_(?P<id>\d\d)_(?P<domain>source|target)_train_(?P<label>normal)_\d{4}(_(?P<rest>.*))?\.wav"
)
_LABELLED = re.compile(
    r"section_(?P<id>\d\d)_(?P<domain>source|target)_test_(?P<label>normal|anomaly)_\d{4}(_(?P<rest>.*))?\.wav"
)
_UNLABELLED = re.compile(r"section_(?P<id>\d\d)(_(?P<domain>source|target))?(_test)?_\d{4}(?P<rest>)\.wav")
_SUPPLEMENTAL = re.compile(r"section_(?P<id>\d\d)_(?P<words>.+)\.wav")
_ATTRIBUTES = re.compile(r"attributes_\d\d\.csv")


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """Each folder of `directory`, by its name."""
    release = RELEASES[settings.name]
    if not release.has_evaluation:
        refuse_evaluation(mode, settings.name)
    truth = evaluation_truth.of_mode(settings, mode)
    return {
        folder.name: _Machine(folder, mode, settings, truth.get(folder.name, {})).listing
        for folder in folders(directory)
    }


class _Machine:
    """Collects the clips of a machine type, and a line for each file that does not fit.

    Args:
      folder: The machine's folder.
      mode: `dev` or `eval`.
      settings: Layout and its settings.
      truth: Names with labels by the names of unlabelled test clips; empty if the labels are not known.
    """

    def __init__(self, folder: Path, mode: Mode, settings: Dataset, truth: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = settings
        self.release = RELEASES[settings.name]
        self.truth = truth
        self.truth_file = Path(settings.truth) if settings.truth and mode == "eval" else None
        self.is_evaluation = mode == "eval"
        self.known = attributes.Known()
        self.files: set[str] = set()  # names of files that are there, whether they fit or not
        self.clips: list[Clip] = []
        self.foreign: list[str] = []

    def listing(self) -> Listing:
        """The result."""
        self._read_attributes()
        self._add_folder("train")
        for name in self._test_folders():
            self._add_folder(name)
        self._add_supplement()
        if (
            self.truth_file
            and (missing := sorted(self.truth.keys() - self.files))
            and RENAMED not in self._test_folders()
        ):
            self.foreign.append(not_there(self.truth_file, missing, self.folder))
        self.foreign += self.known.missing(self.files)
        self.foreign += [
            f"{self.folder / 'train'}: expected clips of the source domain of section {section}. Received: none"
            for section in self._without_source()
        ]
        return Listing(self.folder.name, self.folder.parent, tuple(self.clips), tuple(self.foreign))

    def _test_folders(self) -> tuple[str, ...]:
        is_renamed = self.is_evaluation and (self.folder / RENAMED).is_dir()
        return (RENAMED,) if is_renamed else self.release.test_folders

    def _read_attributes(self) -> None:
        """Reads the CSV files, and names what else does not belong into the machine's folder."""
        others = [RENAMED] if self.is_evaluation else []
        others += ["supplemental"] if self.release.has_supplement else []
        expected = ("train", *self.release.test_folders, *others)
        for path in visible_entries(self.folder):
            if _ATTRIBUTES.fullmatch(path.name) and path.is_file():
                self.foreign += self.known.read(path)
            elif path.name not in expected or not path.is_dir():
                names = ", ".join(f"`{name}`" for name in expected)
                self.foreign.append(f"{path}: expected only the folders {names} and `attributes_00.csv` here")

    def _add_folder(self, name: str) -> None:
        """Adds a folder of training or test clips."""
        folder = self.folder / name
        for path in visible_entries(folder) if folder.is_dir() else ():
            self.files.add(path.name)
            if name == "train":
                self._add(path, path.name, (_TRAINING,), "section_00_source_train_normal_0000_vel_16.wav", "train")
            elif not self.is_evaluation:
                self._add(path, path.name, (_LABELLED,), "section_00_source_test_anomaly_0000_vel_16.wav")
            elif self.truth_file and path.name not in self.truth and name != RENAMED:
                self.foreign.append(f"{path}: expected a line in {self.truth_file}")
            else:
                known = self.truth.get(path.name, path.name)
                self._add(path, known, (_LABELLED, _UNLABELLED), "section_00_test_0000.wav")

    def _add(
        self, path: Path, name: str, patterns: tuple[re.Pattern[str], ...], example: str, split: str = "test"
    ) -> None:
        """Adds the clip of a file by `name`, which may hold a label that the file's own name lacks."""
        matches = (pattern.fullmatch(name) for pattern in patterns)
        match = next((match for match in matches if match), None)
        domain = path.parent.name.removesuffix("_test")
        if match is None or not path.is_file() or (domain in DOMAINS and domain != match["domain"]):
            self.foreign.append(f"{path}: expected a name such as `{example}`{_in_domain(domain)}")
            return
        in_name = attributes.of_name(match["rest"] or "", has_pairs=self.release.has_pairs)
        found, contradiction = self.known.merged(path.name, in_name)
        if contradiction:
            self.foreign.append(f"{path}: {contradiction}")
            return
        clip = make_clip(
            path,
            self.folder.parent,
            machine=self.folder.name,
            machine_id=match["id"],
            split=split,
            label=_LABELS.get(match.groupdict().get("label") or ""),
            domain=match["domain"] or "",
            attributes=found,
        )
        self.clips.append(clip)

    def _add_supplement(self) -> None:
        """Adds the clean recordings of the machine, if they are for training."""
        folder = self.folder / "supplemental"
        for path in visible_entries(folder) if self.release.has_supplement and folder.is_dir() else ():
            match = _SUPPLEMENTAL.fullmatch(path.name)
            words = match["words"].split("_") if match else []
            kind = next((word for word in words if word in ("machine", "noise")), None)
            if match is None or kind is None or not path.is_file():
                self.foreign.append(f"{path}: expected a name such as `section_00_machine_0001_.wav`")
            elif kind == "machine" and self.settings.sections.supplemental == "train":
                domain = next((word for word in words if word in DOMAINS), "source")
                clip = make_clip(
                    path,
                    self.folder.parent,
                    machine=self.folder.name,
                    machine_id=match["id"],
                    split="train",
                    label=0,
                    domain=domain,
                    attributes={"supplemental": kind},
                )
                self.clips.append(clip)

    def _without_source(self) -> Iterator[str]:
        """Sections without training clips of the source domain; evaluation data may come without any for training."""
        if self.is_evaluation and not (self.folder / "train").is_dir():
            return
        with_source = {clip.machine_id for clip in self.clips if (clip.split, clip.domain) == ("train", "source")}
        yield from sorted({clip.machine_id for clip in self.clips} - with_source)


def _in_domain(domain: str) -> str:
    return f" with the domain {domain}" if domain in DOMAINS else ""
