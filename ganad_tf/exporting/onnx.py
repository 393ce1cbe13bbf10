"""A fixed graph → ONNX, for a fixed number of clips or for any."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.compose
import onnxruntime  # noqa: F401  # needed to verify the export; whoever lacks it is told before the work
import tensorflow as tf
import tf2onnx

from ganad_tf.serving.predict import edge

FILE = edge.ONNX
OPSET = 18
FLOAT = onnx.TensorProto.FLOAT
load = edge.load


def convert(function: Any, path: Path) -> None:
    """Writes the model of a concrete function of one fixed `waveform` `[batch, samples]`."""
    onnx.save(_converted(function), str(path))


def convert_for_any_batch(function: Any, path: Path) -> None:
    """Writes the model of a concrete function of one clip, `waveform` `[1, samples]`, for any number of clips."""
    onnx.save(_over_batch(_converted(function)), str(path))


def _converted(function: Any) -> onnx.ModelProto:
    spec = list(function.structured_input_signature[1].values() or function.structured_input_signature[0])
    whole = tf.function(lambda waveform: function(waveform=waveform))
    model, _ = tf2onnx.convert.from_function(whole, input_signature=spec, opset=OPSET)
    return model


def _over_batch(model: onnx.ModelProto) -> onnx.ModelProto:
    """The operator Scan around a graph: each clip by itself, the results one below the other."""
    names = [output.name for output in model.graph.output]
    inner = onnx.compose.add_prefix(model, "clip/").graph  # its names may not be those of the graph around it
    waveform = inner.input[0]
    dims = [size.dim_value for size in waveform.type.tensor_type.shape.dim]
    clip = onnx.helper.make_tensor_value_info("clip", FLOAT, dims[1:])
    shape = onnx.numpy_helper.from_array(np.array(dims, np.int64), "clip/shape")
    nodes = [onnx.helper.make_node("Reshape", [clip.name, shape.name], [waveform.name]), *inner.node]
    scalars, of_batch = [], []
    for name, output in zip(names, inner.output, strict=True):  # [1] → a scalar, of which Scan makes [batch]
        kind = output.type.tensor_type.elem_type
        scalars.append(onnx.helper.make_tensor_value_info(f"{output.name}/scalar", kind, []))
        nodes.append(onnx.helper.make_node("Squeeze", [output.name], [scalars[-1].name]))
        of_batch.append(onnx.helper.make_tensor_value_info(name, kind, ["batch"]))
    body = onnx.helper.make_graph(nodes, "score_clip", [clip], scalars, [*inner.initializer, shape])
    clips = onnx.helper.make_tensor_value_info("waveform", FLOAT, ["batch", *dims[1:]])
    scan = onnx.helper.make_node("Scan", [clips.name], names, body=body, num_scan_inputs=1)
    graph = onnx.helper.make_graph([scan], model.graph.name, [clips], of_batch)
    whole = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    onnx.checker.check_model(whole)
    return whole
