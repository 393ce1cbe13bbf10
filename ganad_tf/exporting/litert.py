"""A fixed graph → LiteRT (TensorFlow Lite), in float32 or with 8-bit dense layers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from ganad_tf.serving.predict import edge

FILE = edge.LITERT
load = edge.load


def convert(function: Any, path: Path, calibration: Sequence[np.ndarray] = ()) -> None:
    """Writes the model.

    Args:
      function: Concrete, of one fixed `waveform` `[batch, samples]`.
      path: Where it goes.
      calibration: Normal clips of that shape, by which the ranges of 8-bit values are set; none for float32.
    """
    exact = _converter(function).convert()
    path.write_bytes(_in_8_bits(_converter(function), exact, calibration) if calibration else exact)


def _converter(function: Any) -> Any:
    module = tf.Module()
    module.score_waveform = function
    return tf.lite.TFLiteConverter.from_concrete_functions([function], module)


def _in_8_bits(converter: Any, exact: bytes, calibration: Sequence[np.ndarray]) -> bytes:
    """The dense layers in 8 bits; features and densities stay in float32, for they span too many decades."""
    tensors = Interpreter(model_content=exact).get_tensor_details()
    kept = sorted({tensor["name"] for tensor in tensors if "dense" not in tensor["name"]})
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"waveform": clips} for clips in calibration)
    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter,
        debug_dataset=lambda: ([clips] for clips in calibration[:1]),
        # Operations with several outputs are not known by the names of these.
        debug_options=tf.lite.experimental.QuantizationDebugOptions(
            denylisted_nodes=kept, denylisted_ops=["SPLIT", "TOPK_V2", "UNPACK"]
        ),
    )
    return bytes(debugger.get_nondebug_quantized_model())
