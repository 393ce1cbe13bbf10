"""Warm-up: the slow first call of each signature, before a client waits for it."""

import numpy as np

from ganad_tf.config.sections import Feature
from ganad_tf.errors import DataError, InputError
from ganad_tf.recording_check import NOT_JUDGED
from ganad_tf.serving.models import audio_format, wav
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.models.signature import FALSE_ALARMS, MACHINE, MACHINE_ID

NEEDED = ("score_waveform", "score_wav")


def warm(artifact: Artifact) -> None:
    """Calls every signature once with a second of silence, or the nearest length that the model takes.

    Raises:
      DataError: If the model lacks a signature or does not return one score per clip.
    """
    refusal = f"{artifact.directory} does not score like a model made by `ganad export`"
    rate, fewest = artifact.audio.sample_rate, artifact.fewest_samples
    longest = artifact.metadata["input"].get("longest_samples") or rate
    waveform = np.zeros([1, max(fewest, min(rate, longest))], np.float32)
    inputs = {
        "waveform": waveform,
        "wav_bytes": np.array([wav.encode(waveform[0], rate)], dtype=object),
        audio_format.INPUT: np.zeros(1, np.float32),
        MACHINE_ID: np.array([name.encode() for name in artifact.machine_ids[:1]], dtype=object),
        MACHINE: np.array([name.encode() for name in artifact.machines[:1]], dtype=object),
        FALSE_ALARMS: np.full(1, 0.5, np.float32),  # a rate that any number of normal clips allows
    }
    if "explain" not in artifact.signatures:  # which returns the log-mel that `score_frames` takes
        inputs["log_mel"] = _quiet_log_mel(artifact, waveform.shape[1])
    if not set(NEEDED) <= artifact.signatures.keys():
        raise DataError(f"{refusal}: expected the signatures {' and '.join(NEEDED)}.")
    by_input = sorted(artifact.signatures.items(), key=lambda item: "log_mel" in item[1].inputs)
    for name, signature in by_input:
        if not signature.inputs.keys() <= inputs.keys():
            raise DataError(f"{refusal}: {name} takes {', '.join(signature.inputs)}.")
        try:
            outputs = artifact(name, {key: inputs[key] for key in signature.inputs})
        except InputError as error:
            if NOT_JUDGED not in str(error):
                raise
            inputs.setdefault("log_mel", _quiet_log_mel(artifact, waveform.shape[1]))  # to reach the network
            continue
        if "anomaly_score" in signature.outputs and outputs["anomaly_score"].shape != (1,):
            raise DataError(f"{refusal}: {name} gave {outputs['anomaly_score'].shape} scores for one clip.")
        inputs |= {key: outputs[key] for key in outputs.keys() & {"log_mel"}}


def _quiet_log_mel(artifact: Artifact, n_samples: int) -> np.ndarray:
    """A log-mel of one clip, `[1, frames, mels]`, of a model that does not judge silence or does not explain."""
    feature = Feature(**artifact.metadata["config"]["feature"])
    return np.zeros([1, 1 + n_samples // feature.hop_length, feature.bands], np.float32)
