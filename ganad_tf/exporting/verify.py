"""Nothing is kept that scores otherwise than the live detector: real clips, in a process that has only the artifact.

python -m ganad_tf.exporting.verify ARTIFACT INPUTS.npz OUTPUTS.npz
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import ExportError
from ganad_tf.exporting.examples import Example
from ganad_tf.exporting.members import ExportInputs
from ganad_tf.serving.models import replay

TOLERANCE = 1e-4  # of the live score


def verify(artifact: Path, inputs: ExportInputs, examples: list[Example], scratch: Path) -> float:
    """Scores the examples in a fresh process.

    Args:
      artifact: The exported version.
      inputs: What it was made of.
      examples: Real clips.
      scratch: A folder for what the two processes tell each other.

    Returns:
      The largest difference between an exported and a live score, in units of `ExportInputs.scale`.

    Raises:
      ExportError: If a score or a decision differs, or the artifact can't be used.
    """
    arrays: dict[str, Any] = {}
    for number, example in enumerate(examples):
        arrays[f"{number}.log_mel"] = example.log_mels
        if example.waveforms is not None:
            arrays[f"{number}.waveform"] = example.waveforms
    given, outputs = scratch / "inputs.npz", scratch / "outputs.npz"
    np.savez(given, **arrays)
    command = [sys.executable, "-m", replay.__name__, str(artifact), str(given), str(outputs)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ExportError(f"The exported model can't be used in a process of its own: {done.stderr.strip()[-400:]}")
    with np.load(outputs, allow_pickle=False) as found:
        return max(_difference(inputs, examples[int(key.split(".")[0])], key, found[key]) for key in found.files)


def _difference(inputs: ExportInputs, example: Example, key: str, found: np.ndarray) -> float:
    """Relative, between one batch's scores and the live ones; rows of `found`: scores, decisions."""
    expected = example.scores[: found.shape[1]]
    scale = inputs.scale(expected)
    differences = np.abs(found[0] - expected) / scale
    sure = np.abs(expected - inputs.threshold) > TOLERANCE * scale
    wrong = sure & (found[1].astype(bool) != (expected > inputs.threshold))
    if not differences.max() <= TOLERANCE or wrong.any():
        worst = int(np.nan_to_num(differences, nan=np.inf).argmax())
        raise ExportError(
            f"The exported model does not score as the live detector ({key}): expected {expected[worst]}, "
            f"received {found[0][worst]}; nothing was exported."
        )
    return float(differences.max())
