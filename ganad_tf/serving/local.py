"""Files → predictions of an exported model in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ganad_tf import audio
from ganad_tf.errors import DataError, InputError
from ganad_tf.input_sections import Audio
from ganad_tf.serving.artifact import Artifact
from ganad_tf.serving.predictions import Prediction


def predict(model: Path, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Scores files, read as the model's training clips were.

    Args:
      model: The folder of a version, or of a model.
      paths: Audio files in any format that `ganad prepare` reads.

    Yields:
      One for each file, in order: its score and decision, or why there is none.

    Raises:
      DataError: If there is no model, or it is not one of ours.
    """
    artifact = Artifact(model)
    if not artifact.metadata:
        raise DataError(f"{artifact.directory} does not say how it wants to be fed; was it made by `ganad export`?")
    settings = Audio(**artifact.metadata["config"]["audio"])
    for path in paths:
        yield _predict_one(artifact, path, settings)


def _predict_one(artifact: Artifact, path: Path, settings: Audio) -> Prediction | DataError:
    try:
        outputs = artifact("score_waveform", {"waveform": audio.read(path, settings)[np.newaxis]})
    except DataError as error:
        return error
    except InputError as error:
        return DataError(f"{path}: {str(error).removeprefix('waveform: ')}")
    score, is_anomaly, threshold = (outputs[name][0] for name in ("anomaly_score", "is_anomaly", "threshold"))
    return Prediction(str(path), float(score), bool(is_anomaly), float(threshold))
