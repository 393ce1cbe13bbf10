"""Scores clips with an artifact in a separate process; `exporting.verify` compares the scores.

python -m ganad_tf.serving.replay ARTIFACT INPUTS.npz OUTPUTS.npz
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.serving.models import wav
from ganad_tf.serving.models.artifact import Artifact

BATCHES = (1, 8)


def score_all(artifact: Artifact, arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Scores every array by every signature that takes it, in every batch size.

    Args:
      artifact: Exported model.
      arrays: Arrays `[clips, ...]` by `<number>.waveform` or `<number>.log_mel`.

    Yields:
      Key `<array>.<signature>.<batch>`, and scores and decisions `[2, batch]`.
    """
    rate = artifact.audio.sample_rate
    for key, values in arrays.items():
        kind = key.split(".")[1]
        names = {"log_mel": ["score_frames"], "waveform": ["score_waveform", "serving_default", "score_wav"]}[kind]
        for signature in names:
            for size in BATCHES:
                batch = values[:size]
                if signature == "score_wav":
                    files = np.array([wav.encode(waveform, rate) for waveform in batch], dtype=object)
                    outputs = artifact(signature, {"wav_bytes": files})
                else:
                    outputs = artifact(signature, {kind: batch})
                yield f"{key}.{signature}.{size}", np.stack([outputs["anomaly_score"], outputs["is_anomaly"]])
    for key, values in arrays.items():
        if key.endswith("waveform"):
            scores = artifact("explain", {"waveform": values[:2]})["anomaly_score"]
            decisions = artifact("score_waveform", {"waveform": values[:2]})["is_anomaly"]
            yield f"{key}.explain.2", np.stack([scores, decisions])


if __name__ == "__main__":
    artifact_path, inputs_path, outputs_path = sys.argv[1:]
    with np.load(inputs_path, allow_pickle=False) as loaded:
        scores: dict[str, Any] = dict(score_all(Artifact(Path(artifact_path)), dict(loaded)))
        np.savez(outputs_path, **scores)
