"""`ganad.json`: origin and settings of an exported model."""

import json
import math
import shutil
import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ganad_tf.config import to_dict
from ganad_tf.errors import DataError
from ganad_tf.exporting.graph import frozen_networks, known_machine_ids, recording_limits
from ganad_tf.exporting.portable import strip_private_paths
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.files import atomic
from ganad_tf.results import conformal, evaluate
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.run import MachineRun
from ganad_tf.scoring import model_directory


def collect(inputs: TrainedSystem, name: str) -> dict[str, Any]:
    """Collects configuration, data, threshold, results, versions, seeds and commit, without private paths."""
    config, model = inputs.config, inputs.members[0].model
    records = [member.model.record for member in inputs.members]
    entries = {
        "name": name,
        "machine": inputs.run.machine,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": to_dict(config),
        "input": {
            "sample_rate_hz": config.audio.sample_rate,
            "fewest_samples": inputs.shortest_clip()[0],
            "mels": model.n_mels,
            "recording_check": recording_limits(inputs.members) is not None,
            "machine_ids": list(known_machine_ids(inputs.members)),
        },
        "threshold": {
            "value": inputs.threshold,
            **asdict(config.threshold),
            **_false_alarms(inputs),
            "n_normal_training_scores": int(inputs.training.shape[1]),
            "n_calibration_scores": int(inputs.calibration.shape[1]),
            "n_calibration_recordings": _n_recordings(inputs),
        },
        "members": [
            {
                "detector": record["config"]["model"],
                "scorer": member.fitted.settings.relevant_settings(),
                "config": record["config"],
                "training_data": record["cache"],
                "n_clips": record["n_clips"],
                "weights_sha256": member.model.weights_checksum(),
                "networks_sha256": [network.sha256 for network in frozen_networks(config, [member])],
            }
            for record, member in zip(records, inputs.members, strict=True)
        ],
        "results": results_of(inputs.run),
        "seeds": [record["config"]["seed"] for record in records],
        "versions": model_directory.versions(),
        "git_commit": _git_commit(),
    }
    return dict(strip_private_paths(entries, Path.cwd()))


def _false_alarms(inputs: TrainedSystem) -> dict[str, float]:
    """The rate of a conformal threshold, also where it follows from the number of recordings."""
    settings = inputs.config.threshold
    if settings.method != "conformal":
        return {}
    return {"false_alarms": settings.false_alarms or conformal.rate_of(_n_recordings(inputs), settings.confidence)}


def _n_recordings(inputs: TrainedSystem) -> int:
    recordings = inputs.calibration_recordings()
    return conformal.count_recordings(len(recordings), recordings)


def results_of(run: MachineRun) -> dict[str, float] | None:
    """Mean AUC and pAUC in `result.csv`; None without one, or if they are undefined."""
    try:
        areas = evaluate.read_areas(ResultDirectory.of(run.config).table)
    except DataError:
        return None
    mean = areas.get(run.machine)
    if mean is None or math.isnan(mean.auc):
        return None
    return {"auc": mean.auc, "pauc": mean.pauc, "max_fpr": run.config.max_fpr}


def _git_commit() -> str | None:
    """Git commit of this package; None if it does not run from a checkout."""
    package = Path(__file__).parents[2]
    if not (package / ".git").exists() or not shutil.which("git"):
        return None
    done = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


def write(path: Path, entries: dict[str, Any], version: int | None = None) -> None:
    """Writes the entries, with the version number once it is known; creates the folder."""
    path.parent.mkdir(exist_ok=True)
    atomic.write_text(path, json.dumps(entries if version is None else {"version": version, **entries}, indent=1))
