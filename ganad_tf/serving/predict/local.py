"""Files → predictions by an exported SavedModel in this process."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from ganad_tf.errors import DataError, InputError
from ganad_tf.features import memory
from ganad_tf.serving.models import audio_format
from ganad_tf.serving.models.artifact import Artifact
from ganad_tf.serving.predict.predictions import Prediction, refused


def predict(model: Path, paths: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Scores files, read with the audio settings of training.

    Args:
      model: Folder of a version, or of a model.
      paths: Audio files in any format that `ganad prepare` reads.

    Yields:
      One per file, in order: its prediction, or the error that prevented it.

    Raises:
      DataError: If there is no model, or it can't be loaded.
    """
    artifact = Artifact(model)
    for path in paths:
        yield _predict_one(artifact, path)


def _predict_one(artifact: Artifact, path: Path) -> Prediction | DataError:
    try:
        with memory.enough_for(path):
            waveform = audio_format.read_clip(
                path,
                artifact.audio,
                fewest_samples=artifact.fewest_samples,
                longest_seconds=artifact.longest_seconds,
            )
            outputs = artifact.score(memory.as_tensor(waveform))
    except DataError as error:
        return error
    except InputError as error:
        return refused(path, str(error).removeprefix("waveform: "))
    return Prediction.from_outputs(path, outputs)
