"""Comparison of an exported model with the detectors that are there now, so that none is exported twice."""

import json
from pathlib import Path
from typing import Any

from ganad_tf.errors import DataError
from ganad_tf.exporting import metadata, trained_system
from ganad_tf.run import MachineRun
from ganad_tf.serving.models import metadata as exported
from ganad_tf.serving.models import versions

_PARTS = ("machine", "input", "threshold", "results", "seeds", "versions")
_OF_MEMBERS = ("detector", "scorer", "training_data", "n_clips", "weights_sha256", "networks_sha256")


def is_exported(run: MachineRun, name: str) -> bool:
    """Whether the newest version of a model has the detectors, scorers, threshold and results of a run."""
    try:
        version = versions.newest(Path(run.config.export_directory, name))
        there = exported.read(version / versions.METADATA, lambda entries: (entries["input"], entries["members"]))
    except DataError:
        return False
    here = json.loads(json.dumps(metadata.collect(trained_system.gather(run), name)))
    return bool(_compared(here) == _compared(there))


def _compared(entries: dict[str, Any]) -> dict[str, Any]:
    compared = {part: entries.get(part) for part in _PARTS}
    compared["input"] = {key: value for key, value in entries["input"].items() if key != "longest_samples"}
    compared["members"] = [{key: member.get(key) or None for key in _OF_MEMBERS} for member in entries["members"]]
    return compared
