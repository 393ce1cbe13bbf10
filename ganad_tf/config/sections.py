"""The sections of a YAML file: one frozen dataclass each, with its keys and their defaults.

`dataset`, `audio` and `feature` say what comes in; `model`, `fit`, `scorer`, `threshold`, `recording_check`,
`tensorboard` and `ensemble` what is made of it. Every default is that of the DCASE 2020 Task 2 baseline or leaves its
meaning as it is. `experiment.py` puts the sections together.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

LONGEST_SPECTRUM = 65536  # samples; a larger FFT is more likely a typing error than intended
LARGEST_COUNT = 10_000_000


@dataclass(frozen=True)
class FolderData:
    """`dataset.folder`: settings of the layout `normal/` with optional `anomaly/` or `abnormal/`.

    Attributes:
      test_split: Share of the normal clips that is held out of training for the test; in [0, 1).
    """

    test_split: float = 0.2

    def __post_init__(self) -> None:
        in_range("dataset.folder.test_split", self.test_split, 0, 1)


@dataclass(frozen=True)
class SyntheticData:
    """`dataset.synthetic`: toy machines written as WAV files into `dev_directory`.

    Attributes:
      seed: The same seed gives the same files to the last bit.
      n_ids: Machine IDs per machine type.
      n_train, n_normal, n_anomaly: Clips per ID: normal training, normal test, anomalous test.
      seconds: Length of a clip, in seconds.
      snr_db: Level of the machine relative to the background noise.
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
    """`dataset`: layout of the recordings, and the settings of each layout."""

    name: str = "dcase2020"
    folder: FolderData = field(default_factory=FolderData)
    synthetic: SyntheticData = field(default_factory=SyntheticData)


@dataclass(frozen=True)
class Audio:
    """`audio`: conversion of a recording to one channel of samples.

    Attributes:
      sample_rate: In hertz. A file at another rate is refused unless `resample`.
      channel: Index of the channel, from 0, or `mean` for the mean of all channels.
      resample: Whether a file at another rate is resampled.
      unknown_length: For a recording whose header leaves the length open, as when written to a pipe: `read` takes it
        up to the end of the file, `refuse` refuses it.
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
        """Settings that identify caches and detectors; settings added later only where they are not the default."""
        recorded = asdict(self)
        if self.unknown_length == Audio.unknown_length:
            del recorded["unknown_length"]
        return recorded


@dataclass(frozen=True)
class Feature:
    """`feature`: log-mel spectra and their stacking into windows.

    Attributes:
      n_mels: Mel bands per spectrum.
      frames: Consecutive spectra per window.
      n_fft: Samples per spectrum.
      hop_length: Samples from one spectrum to the next.
      power: 2 for power, 1 for magnitude.
      pad_mode: Padding at both ends of a clip: `reflect` (librosa up to 0.8) or `constant` (librosa since 0.9).
      log: `baseline` for absolute decibels, `relative_80db` for decibels below the clip's maximum, floored 80 below.
      standardize: Whether each mel band is standardised by its mean and standard deviation over the training clips.
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


@dataclass(frozen=True)
class Model:
    """`model`: class name of the detector; all other keys are arguments of its constructor."""

    name: str = "DenseAE"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compile:
    """`fit.compile`: optimizer and loss by their Keras names, and two common settings of the optimizer."""

    optimizer: str = "adam"
    loss: str = "mean_squared_error"
    learning_rate: float | None = None
    beta_1: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"expected a positive `fit.compile.learning_rate`. Received: {self.learning_rate}.")
        if self.beta_1 is not None:
            in_range("fit.compile.beta_1", self.beta_1, 0, 1)


@dataclass(frozen=True)
class Fit:
    """`fit`: training, with the keys of Keras' `fit` and a few of ours.

    Attributes:
      validation_split: Share of the training *clips* (not windows) of each ID that is held out for validation.
      verbose: 0 silences the progress bar.
      memory_budget_mb: Training spectra up to this size are held in memory; larger sets are streamed from the cache.
      restore_best: Whether the weights of the epoch with the lowest validation loss are kept, not those of the last.
      patience: Epochs without a lower validation loss after which training stops; None for never.
    """

    compile: Compile = field(default_factory=Compile)
    epochs: int = 100
    batch_size: int = 512
    shuffle: bool = True
    validation_split: float = 0.1
    verbose: int = 1
    memory_budget_mb: int = 1024
    restore_best: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected `fit.{name}` from 1 to {LARGEST_COUNT}. Received: {getattr(self, name)}.")
        in_range("fit.validation_split", self.validation_split, 0, 1)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"expected a positive `fit.patience`. Received: {self.patience}.")
        if self.validation_split == 0 and (self.restore_best or self.patience):
            raise ValueError(
                "expected a `fit.validation_split` above 0 for `fit.restore_best` and `fit.patience`, which watch the "
                "validation loss. Received: 0."
            )


@dataclass(frozen=True)
class Scorer:
    """`scorer`: reduction of a clip's windows to one anomaly score.

    Attributes:
      name: `paper` for the detector's own score equation, averaged over the windows; `density` for the distance of
        the clip's residual from those of the normal training clips.
      pooling: Reduction of each mel band's residual over time: `mean`; `max` of the excess of the sound over its
        reconstruction; `gwrp` (global weighted rank pooling), the weighted mean of the excess from the largest value
        down, each weight being `decay` times the one before; `lulls`, the same of the residual from the band's
        quietest moment up, when a steady machine is heard between the noises around it.
      decay: Decay of the weights of `gwrp` and `lulls`, in [0, 1): near 1 the mean, at 0 the first value alone.
      whiten: Whether the pooled residuals are decorrelated (PCA whitening) before the density is fitted.
      shrinkage: Shrinkage of covariances towards a multiple of the identity; `auto` for the Ledoit-Wolf estimate.
      density: `mahalanobis` for the squared distance from the mean, `gmm` for the negative log-likelihood
        of a Gaussian mixture, `knn` for the mean distance to the nearest training clips.
      components: Components of the Gaussian mixture.
      regularization: Value added to the variances of the Gaussian mixture.
      neighbors: Number of nearest training clips for `knn`.
    """

    name: Literal["paper", "density"] = "paper"
    pooling: Literal["mean", "max", "gwrp", "lulls"] = "mean"
    decay: float = 0.98
    whiten: bool = False
    shrinkage: float | Literal["auto"] = "auto"
    density: Literal["mahalanobis", "gmm", "knn"] = "mahalanobis"
    components: int = 2
    regularization: float = 0.1
    neighbors: int = 1

    def __post_init__(self) -> None:
        in_range("scorer.decay", self.decay, 0, 1)
        if self.shrinkage != "auto" and not 0 < self.shrinkage <= 1:
            raise ValueError(
                f"expected `auto` or a share above 0 and at most 1 for `scorer.shrinkage`. Received: {self.shrinkage}."
            )
        if self.regularization <= 0:
            raise ValueError(f"expected a positive `scorer.regularization`. Received: {self.regularization}.")
        for name in ("components", "neighbors"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected a positive `scorer.{name}`. Received: {getattr(self, name)}.")

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that have an effect with the chosen scorer, pooling and density."""
        if self.name == "paper":
            return {"name": self.name}
        chosen = ["name", "pooling", "whiten", "shrinkage", "density"]
        chosen += ["decay"] if self.pooling in ("gwrp", "lulls") else []
        chosen += {"mahalanobis": [], "gmm": ["components", "regularization"], "knn": ["neighbors"]}[self.density]
        return {key: getattr(self, key) for key in chosen}


@dataclass(frozen=True)
class Threshold:
    """`threshold`: score above which a clip counts as anomalous, from the scores of normal training clips alone.

    Attributes:
      method: `gamma` for a gamma distribution fitted to the scores, `quantile` for the scores themselves.
      quantile: Share of normal clips whose score should stay below the threshold; in (0, 1).
    """

    method: Literal["gamma", "quantile"] = "gamma"
    quantile: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"expected `threshold.quantile` between 0 and 1. Received: {self.quantile}.")


@dataclass(frozen=True)
class RecordingCheck:
    """`recording_check`: whether a clip whose recording conditions are not those of training gets a reason, no score.

    Attributes:
      enabled: None for all layouts but that of the challenge, which wants a score for each clip, and imported log-mels,
        which have no recordings.
    """

    enabled: bool | None = None


@dataclass(frozen=True)
class TensorBoard:
    """`tensorboard`: logs of a training; they have no influence on the detector.

    Attributes:
      directory: Directory of the logs, with a folder per machine type and settings; None for no logs.
      clips: Number of clips that are logged as pictures and sound.
      every: Interval of pictures and weight histograms, in epochs.
    """

    directory: Location | None = None
    clips: int = 3
    every: int = 50

    def __post_init__(self) -> None:
        in_range("tensorboard.clips", self.clips, 0, 101)
        in_range("tensorboard.every", self.every, 1, LARGEST_COUNT)


@dataclass(frozen=True)
class Ensemble:
    """`ensemble`: combination of several systems' score files into one score; nothing is trained.

    Attributes:
      members: Result directories with score files of test and training clips, one per system.
      combine: `mean` or `max` of the members' z-scores (by each member's training scores); `rank` for the mean of the
        ranks among the training scores.
    """

    members: list[Location] = field(default_factory=list)
    combine: Literal["mean", "max", "rank"] = "mean"

    def __post_init__(self) -> None:
        if len(self.members) == 1 or not all(isinstance(member, str) for member in self.members):
            raise ValueError(
                f"expected two result directories or more for `ensemble.members`. Received: {self.members}."
            )
