"""Concrete function → ONNX model, for a fixed or any number of clips."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnxruntime  # noqa: F401  # needed to verify the export; a missing package must fail before the conversion
import tensorflow as tf
import tf2onnx

from ganad_tf.serving.predict import edge

FILE = edge.ONNX
OPSET = 18
FLOAT = onnx.TensorProto.FLOAT
load = edge.load


def convert(function: Any, path: Path) -> None:
    """Converts a concrete function of `waveform` `[batch, samples]`, both sizes fixed."""
    onnx.save(_convert(function), str(path))


def convert_for_any_batch(function: Any, path: Path) -> None:
    """Converts a concrete function of one clip, `waveform` `[1, samples]`, to a model for any number of clips."""
    onnx.save(_scan_over_batch(_convert(function)), str(path))


def _convert(function: Any) -> onnx.ModelProto:
    spec = list(function.structured_input_signature[1].values() or function.structured_input_signature[0])
    wrapped = tf.function(lambda waveform: function(waveform=waveform), autograph=False)
    model, _ = tf2onnx.convert.from_function(wrapped, input_signature=spec, opset=OPSET)
    return model


def _scan_over_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """Wraps a graph for one clip in the operator Scan, which applies it to each clip of a batch."""
    names = [output.name for output in model.graph.output]
    inner = onnx.compose.add_prefix(model, "clip/").graph  # its names must differ from those of the outer graph
    waveform = inner.input[0]
    dims = [size.dim_value for size in waveform.type.tensor_type.shape.dim]
    clip = onnx.helper.make_tensor_value_info("clip", FLOAT, dims[1:])
    shape = onnx.numpy_helper.from_array(np.array(dims, np.int64), "clip/shape")
    nodes = [onnx.helper.make_node("Reshape", [clip.name, shape.name], [waveform.name]), *inner.node]
    scalars, batch_outputs = [], []
    for name, output in zip(names, inner.output, strict=True):  # [1] → scalar; Scan stacks scalars to [batch]
        kind = output.type.tensor_type.elem_type
        scalars.append(onnx.helper.make_tensor_value_info(f"{output.name}/scalar", kind, []))
        nodes.append(onnx.helper.make_node("Squeeze", [output.name], [scalars[-1].name]))
        batch_outputs.append(onnx.helper.make_tensor_value_info(name, kind, ["batch"]))
    body = onnx.helper.make_graph(nodes, "score_clip", [clip], scalars, [*inner.initializer, shape])
    clips = onnx.helper.make_tensor_value_info("waveform", FLOAT, ["batch", *dims[1:]])
    scan = onnx.helper.make_node("Scan", [clips.name], names, body=body, num_scan_inputs=1)
    graph = onnx.helper.make_graph([scan], model.graph.name, [clips], batch_outputs)
    outer = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(outer)
    return outer
