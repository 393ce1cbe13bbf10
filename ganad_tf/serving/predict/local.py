"""Files → predictions of an exported model in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ganad_tf import audio
from ganad_tf.errors import DataError, InputError
from ganad_tf.features import memory
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.predict.predictions import Prediction


def predict(model: Path, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Scores files, read as the model's training clips were.

    Args:
      model: The folder of a version, or of a model.
      paths: Audio files in any format that `ganad prepare` reads.

    Yields:
      One for each file, in order: its score and decision, or why there is none.

    Raises:
      DataError: If there is no model, or it can't be used.
    """
    artifact = Artifact(model)
    for path in paths:
        yield _predict_one(artifact, path)


def _predict_one(artifact: Artifact, path: Path) -> Prediction | DataError:
    try:
        with memory.enough_for(path):
            waveform = audio.read(
                path,
                artifact.audio,
                fewest_samples=artifact.fewest_samples,
                longest_seconds=artifact.longest_seconds,
            )
            outputs = artifact.score(memory.tensor_of(waveform))
    except DataError as error:
        return error
    except InputError as error:
        return DataError(f"{path}: {str(error).removeprefix('waveform: ')}")
    score, is_anomaly, threshold = (outputs[name][0] for name in ("anomaly_score", "is_anomaly", "threshold"))
    return Prediction(str(path), float(score), bool(is_anomaly), float(threshold))
