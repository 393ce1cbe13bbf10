"""The section `dataset`: layout of the recordings, with the settings of each layout."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any

from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range


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
class Dataset:
    """`dataset`: layout of the recordings, and the settings of each layout."""

    name: str = "dcase2020"
    folder: FolderData = field(default_factory=FolderData)
    synthetic: SyntheticData = field(default_factory=SyntheticData)
