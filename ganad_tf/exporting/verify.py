"""Verification of an export: its scores in a separate process, without the training code, equal the live ones."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import ExportError
from ganad_tf.exporting.examples import Example
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.serving.models import replay
from ganad_tf.serving.models.signature import MACHINE, MACHINE_ID

TOLERANCE = 1e-4  # of the live score


def verify(artifact: Path, inputs: TrainedSystem, examples: list[Example], scratch: Path) -> float:
    """Scores the examples in a new process and compares scores and decisions.

    Args:
      artifact: Folder of the exported version.
      inputs: Detectors that were exported.
      examples: Clips with their live scores.
      scratch: Temporary folder for the files that the two processes exchange.

    Returns:
      Largest difference between an exported and a live score, relative to `TrainedSystem.scale`.

    Raises:
      ExportError: If a score or a decision differs, or the artifact can't be loaded.
    """
    return verify_each(artifact, [(inputs, example) for example in examples], scratch)


def verify_each(
    artifact: Path, examples: Sequence[tuple[TrainedSystem, Example]], scratch: Path, *, is_fleet: bool = False
) -> float:
    """As `verify`, with the detectors that each example was scored by.

    Args:
      artifact: Folder of the exported version.
      examples: Detectors that were exported, with clips and their live scores.
      scratch: Temporary folder for the files that the two processes exchange.
      is_fleet: Whether the model takes the name of each clip's machine.
    """
    arrays: dict[str, Any] = {}
    for number, (inputs, example) in enumerate(examples):
        if is_fleet:
            arrays[f"{number}.{MACHINE}"] = np.array([inputs.run.machine] * len(example.scores))
        if inputs.config.feature.is_in_decibels:
            arrays[f"{number}.log_mel"] = example.log_mels
        if example.waveforms is not None:
            arrays[f"{number}.waveform"] = example.waveforms
        if example.machine_ids:
            arrays[f"{number}.{MACHINE_ID}"] = np.array(example.machine_ids)
    inputs_path, outputs_path = scratch / "inputs.npz", scratch / "outputs.npz"
    np.savez(inputs_path, **arrays)
    command = [sys.executable, "-m", replay.__name__, str(artifact), str(inputs_path), str(outputs_path)]
    process = subprocess.run(command, check=False, capture_output=True, text=True)
    if process.returncode:
        raise ExportError(f"The exported model can't be used in a separate process: {process.stderr.strip()[-400:]}")
    with np.load(outputs_path, allow_pickle=False) as results:
        return max(_difference(*examples[int(key.split(".")[0])], key, results[key]) for key in results.files)


def _difference(inputs: TrainedSystem, example: Example, key: str, exported: np.ndarray) -> float:
    """Largest relative difference of one batch; the rows of `exported` are scores and decisions."""
    expected = example.scores[: exported.shape[1]]
    scale = inputs.scale(expected)
    differences = np.abs(exported[0] - expected) / scale
    is_clear = np.abs(expected - inputs.threshold) > TOLERANCE * scale
    wrong = is_clear & (exported[1].astype(bool) != (expected > inputs.threshold))
    if not differences.max() <= TOLERANCE or wrong.any():
        worst = int(np.nan_to_num(differences, nan=np.inf).argmax())
        raise ExportError(
            f"The exported model does not score like the live detector ({key}): expected {expected[worst]}, "
            f"received {exported[0][worst]}; nothing was exported."
        )
    return float(differences.max())
