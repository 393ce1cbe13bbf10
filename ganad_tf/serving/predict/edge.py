"""Models for small boards in their own runtimes: clips of a fixed length → named NumPy arrays. No TensorFlow here.

`ganad export --format` writes them to `exported_models/<name>.<format>/<version>/`, with `ganad.json` beside.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import audio
from ganad_tf.config.input_sections import Audio
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.serving.predict.predictions import Prediction

ONNX, LITERT = "model.onnx", "model.tflite"
METADATA = "ganad.json"

Run = Callable[[np.ndarray], dict[str, np.ndarray]]  # `[batch, samples]` → the outputs by name


class EdgeModel:
    """One exported model file.

    Args:
      path: `model.onnx` or `model.tflite`, with `ganad.json` beside it.

    Attributes:
      audio: How its clips were read.
      samples: Of a clip; the model takes no other length.
      batch: Clips that it takes at a time; None for any number.

    Raises:
      ConfigError: If its runtime is not installed.
      DataError: If the file or `ganad.json` can't be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        metadata = _metadata(path.with_name(METADATA))
        self.audio = Audio(**metadata["config"]["audio"])
        self.samples: int = metadata["samples"]
        self.batch: int | None = metadata["batch"]
        try:
            self._run = load(path)
            self(np.zeros(self.samples, np.float32))  # the first call tells whether it can be used
        except ModuleNotFoundError as error:
            extra = "onnx" if path.suffix == ".onnx" else "litert"
            raise ConfigError(
                f"{path} needs {error.name}; install the extra: pip install 'ganad_tf[{extra}]'."
            ) from error
        except Exception as error:  # each runtime has errors of its own
            reason = " ".join(str(error).split())[:200]
            raise DataError(f"The exported model {path} can't be loaded ({reason}); export it again.") from error

    def __call__(self, clip: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs of one clip `[samples]`, each a scalar.

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
    """The file of a model for small boards: `path` itself, in it, or in its newest version; None if there is none."""
    if path.suffix in (".onnx", ".tflite") and path.is_file():
        return path
    numbered = [folder for folder in path.glob("*") if re.fullmatch(r"0|[1-9]\d{0,17}", folder.name, re.ASCII)]
    folders = [path, *sorted(numbered, key=lambda folder: -int(folder.name))]
    files = (folder / name for folder in folders for name in (ONNX, LITERT))
    return next((file for file in files if file.is_file()), None)


def predict(model: EdgeModel, clips: Sequence[Path]) -> Iterator[Prediction | DataError]:
    """Scores files, read as the model's training clips were.

    Args:
      model: A loaded one.
      clips: Audio files in any format that `ganad prepare` reads, of the length that the model takes.

    Yields:
      One for each file, in order: its score and decision, or why there is none.
    """
    for clip in clips:
        yield _predict_one(model, clip)


def load(path: Path) -> Run:
    """A model file in its own runtime: `[batch, samples]` → the outputs by name."""
    return _load_onnx(path) if path.suffix == ".onnx" else _load_litert(path)


def _load_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda waveform: dict(zip(names, session.run(None, {"waveform": waveform}), strict=True))


def _load_litert(path: Path) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    runner = Interpreter(model_path=os.fspath(path)).get_signature_runner()
    return lambda waveform: dict(runner(waveform=waveform))


def _predict_one(model: EdgeModel, path: Path) -> Prediction | DataError:
    try:
        waveform = audio.read(path, model.audio)
    except DataError as error:
        return error
    try:
        outputs = model(waveform)
    except DataError as error:
        return DataError(f"{path}: {error}")
    score, is_anomaly, threshold = (outputs[name] for name in ("anomaly_score", "is_anomaly", "threshold"))
    return Prediction(str(path), float(score), bool(is_anomaly), float(threshold))


def _metadata(path: Path) -> dict[str, Any]:
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        Audio(**metadata["config"]["audio"])
        batch, samples = metadata["batch"], metadata["samples"]
        if not (isinstance(samples, int) and (batch is None or isinstance(batch, int))):
            raise TypeError(f"batch {batch!r}, samples {samples!r}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"Expected {path} as `ganad export` writes it, but it can't be read ({reason}).") from error
    return dict(metadata)
