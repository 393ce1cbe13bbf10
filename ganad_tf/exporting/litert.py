"""Concrete function → LiteRT (TensorFlow Lite) model, in float32 or with 8-bit dense layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from ganad_tf.errors import ExportError
from ganad_tf.serving.predict import edge

FILE = edge.LITERT
load = edge.load


def convert(function: Any, path: Path, calibration: Sequence[np.ndarray] = ()) -> None:
    """Converts a function and writes the model.

    Args:
      function: Concrete function of `waveform` `[batch, samples]`, both sizes fixed.
      path: File to write.
      calibration: Normal clips of that shape, which set the ranges of 8-bit values; empty for float32.

    Raises:
      ExportError: If there are no dense layers that 8 bits could be for.
    """
    exact = _converter(function).convert()
    path.write_bytes(_quantize(_converter(function), exact, calibration) if calibration else exact)


def _converter(function: Any) -> Any:
    module = tf.Module()
    module.score_waveform = function
    module.owned = list(function.variables)  # those of frozen networks; all others are constants
    return tf.lite.TFLiteConverter.from_concrete_functions([function], module)


def _quantize(converter: Any, exact: bytes, calibration: Sequence[np.ndarray]) -> bytes:
    """Quantizes the dense layers to 8 bits; features and densities span too many decades and stay in float32."""
    names = {tensor["name"] for tensor in Interpreter(model_content=exact).get_tensor_details()}
    kept = sorted(name for name in names if "dense" not in name)
    if len(kept) == len(names):
        raise ExportError(
            "Expected a network with dense layers for --format litert-int8, which has these in 8 bits, but the scores "
            "depend on none; export it with --format litert."
        )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"waveform": clips} for clips in calibration)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=lambda: ([clips] for clips in calibration[:1]),
        # Operations with several outputs can't be denied by the names of their outputs.
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=kept, denylisted_ops=["SPLIT", "TOPK_V2", "UNPACK"]
        ),
    )
    return bytes(debugger.get_nondebug_quantized_model())
