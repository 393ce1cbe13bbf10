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
from ganad_tf.serving.models.signature import MACHINE, MACHINE_ID

BATCHES = (1, 8)


def score_all(artifact: Artifact, arrays: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Scores every array by every signature that takes it, in every batch size.

    Args:
      artifact: Exported model.
      arrays: Arrays `[clips, ...]` by `<number>.waveform` or `<number>.log_mel`, and machines of the clips, `[clips]`
        strings, by `<number>.machine_id` or `<number>.machine`, if the model needs them.

    Yields:
      Key `<array>.<signature>.<batch>`, and scores and decisions `[2, batch]`.
    """
    rate = artifact.audio.sample_rate

    def machines(key: str, size: int) -> dict[str, np.ndarray]:
        given = {name: arrays.get(f"{key.split('.')[0]}.{name}") for name in (MACHINE_ID, MACHINE)}
        return {name: of[:size].astype("S").astype(object) for name, of in given.items() if of is not None}

    clips = {key: values for key, values in arrays.items() if not key.endswith((MACHINE_ID, MACHINE))}
    for key, values in clips.items():
        kind = key.split(".")[1]
        names = {"log_mel": ["score_frames"], "waveform": ["score_waveform", "serving_default", "score_wav"]}[kind]
        for signature in names:
            for size in BATCHES:
                batch = values[:size]
                if signature == "score_wav":
                    files = np.array([wav.encode(waveform, rate) for waveform in batch], dtype=object)
                    outputs = artifact(signature, {"wav_bytes": files, **machines(key, size)})
                else:
                    outputs = artifact(signature, {kind: batch, **machines(key, size)})
                yield f"{key}.{signature}.{size}", np.stack([outputs["anomaly_score"], outputs["is_anomaly"]])
    for key, values in clips.items():
        if key.endswith("waveform") and "explain" in artifact.signatures:
            inputs = {"waveform": values[:2], **machines(key, 2)}
            scores = artifact("explain", inputs)["anomaly_score"]
            decisions = artifact("score_waveform", inputs)["is_anomaly"]
            yield f"{key}.explain.2", np.stack([scores, decisions])


if __name__ == "__main__":
    artifact_path, inputs_path, outputs_path = sys.argv[1:]
    with np.load(inputs_path, allow_pickle=False) as loaded:
        scores: dict[str, Any] = dict(score_all(Artifact(Path(artifact_path)), dict(loaded)))
        np.savez(outputs_path, **scores)
