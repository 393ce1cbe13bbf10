"""A fixed graph → ONNX."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf
import tf2onnx

FILE = "model.onnx"
OPSET = 18


def convert(function: Any, path: Path) -> None:
    """Writes the model of a concrete function of one fixed `waveform` `[batch, samples]`."""
    spec = list(function.structured_input_signature[1].values() or function.structured_input_signature[0])
    whole = tf.function(lambda waveform: function(waveform=waveform))
    tf2onnx.convert.from_function(whole, input_signature=spec, opset=OPSET, output_path=str(path))


def load(path: Path) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    """The model in its own runtime: `[batch, samples]` → the outputs by name."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda waveform: dict(zip(names, session.run(None, {"waveform": waveform}), strict=True))
