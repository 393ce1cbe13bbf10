"""Exported LiteRT and ONNX models in their own runtimes: clips of a fixed length → named arrays. No TensorFlow.

`ganad export --format` writes them to `exported_models/<name>.<format>/<version>/`, with `ganad.json` beside them.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.config.sections import Audio
from ganad_tf.errors import ConfigError, DataError, InputError
from ganad_tf.serving.models import audio_format, metadata
from ganad_tf.serving.predict.excerpts import Excerpt, excerpts
from ganad_tf.serving.predict.predictions import Prediction, no_p_values

ONNX, LITERT = "model.onnx", "model.tflite"
METADATA = "ganad.json"

Runtime = Callable[[np.ndarray], dict[str, np.ndarray]]  # `[batch, samples]` → outputs by name


class EdgeModel:
    """An exported LiteRT or ONNX model.

    Args:
      path: `model.onnx` or `model.tflite`, with `ganad.json` beside it.

    Attributes:
      audio: Audio settings of its clips.
      samples: Length of a clip; the model takes no other.
      batch: Number of clips per call; None for any number.
      n_recordings: Number of normal recordings that p-values count; 0 without p-values.
      unit: `recordings`, or `clips` if each of them is one.

    Raises:
      ConfigError: If its runtime is not installed.
      DataError: If the file or `ganad.json` can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        model_metadata = metadata.read(path.with_name(METADATA), _check_metadata)
        self.audio = Audio(**model_metadata["config"]["audio"])
        self.samples: int = model_metadata["samples"]
        self.batch: int | None = model_metadata["batch"]
        thresholds = model_metadata.get("threshold", {})
        n_scores = int(thresholds.get("n_calibration_scores", 0))
        self.n_recordings = int(thresholds.get("n_calibration_recordings", n_scores))  # earlier ones counted clips
        self.unit = "clips" if self.n_recordings == n_scores else "recordings"
        try:
            self._run = load(path)
            self(np.zeros(self.samples, np.float32))  # a model that loads may still fail in its first call
        except ModuleNotFoundError as error:
            extra = "onnx" if path.suffix == ".onnx" else "litert"
            raise ConfigError(
                f"{path} needs {error.name}; install the extra: pip install 'ganad_tf[{extra}]'."
            ) from error
        except Exception as error:  # every runtime has its own exception types
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"The exported model {path} can't be loaded ({reason}); export it again.") from error

    def __call__(self, clip: np.ndarray) -> dict[str, np.ndarray]:
        """Scores one clip `[samples]`; returns scalars by name.

        Raises:
          DataError: If the clip has another length.
        """
        if clip.shape != (self.samples,):
            rate = self.audio.sample_rate
            raise DataError(
                f"expected a clip of {self.samples} samples ({self.samples / rate:.6g} s), for which the model was "
                f"exported. Received: {len(clip)} samples ({len(clip) / rate:.6g} s)."
            )
        outputs = self._run(np.repeat(clip[np.newaxis], self.batch or 1, axis=0))
        return {name: values[0] for name, values in outputs.items()}


def find(path: Path) -> Path | None:
    """LiteRT or ONNX file at `path`, in it, or in its newest version; None if there is none."""
    if path.suffix in (".onnx", ".tflite") and path.is_file():
        return path
    numbered = [folder for folder in path.glob("*") if re.fullmatch(r"0|[1-9]\d{0,17}", folder.name, re.ASCII)]
    folders = [path, *sorted(numbered, key=lambda folder: -int(folder.name))]
    files = (folder / name for folder in folders for name in (ONNX, LITERT))
    return next((file for file in files if file.is_file()), None)


def predict(
    model: EdgeModel, paths: Sequence[Path], false_alarms: float | None = None
) -> Iterator[Prediction | DataError]:
    """Scores files, read with the audio settings of training.

    Args:
      model: Loaded model.
      paths: Audio files in any format that `ganad prepare` reads, of the length that the model takes.
      false_alarms: The rate at or below which a p-value is that of an anomaly; None for the threshold of the export.

    Yields:
      One per clip, in order: its prediction, or the error that prevented it.

    Raises:
      DataError: If the model lacks the p-values that a rate needs.
      InputError: If the rate is lower than the model allows.
    """
    if false_alarms is not None:
        _check_rate(model, false_alarms)
    for clip in excerpts(paths, model.audio):
        prediction = clip if isinstance(clip, DataError) else _predict_one(model, clip)
        if false_alarms is not None and isinstance(prediction, Prediction):
            prediction = prediction.decided_at(false_alarms)
        yield prediction


def load(path: Path) -> Runtime:
    """Loads a model file in its own runtime: `[batch, samples]` → outputs by name."""
    return _load_onnx(path) if path.suffix == ".onnx" else _load_litert(path)


def _load_onnx(path: Path) -> Runtime:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda waveform: dict(zip(names, session.run(None, {"waveform": waveform}), strict=True))


def _load_litert(path: Path) -> Runtime:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=os.fspath(path)).get_signature_runner()
    return lambda waveform: dict(runner(waveform=waveform))


def _check_rate(model: EdgeModel, false_alarms: float) -> None:
    if not model.n_recordings:
        raise no_p_values(model.path)
    n_ranks = model.n_recordings + 1
    if np.float32(false_alarms) < np.float32(1 / n_ranks):
        raise InputError(
            f"--false-alarms: expected rates below 1 and at least 1/{n_ranks}, which {n_ranks - 1} normal "
            f"{model.unit} allow, received {false_alarms}."
        )


def _predict_one(model: EdgeModel, clip: Excerpt) -> Prediction | DataError:
    try:
        waveform = audio_format.read_clip(clip.path, model.audio.of_channel(clip.channel), span=clip.span)
    except DataError as error:
        return error
    try:
        outputs = model(waveform)
    except DataError as error:
        return DataError(f"{clip}: {error}")
    return Prediction.from_outputs(clip, outputs)


def _check_metadata(entries: dict[str, Any]) -> None:
    batch, samples = entries["batch"], entries["samples"]
    if not (isinstance(samples, int) and (batch is None or isinstance(batch, int))):
        raise TypeError(f"batch {batch!r}, samples {samples!r}")
