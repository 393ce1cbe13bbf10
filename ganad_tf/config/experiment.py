"""The top level of an experiment's YAML file, `Config`, and the values derived from it.

The keys and defaults of the DCASE 2020 Task 2 `baseline.yaml` are kept, so that this file runs here unchanged. The
defaults of all other keys leave its meaning as it is.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ganad_tf.config import automatic, layers, reader, storage
from ganad_tf.config.dataset import BENCHMARKS
from ganad_tf.config.layers import flatten
from ganad_tf.config.paths import Location
from ganad_tf.config.sections import (
    Audio,
    Augmentation,
    Cache,
    Calibration,
    Dataset,
    Ensemble,
    Feature,
    Fit,
    Model,
    RecordingCheck,
    Scorer,
    Search,
    Selection,
    Storage,
    TensorBoard,
    Threshold,
)
from ganad_tf.errors import ConfigError
from ganad_tf.files import checksummed

Mode = Literal["dev", "eval"]

PAPER_DIRECTORY = "paper"  # in the result directory: scores by the detectors' own equations
MEMBERS_DIRECTORY = "members"  # in result, model and cache directory: those of an ensemble's members

# Incremented whenever the same settings would give other log-mels or records, so that old caches are refused.
FEATURE_VERSION = 2


@dataclass(frozen=True)
class Config:
    """The settings of one experiment. Relative directories start at the working directory, as in the baseline.

    `~` and environment variables in paths are expanded as by a shell. A directory that is a URL becomes the path of its
    local image (`storage.py`); `to_dict` has the URL again.

    Attributes:
      on_bad_clip: `error` stops and names every clip that can't be used; `skip` goes on without them.
      deterministic: Whether the same file gives the same scores to the last digit on the same machine.
      machines: Settings by machine type that override those above; only sections in `layers.MACHINE_SECTIONS`.
    """

    dev_directory: Location = "./dev_data"
    eval_directory: Location = "./eval_data"
    cache_directory: Location = "./cache"
    model_directory: Location = "./model"
    result_directory: Location = "./result"
    export_directory: Location = "./exported_models"
    result_file: Location = "result.csv"
    max_fpr: float = 0.1
    seed: int = 0
    deterministic: bool = True
    on_bad_clip: Literal["error", "skip"] = "error"
    dataset: Dataset = field(default_factory=Dataset)
    audio: Audio = field(default_factory=Audio)
    feature: Feature = field(default_factory=Feature)
    cache: Cache = field(default_factory=Cache)
    model: Model = field(default_factory=Model)
    fit: Fit = field(default_factory=Fit)
    augmentation: Augmentation = field(default_factory=Augmentation)
    scorer: Scorer = field(default_factory=Scorer)
    threshold: Threshold = field(default_factory=Threshold)
    calibration: Calibration = field(default_factory=Calibration)
    recording_check: RecordingCheck = field(default_factory=RecordingCheck)
    tensorboard: TensorBoard = field(default_factory=TensorBoard)
    ensemble: Ensemble = field(default_factory=Ensemble)
    selection: Selection = field(default_factory=Selection)
    search: Search = field(default_factory=Search)
    storage: Storage = field(default_factory=Storage)
    machines: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, local in storage.localized(self).items():
            object.__setattr__(self, name, local)
        is_like_challenge = self.dataset.name in automatic.LIKE_CHALLENGE
        if self.threshold.method == "conformal" or (self.threshold.method == "fixed" and not is_like_challenge):
            averaged = dataclasses.replace(self.scorer, folds=self.threshold.folds, block=self.calibration.block)
            object.__setattr__(self, "scorer", averaged)  # as dataclasses do in a frozen `__init__`
        if not 0 < self.max_fpr <= 1:
            raise ValueError(f"expected `max_fpr` above 0 and at most 1. Received: {self.max_fpr}.")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"expected a `seed` from 0 to below 2^32. Received: {self.seed}.")
        if not self.result_file or Path(self.result_file).name != self.result_file:
            raise ValueError(f"expected a file name without folders for `result_file`. Received: {self.result_file!r}.")
        if Path(self.cache_directory).resolve() == Path(self.model_directory).resolve():
            raise ValueError(
                f"expected different `cache_directory` and `model_directory`. Received: {self.cache_directory!r} twice."
            )
        members = self.member_directories()
        if len({Path(directory).resolve() for directory in (self.result_directory, *members)}) <= len(members):
            raise ValueError(
                "expected another result directory for each of `ensemble.members`, and none of them as "
                f"`result_directory`. Received: {members} and {self.result_directory!r}."
            )
        self._check_feature()
        self.augmentation.check_feature(self.feature)
        if self.augmentation.time_shift and not self.fit.shuffle:
            raise ValueError("expected `fit.shuffle: true` for `augmentation.time_shift`. Received: false.")
        decided = {
            "machines": automatic.decide_machines(self.machines, self.fit, self.dataset.name),
            "feature": automatic.decide_feature(self.feature, self.dataset.name),
            "fit": automatic.decide_fit(self.fit, self.dataset.name),
        }
        for section, value in decided.items():
            object.__setattr__(self, section, value)  # so that a frozen dataclass records what has been decided

    def _check_feature(self) -> None:
        feature = self.feature
        feature.check_rate(self.audio.sample_rate)
        if self.dataset.name == "imported" and (feature.encoder is not None or feature.kind != "log_mel"):
            raise ValueError(f"expected recordings for {feature.in_words}. Received: log-mels.")
        if self.cache.dtype == "float16" and not feature.is_in_decibels:
            raise ValueError(
                f"expected `cache.dtype: float32` with {feature.in_words}: only levels in decibels are known to fit "
                "float16. Received: float16."
            )
        if self.cache.dtype == "none" and self.dataset.name == "imported":
            raise ValueError("expected recordings for `cache.dtype: none`. Received: log-mels.")
        if self.cache.dtype == "none" and self.augmentation.waveform.background:
            raise ValueError(
                "expected `cache.dtype: float32` or `float16` with `augmentation.waveform.background`: copies that are "
                "made again would change with the files in that folder. Received: none."
            )
        if self.dataset.name == "imported" and self.augmentation.waveform.copies:
            raise ValueError("expected recordings for `augmentation.waveform`. Received: log-mels.")
        if self.recording_check.enabled and not feature.is_in_decibels:
            raise ValueError(
                f"expected no `recording_check` with {feature.in_words}: it looks at levels in decibels. "
                "Received: enabled."
            )

    def for_machine(self, machine: str) -> "Config":
        """The configuration of one machine type: this one with the overrides of `machines` applied."""
        mapping = to_dict(self) | {"machines": {}}
        written = self.machines.get(machine) or {}
        # An empty section changes nothing.
        sections = {name: section for name, section in written.items() if section is not None}
        members = [layers.member_for_machine(member, machine, sections) for member in self.ensemble.members]
        mapping["ensemble"] = {**mapping["ensemble"], "members": members}
        return from_mapping(layers.merge(mapping, sections), source=f"machines.{machine}")

    def member_configs(self, source: str = "ensemble.members") -> dict[str, "Config"]:
        """Configurations of the members that are trained with the ensemble, by name; not of mere result directories.

        Their models and results go below those of the ensemble. Members with the same features share a cache.
        """
        configs: dict[str, Config] = {}
        caches: dict[str, str] = {}  # by fingerprint; those of members that are not in use count, so that no path moves
        labels = self.ensemble.labels()
        for member in self.ensemble.members:
            if isinstance(member, str):
                continue
            name = member["name"]
            mapping = layers.merge_member(layers.without_weights(to_dict(self)), member) | {
                "ensemble": {},
                "model_directory": _below(self.model_directory, name),
                "result_directory": _below(self.result_directory, name),
            }
            config = from_mapping(mapping, source=f"{source}.{name}")
            cache = _below(self.cache_directory, name) if caches else self.cache_directory
            cache = caches.setdefault(config.feature_fingerprint(), cache)
            if name in labels:
                configs[name] = dataclasses.replace(config, cache_directory=cache)
        return configs

    def member_directories(self) -> list[str]:
        """Result directories of an ensemble's members."""
        return [
            member if isinstance(member, str) else _below(self.result_directory, member["name"])
            for member in self.ensemble.used()
        ]

    def with_paper_score(self) -> "Config":
        """The same experiment with the detectors' own scores; its results go to `paper/` in the result directory."""
        mapping = to_dict(self)
        for section in (mapping, *mapping["machines"].values()):
            section.pop("scorer", None)
        mapping["result_directory"] = str(Path(self.result_directory, PAPER_DIRECTORY))
        return from_mapping(mapping, source="with_paper_score")

    def score_variants(self) -> tuple["Config", ...]:
        """Configurations whose scores are written: this one and, unless it is the same, the paper-score variant."""
        has_other = self.scorer.name != "paper" and not self.ensemble.members
        return (self, self.with_paper_score()) if has_other else (self,)

    @property
    def checks_recordings(self) -> bool:
        """Whether clips with other recording conditions than those of training get no score."""
        if self.dataset.name == "imported" or not self.feature.is_in_decibels:
            return False
        enabled = self.recording_check.enabled
        return self.dataset.name not in BENCHMARKS if enabled is None else enabled

    def data_directory(self, mode: Mode) -> Path:
        """Directory of the recordings of `mode`."""
        return Path(self.dev_directory if mode == "dev" else self.eval_directory)

    def feature_settings(self) -> dict[str, Any]:
        """Settings that a cached log-mel depends on."""
        of_windows = ("standardize", "window_hop")
        stored = {key: value for key, value in self.feature.as_recorded().items() if key not in of_windows}
        recorded = {"version": FEATURE_VERSION, "audio": self.audio.as_recorded(), "feature": stored}
        return recorded | self.cache.as_recorded()

    def copy_settings(self) -> dict[str, Any]:
        """Settings that an augmented copy of a clip depends on."""
        return self.feature_settings() | {"waveform": self.augmentation.waveform.as_recorded(), "seed": self.seed}

    def feature_fingerprint(self) -> str:
        """Fingerprint of `feature_settings`, which identifies the cache."""
        return checksummed.fingerprint(self.feature_settings())

    def training_settings(self) -> dict[str, Any]:
        """Settings that a trained detector depends on, with dotted keys."""
        settings = to_dict(self)
        settings |= {name: getattr(self, name).as_recorded() for name in ("audio", "feature", "model", "fit")}
        chosen = ("seed", "deterministic", "audio", "feature", "model", "fit")
        augmentation = {"augmentation": self.augmentation.as_recorded()}
        return dict(flatten({key: settings[key] for key in chosen} | augmentation | self.cache.as_recorded()))

    def score_settings(self) -> dict[str, Any]:
        """Settings that a clip's score depends on, with dotted keys."""
        if self.ensemble.members:
            labels = [self.storage.location(label) for label in self.ensemble.labels()]
            chosen: dict[str, Any] = {"combine": self.ensemble.combine, "members": labels}
            chosen |= {"weights": self.ensemble.shares()} if self.ensemble.shares() else {}
            settings = {name: config.score_settings() for name, config in self.member_configs().items()}
            return dict(flatten({"ensemble": chosen, "members": settings}))
        return self.training_settings() | dict(flatten({"scorer": self.scorer.relevant_settings()}))

    def origin(self, command: str) -> dict[str, Any]:
        """Provenance written beside scores: their settings, the full configuration, working directory and command."""
        return {
            "settings": self.score_settings(),
            "config": to_dict(self),
            "working_directory": str(Path.cwd()),
            "command": command,
        }


def load(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a YAML file and applies `dotted.key=value` overrides.

    Raises:
      ConfigError: If the file can't be read, or a key or a value is not valid.
    """
    return from_mapping(layers.read_yaml(path), source=str(path), overrides=overrides)


def from_mapping(mapping: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> Config:
    """Builds a configuration from the content of a YAML file.

    Args:
      mapping: The file's keys and values.
      source: Name of the file, for messages.
      overrides: `dotted.key=value` texts; see `layers.overlaid`.

    Raises:
      ConfigError: If a key or a value is not valid.
    """
    reader.refuse_invalid_yaml(mapping, source=source)
    values = layers.overlaid(mapping, overrides, source=source)
    automatic.decide_threshold_methods(values)
    if isinstance(values.get("model"), dict):
        arguments = dict(values["model"])
        name = arguments.pop("name", Model.name)
        values["model"] = {"name": name, "arguments": arguments}
    config: Config = reader.read_section(Config, values, source=source)
    for name, member in config.member_configs(f"{source}: ensemble.members").items():
        if member.audio.parts() != config.audio.parts():
            raise ConfigError(
                f"{source}: expected `audio.clip_seconds`, `clip_hop_seconds` and `channel: all` for the whole "
                f"ensemble, whose members judge the same clips. Received: other ones for the member {name}."
            )
    for change in config.selection.changes():
        reader.read_section(Scorer, dataclasses.asdict(config.scorer) | change, source=f"{source}: selection.scorers")
    for machine, sections in config.machines.items():
        layers.check_machine_sections(machine, sections, source)
        config.for_machine(machine)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """Converts a configuration to a mapping that `from_mapping` accepts, with URLs as they were given."""
    mapping = dataclasses.asdict(config)
    mapping["model"] = {"name": config.model.name, **config.model.arguments}
    return storage.located(config, mapping)


def _below(directory: str, member: str) -> str:
    return str(Path(directory, MEMBERS_DIRECTORY, member))
