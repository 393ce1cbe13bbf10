"""The top level of an experiment's YAML file, `Config`, and the values derived from it.

The keys and defaults of the DCASE 2020 Task 2 `baseline.yaml` are kept, so that this file runs here unchanged. The
defaults of all other keys leave its meaning as it is.
"""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from ganad_tf.config import reader, yaml_text
from ganad_tf.config.paths import Location
from ganad_tf.config.sections import (
    Audio,
    Calibration,
    Dataset,
    Ensemble,
    Feature,
    Fit,
    Model,
    Scorer,
    TensorBoard,
    Threshold,
)
from ganad_tf.errors import ConfigError
from ganad_tf.files import checksummed

Mode = Literal["dev", "eval"]

# Sections that may differ between machine types within one experiment.
MACHINE_SECTIONS = ("audio", "feature", "model", "fit", "scorer", "threshold", "calibration")

PAPER_DIRECTORY = "paper"  # in the result directory: scores by the detectors' own equations

# Incremented whenever the same settings would give other log-mels or records, so that old caches are refused.
FEATURE_VERSION = 2


@dataclass(frozen=True)
class Config:
    """The settings of one experiment. Relative directories start at the working directory, as in the baseline.

    `~` and environment variables in paths are expanded as by a shell.

    Attributes:
      on_bad_clip: `error` stops and names every clip that can't be used; `skip` goes on without them.
      deterministic: Whether the same file gives the same scores to the last digit on the same machine.
      machines: Settings by machine type that override those above; only sections in `MACHINE_SECTIONS`.
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
    model: Model = field(default_factory=Model)
    fit: Fit = field(default_factory=Fit)
    scorer: Scorer = field(default_factory=Scorer)
    threshold: Threshold = field(default_factory=Threshold)
    calibration: Calibration = field(default_factory=Calibration)
    tensorboard: TensorBoard = field(default_factory=TensorBoard)
    ensemble: Ensemble = field(default_factory=Ensemble)
    machines: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        is_official = self.dataset.name == Dataset.name
        if self.threshold.method == "conformal" or (self.threshold.method == "fixed" and not is_official):
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
        results = {Path(directory).resolve() for directory in (self.result_directory, *self.ensemble.members)}
        if len(results) <= len(self.ensemble.members):
            raise ValueError(
                "expected another result directory for each of `ensemble.members`, and none of them as "
                f"`result_directory`. Received: {self.ensemble.members} and {self.result_directory!r}."
            )

    def for_machine(self, machine: str) -> "Config":
        """The configuration of one machine type: this one with the overrides of `machines` applied."""
        mapping = to_dict(self) | {"machines": {}}
        sections = self.machines.get(machine) or {}
        return from_mapping(_merge(mapping, sections), source=f"machines.{machine}")

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

    def data_directory(self, mode: Mode) -> Path:
        """Directory of the recordings of `mode`."""
        return Path(self.dev_directory if mode == "dev" else self.eval_directory)

    def feature_settings(self) -> dict[str, Any]:
        """Settings that a cached log-mel depends on."""
        stored = {key: value for key, value in dataclasses.asdict(self.feature).items() if key != "standardize"}
        return {"version": FEATURE_VERSION, "audio": self.audio.as_recorded(), "feature": stored}

    def feature_fingerprint(self) -> str:
        """Fingerprint of `feature_settings`, which identifies the cache."""
        return checksummed.fingerprint(self.feature_settings())

    def training_settings(self) -> dict[str, Any]:
        """Settings that a trained detector depends on, with dotted keys."""
        settings = to_dict(self)
        fit = {key: value for key, value in settings["fit"].items() if key not in ("verbose", "memory_budget_mb")}
        settings["audio"] = self.audio.as_recorded()
        chosen = {key: settings[key] for key in ("seed", "deterministic", "audio", "feature", "model")} | {"fit": fit}
        return dict(_flatten(chosen))

    def score_settings(self) -> dict[str, Any]:
        """Settings that a clip's score depends on, with dotted keys."""
        if self.ensemble.members:
            return dict(_flatten({"ensemble": dataclasses.asdict(self.ensemble)}))
        return self.training_settings() | dict(_flatten({"scorer": self.scorer.relevant_settings()}))

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
    return from_mapping(read_file(path), source=str(path), overrides=overrides)


def read_file(path: str | PathLike[str]) -> dict[str, Any]:
    """Reads the keys and values of a YAML file.

    Raises:
      ConfigError: If the file can't be read or is no YAML file of `key: value` lines.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Can't read the configuration {path}: {getattr(error, 'strerror', None) or error}."
        ) from error
    mapping = yaml_text.parse(text, str(path))
    if not isinstance(mapping, dict | None):
        raise ConfigError(f"Expected a YAML file of `key: value` lines in {path}. Received: {type(mapping).__name__}.")
    return mapping or {}


def from_mapping(mapping: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> Config:
    """Builds a configuration from the content of a YAML file.

    Args:
      mapping: The file's keys and values.
      source: Name of the file, for messages.
      overrides: `dotted.key=value` texts; they also win over the sections of `machines`.

    Raises:
      ConfigError: If a key or a value is not valid.
    """
    reader.refuse_invalid_yaml(mapping, source=source)
    values: dict[str, Any] = copy.deepcopy(dict(mapping))
    machines = values.get("machines") or {}
    for override in overrides:
        _lay_over(values, override)
        if override.split(".")[0] in MACHINE_SECTIONS:  # the command line wins
            for sections in machines.values() if isinstance(machines, dict) else ():
                if isinstance(sections, dict):
                    _lay_over(sections, override)
    for sections in (values, *(machines.values() if isinstance(machines, dict) else ())):
        scorer = sections.get("scorer") if isinstance(sections, dict) else None
        if isinstance(scorer, dict) and scorer and "name" not in scorer:
            scorer["name"] = "density"  # the other keys are settings of the density scorer
    _choose_threshold_method(values, machines)
    if isinstance(values.get("model"), dict):
        arguments = dict(values["model"])
        name = arguments.pop("name", Model.name)
        values["model"] = {"name": name, "arguments": arguments}
    config: Config = reader.read_section(Config, values, source=source)
    for machine, sections in config.machines.items():
        _check_machine_sections(machine, sections, source)
        config.for_machine(machine)
    return config


def to_dict(config: Config) -> dict[str, Any]:
    """Converts a configuration to a mapping that `from_mapping` accepts."""
    mapping = dataclasses.asdict(config)
    mapping["model"] = {"name": config.model.name, **config.model.arguments}
    return mapping


def _choose_threshold_method(values: dict[str, Any], machines: object) -> None:
    """Completes sections `threshold` without a `method`, as `sections.Threshold` documents."""
    dataset = values.get("dataset") or {}
    is_official = isinstance(dataset, dict) and dataset.get("name", Dataset.name) == Dataset.name
    outer = values.setdefault("threshold", {})
    if isinstance(outer, dict) and "method" not in outer:
        outer["method"] = _threshold_method(outer) or ("gamma" if is_official else "conformal")
    for sections in machines.values() if isinstance(machines, dict) else ():
        inner = sections.get("threshold") if isinstance(sections, dict) else None
        if isinstance(inner, dict) and "method" not in inner and (method := _threshold_method(inner)):
            inner["method"] = method


def _threshold_method(section: Mapping[str, Any]) -> str | None:
    """The method that the keys of a section `threshold` belong to; None if they don't tell."""
    if section.get("fixed") is not None:
        return "fixed"
    if "quantile" in section:
        return "gamma"
    return "conformal" if section.keys() & {"false_alarms", "confidence", "folds"} else None


def _lay_over(mapping: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Expected `--set key=value`, such as `--set fit.epochs=10`. Received: {override!r}.")
    *sections, name = key.split(".")
    for section in sections:
        if not isinstance(mapping.get(section), dict):
            mapping[section] = {}
        mapping = mapping[section]
    mapping[name] = yaml_text.parse_override(text, f"--set {key}")
    reader.refuse_invalid_yaml(mapping[name], source="--set", key=key)


def _check_machine_sections(machine: str, sections: object, source: str) -> None:
    if not isinstance(sections, dict):
        raise ConfigError(f"{source}: expected a section with keys under `machines.{machine}`. Received: {sections!r}.")
    for key in sections:
        if key not in MACHINE_SECTIONS:
            raise ConfigError(
                f"{source}: unknown key `machines.{machine}.{key}`{reader.nearest(str(key), MACHINE_SECTIONS)}"
            )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` updated by `above`, recursively."""
    merged = dict(below)
    for key, value in above.items():
        deeper = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if deeper else value
    return merged


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
