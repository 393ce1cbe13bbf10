"""Names of public data sets, the Zenodo records that hold them, and the folders that they are unpacked to.

Record numbers of DCASE Task 2 were read in the challenge's baseline
(github.com/nttcslab/dcase2023_task2_baseline_ae): 2020 to 2022 in `datasets/download_path_legacy.yaml`, 2023 and 2024
in `README.md`, 2025 in `README.md` and `data_download_2025eval.sh`, 2026 in `datasets/download_path_2026.yaml`. The
evaluation data of 2026 and the other data sets are found by the record that their authors cite.
"""

from dataclasses import dataclass

from ganad_tf.config.reader import nearest
from ganad_tf.datasets.fact_sheets import SHEETS, FactSheet
from ganad_tf.errors import ConfigError

ESC50_COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"


@dataclass(frozen=True)
class Part:
    """A part of a data set that has a list of files of its own.

    Attributes:
      name: `development`, `additional training`, `evaluation`, or `recordings` if there is only one part.
      folder: Folder below the root that its archives are unpacked to; empty for the root itself.
      record: Number of the Zenodo record; 0 if there is none.
      url: The only archive of a part without a record, whose checksum nobody publishes.
      n_bytes: Size of that archive, about.
      n_recordings: Number of recordings in that archive, which stands for the checksum.
      mode: `dev` or `eval`, the option that selects it; empty if the data set knows no such difference.
      top: Folder with the recordings that its archive itself has, if `folder` is empty.
    """

    name: str
    folder: str
    record: int = 0
    url: str = ""
    n_bytes: int = 0
    n_recordings: int = 0
    mode: str = ""
    top: str = ""

    @property
    def key(self) -> str:
        """Identifier of the list of files."""
        return str(self.record) if self.record else self.folder


@dataclass(frozen=True)
class DataSet:
    """A public data set.

    Attributes:
      name: Name on the command line, and of the layout (`dataset.name`).
      parts: Parts in the order in which they are fetched.
      own_folders: Whether each archive gets a folder of its own, named after it, because their trees have equal names.
      snrs: Signal-to-noise ratios that the names of the files begin with, in dB.
    """

    name: str
    parts: tuple[Part, ...]
    own_folders: bool = False
    snrs: tuple[str, ...] = ()

    @property
    def sheet(self) -> FactSheet:
        """Its citation and licence; records state their licences too."""
        return SHEETS[self.name]

    @property
    def has_modes(self) -> bool:
        """Whether development and evaluation data can be selected."""
        return any(part.mode for part in self.parts)

    def parts_of(self, mode: str | None) -> tuple[Part, ...]:
        """Parts of a mode, `dev` or `eval`, or all of them.

        Raises:
          ConfigError: If the data set knows no such difference.
        """
        if mode and not self.has_modes:
            raise ConfigError(f"Expected no --{mode}: {self.name} has no development and evaluation data.")
        return tuple(part for part in self.parts if mode in (None, part.mode))


def find(name: str) -> DataSet:
    """The data set of a name.

    Raises:
      ConfigError: If there is none; suggests the nearest.
    """
    if name not in CATALOGUE:
        raise ConfigError(f"Unknown data set {name!r}{nearest(name, CATALOGUE)}")
    return CATALOGUE[name]


def _challenge(year: int, records: tuple[int, int, int]) -> DataSet:
    development, training, evaluation = records
    parts = (
        Part("development", "dev_data", development, mode="dev"),
        Part("additional training", "eval_data", training, mode="eval"),
        Part("evaluation", "eval_data", evaluation, mode="eval"),
    )
    return DataSet(f"dcase{year}", parts)


_ESC50 = Part(
    "recordings",
    "ESC-50",
    url=f"https://github.com/karolpiczak/ESC-50/archive/{ESC50_COMMIT}.zip",
    n_bytes=650_000_000,
    n_recordings=2000,
)
_DATA_SETS = (
    _challenge(2020, (3678171, 3727685, 3841772)),
    _challenge(2021, (4562016, 4660992, 4884786)),
    _challenge(2022, (6355122, 6462969, 6586456)),
    _challenge(2023, (7882613, 7830345, 7860847)),
    _challenge(2024, (10902294, 11259435, 11363076)),
    _challenge(2025, (15097779, 15392814, 15519362)),
    _challenge(2026, (19336329, 20151556, 20437238)),
    DataSet("mimii", (Part("recordings", "MIMII", 3384388),), own_folders=True, snrs=("-6", "0", "6")),
    DataSet("toyadmos", (Part("recordings", "ToyADMOS", 3351307),)),
    DataSet("urbansound8k", (Part("recordings", "", 1203745, top="UrbanSound8K"),)),
    DataSet("esc50", (_ESC50,)),
)
CATALOGUE = {data_set.name: data_set for data_set in _DATA_SETS}
