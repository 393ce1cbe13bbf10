"""The section `dataset`: layout of the recordings, with the settings of each layout."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

# Layouts of the challenge's Task 2, and of all data sets that are benchmarks, in which every test clip has a score.
CHALLENGE = tuple(f"dcase{year}" for year in range(2020, 2027))
BENCHMARKS = (*CHALLENGE, "mimii", "mimii_due", "mimii_dg", "toyadmos", "urbansound8k", "esc50")


@dataclass(frozen=True)
class GroupTable:
    """`dataset.folder.group` as a list: the path of a CSV file with the columns `file` and `group`."""

    csv: Location


@dataclass(frozen=True)
class FolderData:
    """`dataset.folder`: settings of the layout `normal/` with optional `anomaly/` or `abnormal/`.

    Attributes:
      test_split: Share of the normal clips that is held out of training for the test; in [0, 1).
      group: Clips that are parts of one recording, which no split separates: `auto` to guess from file names such as
        `rec12_003.wav` where they leave no doubt, `file` if every file stands alone, `folder` for the sub-folder, a
        regular expression whose first group in the file name is the recording's name, or `{csv: FILE}`.
      split: CSV file with the columns `file`, `split` (`train`, `test`, `calibration`) and `label` (`normal`,
        `anomaly`, or empty); None for the split by folders and `test_split`.
      machine_type: Machine type of the only folder; None for the folder's name.
    """

    test_split: float = 0.2
    group: str | GroupTable = "auto"
    split: Location | None = None
    machine_type: str | None = None

    def __post_init__(self) -> None:
        in_range("dataset.folder.test_split", self.test_split, 0, 1)
        if isinstance(self.group, str) and self.group not in ("auto", "file", "folder"):
            try:
                n_groups = re.compile(self.group).groups
            except re.error as error:
                raise ValueError(
                    f"expected auto, file, folder or a regular expression for `dataset.folder.group`, but {error}. "
                    f"Received: {self.group!r}."
                ) from error
            if not n_groups:
                raise ValueError(
                    "expected auto, file, folder or a regular expression with a group in parentheses for "
                    f"`dataset.folder.group`. Received: {self.group!r}."
                )
        name = self.machine_type
        if name is not None and (not name.isprintable() or name in ("", ".", "..") or "/" in name or "\\" in name):
            raise ValueError(f"expected a name without slashes for `dataset.folder.machine_type`. Received: {name!r}.")


@dataclass(frozen=True)
class SyntheticData:
    """`dataset.synthetic`: toy machines written as WAV files into `dev_directory`.

    Attributes:
      seed: The same seed gives the same files to the last bit.
      machines: Names of the machine types; None for the six of the challenge. Further ones, with faults that no mean
        spectrum shows, are `blower`, `coupling`, `press` and `relay`.
      n_ids: Machine IDs per machine type.
      n_train, n_normal, n_anomaly: Clips per ID: normal training, normal test, anomalous test.
      seconds: Length of a clip, in seconds.
      snr_db: Level of the machine relative to the background noise.
      fault_snr_db: Level of an added fault sound relative to the healthy machine.
    """

    seed: int = 0
    machines: list[str] | None = None
    n_ids: int = 3
    n_train: int = 40
    n_normal: int = 20
    n_anomaly: int = 20
    seconds: float = 5.0
    snr_db: float = 6.0
    fault_snr_db: float = -10.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_ids <= 100:
            raise ValueError(f"expected 1 to 100 IDs for `dataset.synthetic.n_ids`. Received: {self.n_ids}.")
        if min(self.n_train, self.n_normal, self.n_anomaly, self.seed) < 0:
            raise ValueError("expected counts and a seed of at least 0 under `dataset.synthetic`.")
        in_range("dataset.synthetic.seconds", self.seconds, 0.5, 3600)
        if self.machines is not None and not self.machines:
            raise ValueError("expected a machine or more for `dataset.synthetic.machines`. Received: [].")

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify the files; settings added later only where they are not the default."""
        recorded = asdict(self)
        if self.machines is None:
            del recorded["machines"]
        return recorded


@dataclass(frozen=True)
class SectionData:
    """`dataset.sections`: settings of the layouts with sections, `dcase2021` and later, `mimii_due` and `mimii_dg`.

    Attributes:
      supplemental: Use of the clean recordings of the machine in `supplemental/` (2025 and later): `none`, or `train`
        as further normal training clips. Recordings of noise alone are never training clips.
    """

    supplemental: Literal["none", "train"] = "none"


@dataclass(frozen=True)
class MIMIIData:
    """`dataset.mimii`: settings of the layout `mimii`.

    Attributes:
      snr: Only the recordings of this signal-to-noise ratio in dB: -6, 0 or 6; None for those that are there, each as a
        machine type of its own.
      split: Normal test clips of an ID, as many as there are anomalies: the `first` by name, as in its baseline, or
        `random`, pseudo-random by name.
    """

    snr: Literal[-6, 0, 6] | None = None
    split: Literal["first", "random"] = "first"


@dataclass(frozen=True)
class ToyADMOSData:
    """`dataset.toyadmos`: settings of the layout `toyadmos`.

    Attributes:
      channels: Microphones, from 1 to 4, whose recordings are clips; those of one take are one recording.
      kinds: `IND`, single runs of the toy, and `CNT`, continuous recordings of ten minutes.
      test_split: Share of the normal clips of a case that is held out of training for the test; in [0, 1).
    """

    channels: list[int] = field(default_factory=lambda: [1])
    kinds: list[Literal["IND", "CNT"]] = field(default_factory=lambda: ["IND"])
    test_split: float = 0.2

    def __post_init__(self) -> None:
        if not self.channels or not set(self.channels) <= {1, 2, 3, 4}:
            raise ValueError(
                f"expected channels from 1 to 4 for `dataset.toyadmos.channels`. Received: {self.channels}."
            )
        if not self.kinds:
            raise ValueError("expected IND, CNT or both for `dataset.toyadmos.kinds`. Received: [].")
        in_range("dataset.toyadmos.test_split", self.test_split, 0, 1)


@dataclass(frozen=True)
class ClassData:
    """`dataset.classes`: settings of the layouts `urbansound8k` and `esc50`, in which one class is normal.

    Attributes:
      normal_class: Name of the normal class, such as `engine_idling`; it is the machine type. Required.
      test_folds: Folds of the test. Normal clips of the others are for training. None for the last fold.
    """

    normal_class: str | None = None
    test_folds: list[int] | None = None

    def __post_init__(self) -> None:
        if self.test_folds is not None and not self.test_folds:
            raise ValueError("expected a fold or more for `dataset.classes.test_folds`. Received: [].")


@dataclass(frozen=True)
class TableData:
    """`dataset.table`: settings of the layout `table`, recordings that a CSV file describes.

    Attributes:
      csv: CSV file with the columns `file`, `label` (`normal`, `anomaly`, or empty) and `split` (`train`, `test`,
        `calibration`), perhaps also `id`, `domain` (`source`, `target`, or empty) and `group`. Required.
      machine_type: Machine type; None for the name of the folder of the recordings.
    """

    csv: Location | None = None
    machine_type: str | None = None


@dataclass(frozen=True)
class Dataset:
    """`dataset`: layout of the recordings, and the settings of each layout.

    Attributes:
      name: Layout, one of `datasets.DATASETS`.
      truth: List of the labels of the challenge's evaluation data, such as `eval_data_list_2023.csv`; None if its test
        clips are unlabelled.
    """

    name: str = "dcase2020"
    folder: FolderData = field(default_factory=FolderData)
    synthetic: SyntheticData = field(default_factory=SyntheticData)
    sections: SectionData = field(default_factory=SectionData)
    mimii: MIMIIData = field(default_factory=MIMIIData)
    toyadmos: ToyADMOSData = field(default_factory=ToyADMOSData)
    classes: ClassData = field(default_factory=ClassData)
    table: TableData = field(default_factory=TableData)
    truth: Location | None = None
