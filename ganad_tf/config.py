"""One YAML file is the argument of every verb; here it becomes frozen dataclasses.

The keys of the DCASE 2020 Task 2 `baseline.yaml` are kept, and every default is that baseline's, so
that its file runs here unchanged. Keys it does not have have defaults that leave its meaning as it is.
"""

import copy
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ganad_tf import schema
from ganad_tf.errors import ConfigError

Mode = Literal["dev", "eval"]

# Raised whenever the same settings would give other log-mels, so that old caches are refused.
FEATURE_VERSION = 1


@dataclass(frozen=True)
class FolderData:
    """`dataset.folder`: any folder with `normal/` and, if there are any, `anomaly/` or `abnormal/`.

    Attributes:
      test_split: Share of the normal clips kept out of training for the test.
    """

    test_split: float = 0.2

    def __post_init__(self) -> None:
        _in_range("dataset.folder.test_split", self.test_split, 0, 1)


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
    fault_snr_db: float = -6.0

    def __post_init__(self) -> None:
        if not 1 <= self.n_ids <= 100:
            raise ValueError(f"expected 1 to 100 IDs for `dataset.synthetic.n_ids`. Received: {self.n_ids}.")
        if min(self.n_train, self.n_normal, self.n_anomaly, self.seed) < 0:
            raise ValueError("expected counts and a seed of at least 0 under `dataset.synthetic`.")
        _in_range("dataset.synthetic.seconds", self.seconds, 0.5, 3600)


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
    """

    sample_rate: int = 16000
    channel: int | Literal["mean"] = 0
    resample: bool = False

    def __post_init__(self) -> None:
        if self.sample_rate < 1:
            raise ValueError(f"expected a positive `audio.sample_rate`. Received: {self.sample_rate}.")
        if self.channel != "mean" and self.channel < 0:
            raise ValueError(
                f"expected a channel of at least 0 or `mean` for `audio.channel`. Received: {self.channel}."
            )


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
        if self.n_fft < 2 or self.hop_length > self.n_fft:
            raise ValueError(
                f"expected `feature.hop_length` of at most `feature.n_fft`, so that no sample is skipped. "
                f"Received: hop_length={self.hop_length}, n_fft={self.n_fft}."
            )
        if self.n_mels > self.n_fft // 2:
            raise ValueError(
                "expected `feature.n_mels` of at most half of `feature.n_fft`. "
                f"Received: n_mels={self.n_mels}, n_fft={self.n_fft}."
            )
        if self.power <= 0:
            raise ValueError(f"expected a positive `feature.power`. Received: {self.power}.")

    @property
    def dims(self) -> int:
        """Length of one window vector."""
        return self.frames * self.n_mels


@dataclass(frozen=True)
class Model:
    """`model`: a detector's class name; every other key is an argument of its constructor."""

    name: str = "DenseAE"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compile:
    """`fit.compile`: as Keras reads it; the optimizer's two usual settings stand beside it."""

    optimizer: str = "adam"
    loss: str = "mean_squared_error"
    learning_rate: float | None = None
    beta_1: float | None = None


@dataclass(frozen=True)
class Fit:
    """`fit`: as Keras reads it.

    Attributes:
      validation_split: Share of the training *clips* of each ID kept for validation.
      verbose: 0 silences the progress bar.
      memory_budget_mb: Training spectra that fit are held in memory, others are streamed from the cache.
    """

    compile: Compile = field(default_factory=Compile)
    epochs: int = 100
    batch_size: int = 512
    shuffle: bool = True
    validation_split: float = 0.1
    verbose: int = 1
    memory_budget_mb: int = 1024

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"expected a positive `fit.{name}`. Received: {getattr(self, name)}.")
        _in_range("fit.validation_split", self.validation_split, 0, 1)


@dataclass(frozen=True)
class Threshold:
    """`threshold`: above which score a clip is called anomalous, from normal training scores alone.

    Attributes:
      method: `gamma` for a gamma distribution fitted to the scores, `quantile` for the scores themselves.
      quantile: Share of normal clips that should stay below.
    """

    method: Literal["gamma", "quantile"] = "gamma"
    quantile: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"expected `threshold.quantile` between 0 and 1. Received: {self.quantile}.")


@dataclass(frozen=True)
class Config:
    """One experiment. Directories are relative to where the command runs, as in the baseline.

    Attributes:
      on_bad_clip: `error` stops and names every clip that can't be used; `skip` goes on without them.
      deterministic: Same file, same machine: the same scores to the last digit.
    """

    dev_directory: str = "./dev_data"
    eval_directory: str = "./eval_data"
    cache_directory: str = "./cache"
    model_directory: str = "./model"
    result_directory: str = "./result"
    result_file: str = "result.csv"
    max_fpr: float = 0.1
    seed: int = 0
    deterministic: bool = True
    on_bad_clip: Literal["error", "skip"] = "error"
    dataset: Dataset = field(default_factory=Dataset)
    audio: Audio = field(default_factory=Audio)
    feature: Feature = field(default_factory=Feature)
    model: Model = field(default_factory=Model)
    fit: Fit = field(default_factory=Fit)
    threshold: Threshold = field(default_factory=Threshold)

    def __post_init__(self) -> None:
        if not 0 < self.max_fpr <= 1:
            raise ValueError(f"expected `max_fpr` above 0 and at most 1. Received: {self.max_fpr}.")
        if self.seed < 0:
            raise ValueError(f"expected a `seed` of at least 0. Received: {self.seed}.")
        if Path(self.result_file).name != self.result_file:
            raise ValueError(f"expected a file name without folders for `result_file`. Received: {self.result_file!r}.")

    def data_directory(self, mode: Mode) -> Path:
        """Where the recordings of `mode` are."""
        return Path(self.dev_directory if mode == "dev" else self.eval_directory)

    def cache_path(self, mode: Mode, machine: str, split: str) -> Path:
        """Where the log-mels of one machine type's training or test clips are kept."""
        return Path(self.cache_directory, mode, machine, split)

    def model_path(self, mode: Mode, machine: str) -> Path:
        """Where the detector trained on `mode`'s training clips is kept."""
        return Path(self.model_directory, mode, machine)

    def score_path(self, machine: str, machine_id: str) -> Path:
        """The challenge's score file of one machine ID."""
        return Path(self.result_directory, f"anomaly_score_{machine}_id_{machine_id}.csv")

    def decision_path(self, machine: str, machine_id: str) -> Path:
        """The decisions (0 or 1) of one machine ID."""
        return Path(self.result_directory, f"decision_result_{machine}_id_{machine_id}.csv")

    @property
    def result_path(self) -> Path:
        """The table of AUC and pAUC."""
        return Path(self.result_directory, self.result_file)

    def feature_settings(self) -> dict[str, Any]:
        """Everything that a cached log-mel depends on."""
        stored = {key: value for key, value in dataclasses.asdict(self.feature).items() if key != "standardize"}
        return {"version": FEATURE_VERSION, "audio": dataclasses.asdict(self.audio), "feature": stored}

    def feature_fingerprint(self) -> str:
        """Names the cache: the same for the same `feature_settings`."""
        return hashlib.sha256(json.dumps(self.feature_settings(), sort_keys=True).encode()).hexdigest()[:16]

    def training_settings(self) -> dict[str, Any]:
        """Everything that a trained detector depends on, apart from the recordings; dotted keys."""
        settings = to_dict(self)
        fit = {key: value for key, value in settings["fit"].items() if key not in ("verbose", "memory_budget_mb")}
        chosen = {key: settings[key] for key in ("seed", "deterministic", "audio", "feature", "model")} | {"fit": fit}
        return dict(_flatten(chosen))


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file, with `dotted.key=value` overrides laid over it.

    Raises:
      ConfigError: If the file can't be read, or a key or value in it is not one we know.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Can't read the configuration {path}: {getattr(error, 'strerror', None) or error}."
        ) from error
    mapping = schema.parse_yaml(text, str(path))
    if not isinstance(mapping, dict | None):
        raise ConfigError(f"Expected a YAML file of `key: value` lines in {path}. Received: {type(mapping).__name__}.")
    return from_mapping(mapping or {}, source=str(path), overrides=overrides)


def from_mapping(mapping: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> Config:
    """Builds a configuration from what a YAML file holds; `source` names it in messages."""
    values: dict[str, Any] = copy.deepcopy(dict(mapping))
    for override in overrides:
        _lay_over(values, override)
    if isinstance(values.get("model"), dict):
        arguments = dict(values["model"])
        name = arguments.pop("name", Model.name)
        values["model"] = {"name": name, "arguments": arguments}
    return schema.read_section(Config, values, source=source)


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as `from_mapping` takes it."""
    mapping = dataclasses.asdict(config)
    mapping["model"] = {"name": config.model.name, **config.model.arguments}
    return mapping


def _lay_over(mapping: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Expected `--set key=value`, such as `--set fit.epochs=10`. Received: {override!r}.")
    *sections, name = key.split(".")
    for section in sections:
        if not isinstance(mapping.get(section), dict):
            mapping[section] = {}
        mapping = mapping[section]
    mapping[name] = schema.parse_yaml(text, f"--set {key}")


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _in_range(key: str, value: float, low: float, high: float) -> None:
    if not low <= value < high:
        raise ValueError(f"expected `{key}` from {low} to below {high}. Received: {value}.")
