"""The sections of a YAML file: one frozen dataclass each, with its keys and their defaults.

`dataset`, `audio` and `feature` say what comes in; `model`, `fit`, `augmentation`, `scorer`, `threshold`,
`recording_check`, `tensorboard` and `ensemble` what is made of it. Every default is that of the DCASE 2020 Task 2
baseline or leaves its meaning as it is. `experiment.py` puts the sections together.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ganad_tf.config.augmentation import Augmentation as Augmentation
from ganad_tf.config.dataset import ClassData as ClassData
from ganad_tf.config.dataset import Dataset as Dataset
from ganad_tf.config.dataset import FolderData as FolderData
from ganad_tf.config.dataset import GroupTable as GroupTable
from ganad_tf.config.dataset import MIMIIData as MIMIIData
from ganad_tf.config.dataset import SectionData as SectionData
from ganad_tf.config.dataset import SyntheticData as SyntheticData
from ganad_tf.config.dataset import TableData as TableData
from ganad_tf.config.dataset import ToyADMOSData as ToyADMOSData
from ganad_tf.config.ensemble import Ensemble as Ensemble
from ganad_tf.config.ensemble import Selection as Selection
from ganad_tf.config.feature import Feature as Feature
from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range
from ganad_tf.config.search import Search as Search
from ganad_tf.config.storage import Storage as Storage
from ganad_tf.files import network_file

LARGEST_COUNT = 10_000_000


@dataclass(frozen=True)
class Audio:
    """`audio`: conversion of a recording to one channel of samples.

    Attributes:
      sample_rate: In hertz. A file at another rate is refused unless `resample`.
      channel: Index of the channel, from 0; `mean` for the mean of all channels; `all` for a clip of each channel,
        which no split separates.
      resample: Whether a file at another rate is resampled.
      clip_seconds: Longer recordings are cut into clips of this duration, the last of which ends where the recording
        does; None for recordings as they are.
      clip_hop_seconds: Time from the beginning of a clip to that of the next; None for `clip_seconds`.
      unknown_length: For a recording whose header leaves the length open, as when written to a pipe: `read` takes it
        up to the end of the file, `refuse` refuses it.
    """

    sample_rate: int = 16000
    channel: int | Literal["mean", "all"] = 0
    resample: bool = False
    unknown_length: Literal["read", "refuse"] = "read"
    clip_seconds: float | None = None
    clip_hop_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ValueError(f"expected a positive `audio.sample_rate`. Received: {self.sample_rate}.")
        if isinstance(self.channel, int) and self.channel < 0:
            raise ValueError(
                f"expected a channel of at least 0, `mean` or `all` for `audio.channel`. Received: {self.channel}."
            )
        length, hop = self.clip_seconds, self.clip_hop_seconds
        if length is not None:
            in_range("audio.clip_seconds", length, 0.01, 86400)
        if hop is not None and (length is None or not 0.001 <= hop <= length):
            raise ValueError(
                "expected `audio.clip_hop_seconds` above 0 and at most `audio.clip_seconds`, so that nothing is "
                f"skipped. Received: {hop}, with a clip of {length} s."
            )

    def of_channel(self, channel: int | None) -> "Audio":
        """These settings for a clip that is a single channel; None for a clip by the setting `channel`."""
        return self if channel is None else replace(self, channel=channel)

    def parts(self) -> tuple[float | None, float | None, bool]:
        """The settings by which a recording is several clips."""
        return self.clip_seconds, self.clip_hop_seconds, self.channel == "all"

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify caches and detectors; settings added later only where they are not the default."""
        recorded = asdict(self)
        for name in ("unknown_length", "clip_seconds", "clip_hop_seconds"):
            if recorded[name] == getattr(Audio, name):
                del recorded[name]
        return recorded


@dataclass(frozen=True)
class Cache:
    """`cache`: how log-mels are kept.

    Attributes:
      dtype: `float32`; `float16`, which halves the cache and rounds a level of -40 dB to 1/32 dB; or `none`, which
        keeps none and computes them from the recordings each time they are read, the same as `float32` has.
    """

    dtype: Literal["float32", "float16", "none"] = "float32"

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify caches and detectors; none if they are the default."""
        return {} if self == Cache() else {"cache": asdict(self)}


@dataclass(frozen=True)
class Model:
    """`model`: class name of the detector; all other keys are arguments of its constructor."""

    name: str = "DenseAE"
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify detectors; the network of an `Encoder` by its contents, wherever it lies.

        Raises:
          DataError: If there is no such network.
        """
        recorded = {"name": self.name, **self.arguments}
        if self.name == "Encoder" and recorded.get("path"):
            recorded["sha256"] = network_file.checksum(Path(str(recorded.pop("path"))).expanduser())
        return recorded


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
    """`fit`: training, with the keys of Keras' `fit` and a few of ours. `automatic.py` decides those that are None.

    Attributes:
      validation_split: Share of the training *clips* (not windows) of each ID that is held out for validation.
      min_steps: Steps of the optimizer that a training takes at least; each epoch goes over the windows as often as
        that needs. 0 for no such floor.
      settle_batch_norm: Whether the averages of batch normalisation are estimated anew, over all training windows,
        once the weights are final.
      verbose: 0 silences the progress bar.
      memory_budget_mb: Training spectra up to this size are held in memory; larger sets are streamed from the cache.
      restore_best: Whether the weights of the epoch with the lowest validation loss are kept, not those of the last.
      patience: Epochs without a lower validation loss after which training stops; None for never.
      distribute: `none` for one device; `mirrored` for all GPUs of this machine, `multi_worker` for the devices of all
        workers of TF_CONFIG. Each device takes its share of every batch.
    """

    compile: Compile = field(default_factory=Compile)
    epochs: int = 100
    batch_size: int = 512
    shuffle: bool = True
    validation_split: float | None = None
    min_steps: int | None = None
    settle_batch_norm: bool | None = None
    verbose: int = 1
    memory_budget_mb: int = 1024
    restore_best: bool = False
    patience: int | None = None
    distribute: Literal["none", "mirrored", "multi_worker"] = "none"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected `fit.{name}` from 1 to {LARGEST_COUNT}. Received: {getattr(self, name)}.")
        in_range("fit.validation_split", self.validation_split or 0, 0, 1)
        in_range("fit.min_steps", self.min_steps or 0, 0, LARGEST_COUNT + 1)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"expected a positive `fit.patience`. Received: {self.patience}.")
        if self.validation_split == 0 and self.watches_validation:
            raise ValueError(
                "expected a `fit.validation_split` above 0 for `fit.restore_best` and `fit.patience`, which watch the "
                "validation loss. Received: 0."
            )

    @property
    def validation_share(self) -> float:
        """`validation_split`, and 0 as long as that is not decided."""
        return self.validation_split or 0.0

    @property
    def watches_validation(self) -> bool:
        """Whether the validation loss has an influence on the weights."""
        return self.restore_best or self.patience is not None

    def as_recorded(self) -> dict[str, Any]:
        """Settings that identify detectors; settings added later only where they are not as they were before."""
        unused = {"verbose", "memory_budget_mb", "distribute"} | {
            key for key in ("min_steps", "settle_batch_norm") if not getattr(self, key)
        }
        return {key: value for key, value in asdict(self).items() if key not in unused}


@dataclass(frozen=True)
class Scorer:
    """`scorer`: reduction of a clip's windows to one anomaly score.

    Others' densities of pooled vectors: TWFR-GMM (Guan et al., ICASSP 2023), of spectra pooled by `gwrp`;
    UD-ASD (Gao et al., Interspeech 2026), of a diffusion model's residual.

    Attributes:
      name: `paper` for the detector's own score equation, averaged over the windows; `density` for the distance of
        the clip's vector from those of the normal training clips.
      per_machine: For `density`: whether each machine ID has its density; new clips then come with their machine ID.
      of: Vector of a clip for `density`: `residual`, one value per mel band, pooled over time; `embedding`, the mean of
        the windows' embeddings, of detectors that have some.
      pooling: Reduction of each mel band's residual over time: `mean`; `max` of the excess of the sound over its
        reconstruction; `gwrp` (global weighted rank pooling), the weighted mean of the excess from the largest value
        down, each weight being `decay` times the one before; `lulls`, the same of the residual from the band's
        quietest moment up, when a steady machine is heard between the noises around it.
      decay: Decay of the weights of `gwrp` and `lulls`, in [0, 1): near 1 the mean, at 0 the first value alone.
      whiten: Whether the pooled residuals are decorrelated (PCA whitening) before the density is fitted.
      shrinkage: Shrinkage of covariances towards a multiple of the identity; `auto` for the Ledoit-Wolf estimate.
      density: `mahalanobis` for the squared distance from the mean, `gmm` for the negative log-likelihood
        of a Gaussian mixture, `knn` for the mean distance to the nearest training clips, `cosine_knn` for the same by
        one minus the cosine of the angle between the vectors, as they are, `cosine_kmeans` for that to the centres of
        clusters of training clips.
      components: Components of the Gaussian mixture, or clusters of `cosine_kmeans`.
      regularization: Value added to the variances of the Gaussian mixture; `auto` for the one under which normal
        clips that were left out of the fit are most likely.
      neighbors: Number of nearest training clips for `knn` and `cosine_knn`.
      local_density: For `knn`: number of a training clip's own nearest neighbours, by whose mean distance from it its
        distances are divided; 0 for none.
      smote: For `knn`: number of synthetic neighbours per training clip, between it and one of its nearest others.
      domains: `pooled` for one density of all training clips; `minimum` for a density of each domain, source and
        target, and the lower of both scores; `standardized` for the same, each score divided by the mean score of its
        domain's normal clips.
      target_smote: Number of synthetic vectors per training clip of the target domain, between it and one of its
        nearest others; `auto` for as many vectors of the target domain as of the source domain, 0 for none.
      folds: Number of densities whose scores are averaged, each fitted without the clips of one fold; 0 for one density
        of all clips. With `threshold.method: conformal` it is `threshold.folds`.
      block: As in `calibration`.
    """

    name: Literal["paper", "density"] = "paper"
    of: Literal["residual", "embedding"] = "residual"
    per_machine: bool = False
    pooling: Literal["mean", "max", "gwrp", "lulls"] = "mean"
    decay: float = 0.98
    whiten: bool = False
    shrinkage: float | Literal["auto"] = "auto"
    density: Literal["mahalanobis", "gmm", "knn", "cosine_knn", "cosine_kmeans"] = "mahalanobis"
    components: int = 2
    regularization: float | Literal["auto"] = "auto"
    neighbors: int = 1
    local_density: int = 0
    smote: int = 0
    domains: Literal["pooled", "minimum", "standardized"] = "pooled"
    target_smote: int | Literal["auto"] = 0
    folds: int | Literal["auto"] = 0
    block: int = 1

    def __post_init__(self) -> None:
        in_range("scorer.decay", self.decay, 0, 1)
        if self.shrinkage != "auto" and not 0 < self.shrinkage <= 1:
            raise ValueError(
                f"expected `auto` or a share above 0 and at most 1 for `scorer.shrinkage`. Received: {self.shrinkage}."
            )
        if self.regularization != "auto" and self.regularization <= 0:
            raise ValueError(f"expected `auto` or a positive `scorer.regularization`. Received: {self.regularization}.")
        if self.of == "embedding" and self.pooling != "mean":
            raise ValueError(
                "expected `scorer.pooling: mean` for `scorer.of: embedding`; the others pool mel bands. "
                f"Received: {self.pooling}."
            )
        for name in ("components", "neighbors"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected a positive `scorer.{name}`. Received: {getattr(self, name)}.")
        for name in ("local_density", "smote"):
            in_range(f"scorer.{name}", getattr(self, name), 0, LARGEST_COUNT + 1)
        if self.target_smote != "auto":
            in_range("scorer.target_smote", self.target_smote, 0, LARGEST_COUNT + 1)

    @property
    def tells_domains(self) -> bool:
        """Whether the density depends on which training clips are of the target domain."""
        return self.name == "density" and (self.domains != "pooled" or bool(self.target_smote))

    def relevant_settings(self) -> dict[str, Any]:
        """The settings that have an effect with the chosen scorer, pooling and density."""
        if self.name == "paper":
            return {"name": self.name}
        chosen = ["name", "pooling", "density"]
        chosen += ["of"] if self.of != Scorer.of else []
        chosen += ["per_machine"] if self.per_machine else []
        chosen += ["whiten", "shrinkage"] if not self.density.startswith("cosine") else []
        chosen += ["decay"] if self.pooling in ("gwrp", "lulls") else []
        chosen += ["components", "regularization"] if self.density == "gmm" else []
        chosen += ["components"] if self.density == "cosine_kmeans" else []
        chosen += ["neighbors"] if self.density in ("knn", "cosine_knn") else []
        if self.density == "knn":  # settings added later only where they are not the default
            chosen += [name for name in ("local_density", "smote") if getattr(self, name)]
        chosen += ["domains"] if self.domains != "pooled" else []
        chosen += ["target_smote"] if self.target_smote else []
        chosen += ["folds", "block"] if self.folds else []
        return {key: getattr(self, key) for key in chosen}


@dataclass(frozen=True)
class Threshold:
    """`threshold`: score above which a clip counts as anomalous, from the scores of normal clips alone.

    Attributes:
      method: `gamma` for a gamma distribution fitted to the training scores, `quantile` for the training scores
        themselves, `conformal` for scores of normal clips that the detector has not seen, `fixed` for a given value.
        If the file has none: `fixed` where `fixed` is given, `gamma` where `quantile` is, `conformal` where another key
        of it is; else `conformal` for recordings of one's own, `urbansound8k` and `esc50`, and for the datasets of the
        challenge and those like them (`automatic.LIKE_CHALLENGE`) `quantile` for ensembles and otherwise `gamma`.
      quantile: For `gamma` and `quantile`: share of normal clips that should stay below the threshold; in (0, 1).
      false_alarms: For `conformal`: share of clips of normal recordings that may be called anomalous; in (0, 1). None
        for 0.05, or for the lowest share that the number of recordings allows if that is higher.
      confidence: For `conformal`: probability with which that share holds for these very calibration clips; None for
        the mean over calibration sets.
      fixed: For `fixed`: the threshold.
      folds: For `conformal`: number of detectors that are trained to score the training clips, each without those of
        its fold; `auto` for 5, and more for fewer than 80 clips. Recordings for calibration alone need none.
    """

    method: Literal["gamma", "quantile", "conformal", "fixed"] = "gamma"
    quantile: float = 0.9
    false_alarms: float | None = None
    confidence: float | None = None
    fixed: float | None = None
    folds: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name in ("quantile", "false_alarms", "confidence"):
            value = getattr(self, name)
            if value is not None and not 0 < value < 1:
                raise ValueError(f"expected `threshold.{name}` between 0 and 1. Received: {value}.")
        if self.folds != "auto" and not 2 <= self.folds <= LARGEST_COUNT:
            raise ValueError(f"expected `auto`, or 2 or more, for `threshold.folds`. Received: {self.folds}.")
        if (self.method == "fixed") != (self.fixed is not None):
            raise ValueError(
                f"expected a number for `threshold.fixed` with `method: fixed`, and none with another. "
                f"Received: method={self.method}, fixed={self.fixed}."
            )


@dataclass(frozen=True)
class Calibration:
    """`calibration`: normal clips that are scored by detectors which have not seen them, for `method: conformal`.

    Attributes:
      block: Number of recordings, adjacent by name, that are left out of training together, as neighbours in time.
    """

    block: int = 1

    def __post_init__(self) -> None:
        in_range("calibration.block", self.block, 1, LARGEST_COUNT)


@dataclass(frozen=True)
class RecordingCheck:
    """`recording_check`: whether a clip whose recording conditions are not those of training gets a reason, no score.

    Attributes:
      enabled: None for on, except for public data sets, whose benchmarks want a score for each clip, and imported
        log-mels, which have no recordings.
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
