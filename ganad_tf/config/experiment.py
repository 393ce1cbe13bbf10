"""One YAML file is the argument of every verb; here it becomes frozen dataclasses.

The keys of the DCASE 2020 Task 2 `baseline.yaml` are kept, and every default is that baseline's, so
that its file runs here unchanged. Keys it does not have have defaults that leave its meaning as it is.
"""

import copy
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ganad_tf.config import reader, yaml_text
from ganad_tf.config.input_sections import Audio, Dataset, Feature
from ganad_tf.config.paths import Location
from ganad_tf.config.sections import Ensemble, Fit, Model, Scorer, TensorBoard, Threshold
from ganad_tf.errors import ConfigError
from ganad_tf.files import checksummed

Mode = Literal["dev", "eval"]

# What may differ from one machine type to the next within one experiment.
OWN_SECTIONS = ("audio", "feature", "model", "fit", "scorer", "threshold")

PAPER_DIRECTORY = "paper"  # in the result directory, for the detectors' own scores

# Raised whenever the same settings would give other log-mels or records, so that old caches are refused.
FEATURE_VERSION = 2


@dataclass(frozen=True)
class Config:
    """One experiment. Directories are relative to where the command runs, as in the baseline.

    In paths, `~` and environment variables stand for what a shell would put there.

    Attributes:
      on_bad_clip: `error` stops and names every clip that can't be used; `skip` goes on without them.
      deterministic: Same file, same machine: the same scores to the last digit.
      machines: What one machine type has otherwise, by machine type; the sections in `OWN_SECTIONS`.
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
    tensorboard: TensorBoard = field(default_factory=TensorBoard)
    ensemble: Ensemble = field(default_factory=Ensemble)
    machines: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
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
        """The configuration of one machine type, with what `machines` says of it laid over."""
        mapping = to_dict(self) | {"machines": {}}
        own = self.machines.get(machine)
        return from_mapping(_merge(mapping, own or {}), source=f"machines.{machine}")

    def with_paper_score(self) -> "Config":
        """The same experiment judged by the detectors' own score equations; its results go to `paper/` below ours."""
        mapping = to_dict(self)
        for section in (mapping, *mapping["machines"].values()):
            section.pop("scorer", None)
        mapping["result_directory"] = str(Path(self.result_directory, PAPER_DIRECTORY))
        return from_mapping(mapping, source="with_paper_score")

    def with_result_directory(self, path: str | Path) -> "Config":
        """The same recordings with results in another directory, whatever made them."""
        return dataclasses.replace(self, result_directory=str(path), ensemble=Ensemble())

    def score_variants(self) -> tuple["Config", ...]:
        """Configurations whose scores are written: this one and, unless it is the same, the paper-score variant."""
        has_other = self.scorer.name != "paper" and not self.ensemble.members
        return (self, self.with_paper_score()) if has_other else (self,)

    def data_directory(self, mode: Mode) -> Path:
        """Where the recordings of `mode` are."""
        return Path(self.dev_directory if mode == "dev" else self.eval_directory)

    def feature_settings(self) -> dict[str, Any]:
        """Everything that a cached log-mel depends on."""
        stored = {key: value for key, value in dataclasses.asdict(self.feature).items() if key != "standardize"}
        return {"version": FEATURE_VERSION, "audio": self.audio.as_recorded(), "feature": stored}

    def feature_fingerprint(self) -> str:
        """Names the cache: the same for the same `feature_settings`."""
        return checksummed.fingerprint(self.feature_settings())

    def training_settings(self) -> dict[str, Any]:
        """Everything that a trained detector depends on, apart from the recordings; dotted keys."""
        settings = to_dict(self)
        fit = {key: value for key, value in settings["fit"].items() if key not in ("verbose", "memory_budget_mb")}
        settings["audio"] = self.audio.as_recorded()
        chosen = {key: settings[key] for key in ("seed", "deterministic", "audio", "feature", "model")} | {"fit": fit}
        return dict(_flatten(chosen))

    def score_settings(self) -> dict[str, Any]:
        """Everything that a clip's score depends on, apart from the recordings; dotted keys."""
        if self.ensemble.members:
            return dict(_flatten({"ensemble": dataclasses.asdict(self.ensemble)}))
        return self.training_settings() | dict(_flatten({"scorer": self.scorer.in_use()}))

    def origin(self, command: str) -> dict[str, Any]:
        """What is kept beside scores: the settings that they depend on, the whole configuration, where and how."""
        return {
            "settings": self.score_settings(),
            "config": to_dict(self),
            "working_directory": str(Path.cwd()),
            "command": command,
        }


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
    mapping = yaml_text.parse(text, str(path))
    if not isinstance(mapping, dict | None):
        raise ConfigError(f"Expected a YAML file of `key: value` lines in {path}. Received: {type(mapping).__name__}.")
    return from_mapping(mapping or {}, source=str(path), overrides=overrides)


def from_mapping(mapping: Mapping[str, Any], *, source: str, overrides: Sequence[str] = ()) -> Config:
    """Builds a configuration from what a YAML file holds; `source` names it in messages."""
    reader.refuse_unusual(mapping, source=source)
    values: dict[str, Any] = copy.deepcopy(dict(mapping))
    machines = values.get("machines") or {}
    for override in overrides:
        _lay_over(values, override)
        if override.split(".")[0] in OWN_SECTIONS:  # the command line has the last word
            for own in machines.values() if isinstance(machines, dict) else ():
                if isinstance(own, dict):
                    _lay_over(own, override)
    for holder in (values, *(machines.values() if isinstance(machines, dict) else ())):
        own = holder.get("scorer") if isinstance(holder, dict) else None
        if isinstance(own, dict) and own and "name" not in own:
            own["name"] = "density"  # whose settings the other keys are
    if isinstance(values.get("model"), dict):
        arguments = dict(values["model"])
        name = arguments.pop("name", Model.name)
        values["model"] = {"name": name, "arguments": arguments}
    config: Config = reader.read_section(Config, values, source=source)
    for machine, own in config.machines.items():
        _check_own(machine, own, source)
        config.for_machine(machine)
    return config


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
    mapping[name] = yaml_text.parse_override(text, f"--set {key}")
    reader.refuse_unusual(mapping[name], source="--set", key=key)


def _check_own(machine: str, own: object, source: str) -> None:
    if not isinstance(own, dict):
        raise ConfigError(f"{source}: expected a section with keys under `machines.{machine}`. Received: {own!r}.")
    for key in own:
        if key not in OWN_SECTIONS:
            raise ConfigError(
                f"{source}: unknown key `machines.{machine}.{key}`{reader.nearest(str(key), OWN_SECTIONS)}"
            )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, section by section."""
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
