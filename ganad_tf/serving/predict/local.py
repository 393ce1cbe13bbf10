"""Files → predictions by an exported SavedModel in this process."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError, InputError
from ganad_tf.features import memory
from ganad_tf.findings.explain import explain as explain_clip
from ganad_tf.findings.healthy import Healthy
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.artifact import DECIDE, Artifact
from ganad_tf.serving.predict.excerpts import Excerpt, excerpts
from ganad_tf.serving.predict.machine_ids import machine_of
from ganad_tf.serving.predict.predictions import Prediction, no_p_values, refused


def predict(
    model: Path,
    paths: Sequence[Path],
    *,
    explain: bool = False,
    false_alarms: float | None = None,
    machine_id: str | None = None,
    machine: str | None = None,
) -> Iterator[Prediction | DataError]:
    """Scores files, read with the audio settings of training.

    Args:
      model: Folder of a version, or of a model.
      paths: Audio files in any format that `ganad prepare` reads.
      explain: Whether anomalies are explained in words.
      false_alarms: The rate that sets the threshold; None for the threshold of the export.
      machine_id: The machine that the files are of, for models that need it; None for that in each file's name.
      machine: The machine of a fleet that the files are of.

    Yields:
      One per clip, in order: its prediction, or the error that prevented it.

    Raises:
      DataError: If there is no model, or it can't be loaded, or it lacks the healthy sound to explain anomalies by, or
        the p-values that a rate needs.
      InputError: If the rate is lower than the model allows, or the machine is unknown to it or not needed.
    """
    artifact = Artifact(model)
    if false_alarms is not None and DECIDE not in artifact.signatures:
        raise no_p_values(artifact.directory)
    if machine_id is not None and not artifact.machine_ids:
        raise InputError(
            f"--machine-id: not an input of {artifact.directory}, which needs none. Received: {machine_id}."
        )
    if artifact.machines and machine is None:
        raise InputError(f"--machine: expected a machine of the fleet {artifact.directory}. Received: none.")
    healthy = artifact.healthy() if explain else None
    score = partial(artifact.score, false_alarms=false_alarms, machine=machine)
    for clip in excerpts(paths, artifact.audio):
        if isinstance(clip, DataError):
            yield clip
        else:
            yield _predict_one(artifact, score, clip, healthy, machine_id)


def _predict_one(
    artifact: Artifact,
    score: Callable[..., dict[str, np.ndarray]],
    clip: Excerpt,
    healthy: Healthy | None,
    machine_id: str | None,
) -> Prediction | DataError:
    try:
        if artifact.machine_ids:
            machine_id = machine_of(clip.path, artifact.machine_ids, machine_id)
        with memory.enough_for(clip.path):
            waveform = audio_format.read_clip(
                clip.path,
                artifact.audio.of_channel(clip.channel),
                fewest_samples=artifact.fewest_samples,
                longest_seconds=artifact.longest_seconds,
                span=clip.span,
            )
            outputs = score(memory.as_tensor(waveform), machine_id=machine_id)
            prediction = Prediction.from_outputs(clip, outputs)
            if healthy is None or not prediction.is_anomaly:
                return prediction if healthy is None else prediction.explained(())
            log_mel = artifact.log_mel(memory.as_tensor(waveform), machine_id)
            return prediction.explained(explain_clip(healthy, log_mel, waveform))
    except DataError as error:
        return error
    except InputError as error:
        answer = refused(clip, str(error).removeprefix("waveform: "))
        return answer.explained(()) if healthy and isinstance(answer, Prediction) else answer
