"""The sections of a YAML file that say what comes in: `dataset`, `audio`, `feature`.

Frozen dataclasses, whose every default is that of the DCASE 2020 Task 2 baseline or leaves its meaning
as it is. `sections.py` has the other sections, `experiment.py` puts them together.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ganad_tf.config.reader import in_range

LONGEST_SPECTRUM = 65536  # samples; beyond it a slip of the pen would only use up the memory


@dataclass(frozen=True)
class FolderData:
    """`dataset.folder`: any folder with `normal/` and, if there are any, `anomaly/` or `abnormal/`.

    Attributes:
      test_split: Share of the normal clips kept out of training for the test.
    """

    test_split: float = 0.2

    def __post_init__(self) -> None:
        in_range("dataset.folder.test_split", self.test_split, 0, 1)


@dataclass(frozen=True)
class SyntheticData:
    """`dataset.synthetic`: toy machines written as WAV files into `dev_directory`.

    Attributes:
      seed: Same seed, same files to the last bit.
      n_ids: Machine IDs per machine type.
      n_train, n_normal, n_anomaly: Clips per ID: normal training, normal test, anomalous test.
      seconds: Length of a clip.
      snr_db: Level of the machine over the factory background.
      fault_snr_db: Level of an added fault sound relative to the healthy machine.
    """

    seed: int = 0
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


@dataclass(frozen=True)
class Dataset:
    """`dataset`: which layout the recordings have, and that layout's own settings."""

    name: str = "dcase2020"
    folder: FolderData = field(default_factory=FolderData)
    synthetic: SyntheticData = field(default_factory=SyntheticData)


@dataclass(frozen=True)
class Audio:
    """`audio`: how a recording becomes one channel of samples.

    Attributes:
      sample_rate: In hertz. A file at another rate is refused unless `resample`.
      channel: Which channel of several, counted from 0, or `mean` of all.
      resample: Whether a file at another rate is resampled.
      unknown_length: `read` takes a recording whose header leaves the length open, as those from a pipe do, up to the
        end of the file; `refuse` refuses it.
    """

    sample_rate: int = 16000
    channel: int | Literal["mean"] = 0
    resample: bool = False
    unknown_length: Literal["read", "refuse"] = "read"

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ValueError(f"expected a positive `audio.sample_rate`. Received: {self.sample_rate}.")
        if self.channel != "mean" and self.channel < 0:
            raise ValueError(
                f"expected a channel of at least 0 or `mean` for `audio.channel`. Received: {self.channel}."
            )

    def as_recorded(self) -> dict[str, Any]:
        """What caches and detectors are named by: a setting that has come later only where it is not the default."""
        recorded = asdict(self)
        if self.unknown_length == Audio.unknown_length:
            del recorded["unknown_length"]
        return recorded


@dataclass(frozen=True)
class Feature:
    """`feature`: log-mel spectra and how many are stacked into one window.

    Attributes:
      n_mels: Mel bands per spectrum.
      frames: Consecutive spectra per window.
      n_fft: Samples per spectrum.
      hop_length: Samples from one spectrum to the next.
      power: 2 for power, 1 for magnitude.
      pad_mode: How the edges are padded: `reflect` as librosa up to 0.8, `constant` as since 0.9.
      log: `baseline` for absolute decibels, `relative_80db` for decibels below the clip's maximum, floored 80 below.
      standardize: Whether each mel band is brought to mean 0 and deviation 1 of the training clips.
    """

    n_mels: int = 128
    frames: int = 5
    n_fft: int = 1024
    hop_length: int = 512
    power: float = 2.0
    pad_mode: Literal["reflect", "constant"] = "reflect"
    log: Literal["baseline", "relative_80db"] = "baseline"
    standardize: bool = False

    def __post_init__(self) -> None:
        for name in ("n_mels", "frames", "n_fft", "hop_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected a positive `feature.{name}`. Received: {getattr(self, name)}.")
        if self.n_fft % 2 or self.n_fft > LONGEST_SPECTRUM:
            raise ValueError(f"expected an even `feature.n_fft` of at most {LONGEST_SPECTRUM}. Received: {self.n_fft}.")
        if self.hop_length > self.n_fft:
            raise ValueError(
                f"expected `feature.hop_length` of at most `feature.n_fft`, so that no sample is skipped. "
                f"Received: hop_length={self.hop_length}, n_fft={self.n_fft}."
            )
        if self.n_mels > self.n_fft // 2:
            raise ValueError(
                "expected `feature.n_mels` of at most half of `feature.n_fft`. "
                f"Received: n_mels={self.n_mels}, n_fft={self.n_fft}."
            )
        if not 0 < self.power <= 4:
            raise ValueError(f"expected `feature.power` above 0 and at most 4. Received: {self.power}.")

    @property
    def dims(self) -> int:
        """Length of one window vector."""
        return self.frames * self.n_mels
