"""The space of a search: values of settings by dotted key, and the configurations that they make.

Keys of `audio`, `feature`, `model`, `fit` and `augmentation` need a training; those of `scorer`, `threshold`,
`calibration` and `recording_check` only score, and vary fastest in a grid, so that their trials share one training.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ganad_tf.config import MACHINE_SECTIONS, Config, from_mapping, layers, to_dict
from ganad_tf.config.reader import nearest
from ganad_tf.errors import ConfigError

TRAINING_SECTIONS = ("audio", "feature", "model", "fit", "augmentation")

Parameters = Mapping[str, Any]  # a value for each key of a space


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; whole ones if both ends are."""

    low: float
    high: float
    log: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def share_of(self, value: float) -> float:
        """Share of the way from low to high, in [0, 1], on the range's scale."""
        low, high, value = (math.log(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)


@dataclass(frozen=True)
class Space:
    """Values by key: those that need training first, then those that only score, otherwise as in the file.

    Attributes:
      values: Lists of values, and ranges.
    """

    values: Mapping[str, tuple[Any, ...] | Range]

    @property
    def scoring_keys(self) -> tuple[str, ...]:
        """Keys that need no training."""
        return tuple(key for key in self.values if not _is_trained(key))

    @property
    def lists(self) -> dict[str, tuple[Any, ...]]:
        """Keys with lists of values."""
        return {key: values for key, values in self.values.items() if not isinstance(values, Range)}

    @property
    def size(self) -> int:
        """Number of combinations of the lists."""
        return math.prod(len(values) for values in self.lists.values())

    @property
    def n_trainings(self) -> int:
        """Number of combinations of the lists of keys that need training."""
        return math.prod(len(values) for key, values in self.lists.items() if _is_trained(key))

    def combination(self, number: int) -> dict[str, Any]:
        """Combination `number` of the lists, from 0; the last key varies fastest. Nothing else is computed."""
        chosen = {}
        for key, values in reversed(self.lists.items()):
            number, index = divmod(number, len(values))
            chosen[key] = values[index]
        return {key: chosen[key] for key in self.values if key in chosen}

    def trained_part(self, parameters: Parameters) -> str:
        """Text of the values that need training, equal for trials that share one."""
        return json.dumps({key: value for key, value in parameters.items() if _is_trained(key)}, sort_keys=True)

    def first(self) -> dict[str, Any]:
        """The first value of each key."""
        return {key: values.low if isinstance(values, Range) else values[0] for key, values in self.values.items()}

    def single_values(self) -> Iterator[tuple[str, Any]]:
        """Each value of each key; of a range its ends."""
        for key, values in self.values.items():
            for value in (values.low, values.high) if isinstance(values, Range) else values:
                yield key, value


def read_space(config: Config, model_keys: Iterable[str]) -> Space:
    """Reads `search.space`.

    Args:
      config: The configuration.
      model_keys: Arguments of the detectors.

    Raises:
      ConfigError: If the space is empty, or keys are no settings or values can't be read; names them all.
    """
    settings = config.search
    if not settings.space:
        raise ConfigError(
            "Expected settings to search among under `search.space`, such as `feature.frames: [1, 5]`. Received: none."
        )
    known = _known_keys(model_keys)
    faults = [
        f"Unknown setting `{key}` in `search.space`{nearest(key, known)}" for key in settings.space if key not in known
    ]
    given = [key for key in settings.space if key in known]
    values: dict[str, tuple[Any, ...] | Range] = {}
    for key in sorted(given, key=lambda key: not _is_trained(key)):
        try:
            values[key] = _read_values(key, settings.space[key])
        except ConfigError as error:
            faults.append(str(error))
    faults += _misfits(config, values)
    if faults:
        raise ConfigError("\n".join(faults))
    return Space(values)


def _misfits(config: Config, values: Mapping[str, tuple[Any, ...] | Range]) -> Iterator[str]:
    """Sentences about values that do not go with strategy or objective."""
    strategy, objective = config.search.strategy, config.search.objective
    ranges = ", ".join(key for key, given in values.items() if isinstance(given, Range))
    if strategy == "grid" and ranges:
        yield f"Expected lists in `search.space` for `search.strategy: grid`. Received: ranges of {ranges}."
    if strategy == "halving" and "fit.epochs" in values:
        yield "Expected no `fit.epochs` in `search.space` for `search.strategy: halving`, which decides on it."
    unseen = ", ".join(key for key in values if not _is_trained(key))
    if objective == "val_loss" and unseen:
        yield f"Expected another `search.objective` than `val_loss`, which does not depend on {unseen}."


def with_parameters(mapping: Mapping[str, Any], machine: str, parameters: Parameters) -> dict[str, Any]:
    """The content of a YAML file in which a machine type has these values; `machines` wins over the rest."""
    machines = dict(mapping.get("machines") or {})
    machines[machine] = layers.merge(machines.get(machine) or {}, nested(parameters))
    return {**mapping, "machines": machines}


def nested(parameters: Parameters) -> dict[str, Any]:
    """Sections of dotted keys.

    >>> nested({"fit.epochs": 2, "fit.compile.optimizer": "adam"})
    {'fit': {'epochs': 2, 'compile': {'optimizer': 'adam'}}}
    """
    sections: dict[str, Any] = {}
    for key, value in parameters.items():
        *path, name = key.split(".")
        section = sections
        for part in path:
            section = section.setdefault(part, {})
        section[name] = value
    return sections


def _is_trained(key: str) -> bool:
    return key.partition(".")[0] in TRAINING_SECTIONS


def _known_keys(model_keys: Iterable[str]) -> list[str]:
    defaults = to_dict(from_mapping({}, source="defaults"))
    sections = {name: section for name, section in defaults.items() if name in MACHINE_SECTIONS}
    keys = [key for key, _ in layers.flatten(sections)]
    return [*keys, *(f"model.{key}" for key in model_keys)]


def _read_values(key: str, given: object) -> tuple[Any, ...] | Range:
    if isinstance(given, list | tuple):
        texts = [json.dumps(value, sort_keys=True) for value in given]
        if given and len(set(texts)) == len(texts):
            return tuple(given)
    elif isinstance(given, Mapping) and {"low", "high"} <= given.keys() <= {"low", "high", "log"}:
        low, high, log = given["low"], given["high"], given.get("log", False)
        are_numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
        if are_numbers and isinstance(log, bool) and low < high and (low > 0 or not log):
            return Range(low, high, log)
    raise ConfigError(
        f"Expected a list of different values or {{low, high}} with `low` below `high`, above 0 with `log: true`, for "
        f"`{key}` in `search.space`. Received: {given!r}."
    )
