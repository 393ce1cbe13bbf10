"""Files → predictions by an exported SavedModel in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ganad_tf.errors import DataError, InputError
from ganad_tf.features import memory
from ganad_tf.findings.explain import explain as explain_clip
from ganad_tf.findings.finding import Finding
from ganad_tf.findings.healthy import Healthy
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.artifact import DECIDE, Artifact
from ganad_tf.serving.predict.predictions import Prediction, no_p_values, refused


def predict(
    model: Path, paths: Sequence[Path], *, explain: bool = False, false_alarms: float | None = None
) -> Iterator[Prediction | DataError]:
    """Scores files, read with the audio settings of training.

    Args:
      model: Folder of a version, or of a model.
      paths: Audio files in any format that `ganad prepare` reads.
      explain: Whether anomalies are explained in words.
      false_alarms: The rate that sets the threshold; None for the threshold of the export.

    Yields:
      One per file, in order: its prediction, or the error that prevented it.

    Raises:
      DataError: If there is no model, or it can't be loaded, or it lacks the healthy sound to explain anomalies by, or
        the p-values that a rate needs.
      InputError: If the rate is lower than the model allows.
    """
    artifact = Artifact(model)
    if false_alarms is not None and DECIDE not in artifact.signatures:
        raise no_p_values(artifact.directory)
    healthy = artifact.healthy() if explain else None
    for path in paths:
        yield _predict_one(artifact, path, healthy, false_alarms)


def _predict_one(
    artifact: Artifact, path: Path, healthy: Healthy | None, false_alarms: float | None
) -> Prediction | DataError:
    try:
        with memory.enough_for(path):
            waveform = audio_format.read_clip(
                path,
                artifact.audio,
                fewest_samples=artifact.fewest_samples,
                longest_seconds=artifact.longest_seconds,
            )
            prediction = Prediction.from_outputs(path, artifact.score(memory.as_tensor(waveform), false_alarms))
            if healthy is None:
                return prediction
            return prediction.explained(_explain(artifact, healthy, waveform) if prediction.is_anomaly else ())
    except DataError as error:
        return error
    except InputError as error:
        return refused(path, str(error).removeprefix("waveform: "))


def _explain(artifact: Artifact, healthy: Healthy, waveform: np.ndarray) -> list[Finding]:
    return explain_clip(healthy, artifact.log_mel(memory.as_tensor(waveform)), waveform)
