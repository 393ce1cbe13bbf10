"""Parameters of the estimator → the configuration of one machine."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import config as configuration
from ganad_tf import runtime
from ganad_tf.config import Config, layers
from ganad_tf.errors import ConfigError

SOURCE = "SoundAnomalyDetector"  # of parameters, in messages

Settings = str | os.PathLike[str] | Mapping[str, Any] | None


def make_config(
    settings: Settings,
    machine: str,
    *,
    sample_rate: int | None,
    false_alarms: float | None,
    seed: int | None,
    selected: Mapping[str, Any] | None = None,
) -> Config:
    """Configuration of the estimator's parameters; those that are not None win over `settings`.

    The recordings count as a folder of one's own (`dataset.name: folder`), so the threshold is conformal unless
    `settings` choose another. Directories in `settings` are ignored.

    Args:
      settings: A YAML file, a mapping of its sections, or None for the recommended settings.
      machine: Name of the machine, whose section under `machines` applies.
      sample_rate: In Hz.
      false_alarms: Share of normal recordings that may be called anomalous.
      seed: Seed of training and folds.
      selected: Sections that were selected for the machine; they win over its sections in `settings`.

    Raises:
      ConfigError: If a parameter or a setting is not valid, or a member of an ensemble is a result directory.
    """
    if not isinstance(machine, str) or machine in ("", ".", "..") or Path(machine).name != machine:
        raise ConfigError(f"{SOURCE}: expected a name without slashes for `machine`. Received: {machine!r}.")
    mapping, source = _read(settings)
    kept = {key: value for key, value in mapping.items() if not str(key).endswith("_directory")}
    as_folder = {"deterministic": runtime.is_deterministic(), **kept, "dataset": {"name": "folder"}}
    if selected:
        as_folder = layers.merge(as_folder, {"machines": {machine: selected}})
    config = configuration.from_mapping(as_folder, source=source).for_machine(machine)
    directories = [member for member in config.ensemble.members if isinstance(member, str)]
    if directories:
        raise ConfigError(
            f"{source}: expected configurations as `ensemble.members`. Received: {directories[0]}, a result directory."
        )
    if config.audio.clip_seconds is not None:
        raise ConfigError(
            f"{source}: expected no `audio.clip_seconds`, because each recording gets one score. Received: "
            f"{config.audio.clip_seconds}."
        )
    changed = configuration.to_dict(config)
    if sample_rate is not None:
        changed["audio"]["sample_rate"] = _plain(sample_rate)
    if false_alarms is not None:
        changed["threshold"] |= {"method": "conformal", "false_alarms": _plain(false_alarms), "fixed": None}
    if seed is not None:
        changed["seed"] = _plain(seed)
    return configuration.from_mapping(changed, source=SOURCE)


def _read(settings: Settings) -> tuple[dict[str, Any], str]:
    """Keys and values of the settings, and their name for messages."""
    if isinstance(settings, Mapping):
        return dict(settings), f"{SOURCE}: settings"
    if settings is None:
        return configuration.recommended(), f"{SOURCE}: the recommended settings"
    if isinstance(settings, str | os.PathLike):
        return configuration.read_yaml(settings), str(settings)
    raise ConfigError(
        f"{SOURCE}: expected None, the path of a YAML file or a mapping for `settings`. Received: {settings!r}."
    )


def _plain(value: object) -> object:
    """A number of Python, if it is one of NumPy, such as from a grid of parameters."""
    return value.item() if isinstance(value, np.generic) else value
