"""A frozen network in a file that users have, as a function of one tensor: SavedModel, `.keras` or ONNX.

No weights come with this package. A network of TensorFlow becomes a part of exported models; one in ONNX is computed by
ONNX Runtime beside TensorFlow's graph, and can't be exported.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ganad_tf.keras_backend  # noqa: F401 - before Keras

# isort: split
import keras
import numpy as np
import tensorflow as tf

from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import checksummed, network_file

Shape = tuple[int | None, ...]

SIGNATURE = "serving_default"  # of a SavedModel that has several
FATAL = 4  # severity of a message of ONNX Runtime
_READ_ERRORS = (*checksummed.READ_ERRORS, tf.errors.OpError)


class FrozenNetwork(tf.Module):
    """A network that is never trained, from one tensor to one of its outputs.

    Args:
      call: The function, from a tensor like `spec`.
      spec: Type and shape of its input.
      variables: Owner of its weights, which belongs to every SavedModel that the network is a part of; None if
        TensorFlow does not compute it.
      sha256: Checksum of its file.

    Attributes:
      input_shape: Sizes of the input; None for sizes that vary.
      sha256: Checksum of its file.
    """

    def __init__(
        self, call: Callable[[tf.Tensor], tf.Tensor], spec: tf.TensorSpec, variables: Any, sha256: str
    ) -> None:
        super().__init__()
        self.input_shape: Shape = tuple(spec.shape.as_list())
        self.sha256 = sha256
        self._call, self._dtype, self._variables = call, spec.dtype, variables

    @property
    def is_in_graph(self) -> bool:
        """Whether TensorFlow computes it, so that it can be a part of an exported model."""
        return self._variables is not None

    def __call__(self, values: tf.Tensor) -> tf.Tensor:
        """Input of `input_shape` → output, float32."""
        return tf.cast(self._call(tf.cast(values, self._dtype)), tf.float32)


def load(path: str, output: str = "", sha256: str = "") -> FrozenNetwork:
    """Loads a network; one that was loaded before is not read again.

    Args:
      path: Folder of a SavedModel, or a `.keras` or `.onnx` file.
      output: Name of the output that is taken; empty for the only one.
      sha256: Checksum that it must have; empty for any.

    Raises:
      DataError: If there is no network, it has another checksum, or it can't be read.
      ConfigError: If it is in ONNX and ONNX Runtime is not installed.
      ValueError: If it has several inputs, none of floating-point numbers, or several outputs and `output` is none.
    """
    place = Path(path).expanduser()
    received = network_file.checksum(place)
    if sha256 not in ("", received):
        raise DataError(
            f"Expected the network that the detector was trained with in {place}, of SHA-256 {sha256[:12]}. "
            f"Received: another, of {received[:12]}; put that one back, or train again."
        )
    return _load(place, output, received)


def in_words(shape: Shape | None) -> str:
    """A shape for a message.

    >>> in_words((None, 16000))
    '[?, 16000]'
    """
    sizes = "..." if shape is None else ", ".join("?" if size is None else str(size) for size in shape)
    return f"[{sizes}]"


@dataclass(frozen=True)
class _Model:
    """A network as its library gives it.

    Attributes:
      call: Function of the name of the input, that of the output, and the input.
      inputs: Types and shapes by name.
      outputs: Shapes by name; None for an unknown rank.
      variables: As of `FrozenNetwork`.
    """

    call: Callable[[str, str, tf.Tensor], tf.Tensor]
    inputs: Mapping[str, tf.TensorSpec]
    outputs: Mapping[str, Shape | None]
    variables: Any


@functools.lru_cache(maxsize=4)
def _load(path: Path, output: str, sha256: str) -> FrozenNetwork:
    read = {"SavedModel": _saved_model, "Keras": _keras_model, "ONNX": _onnx_model}[network_file.form(path)]
    with tf.init_scope():  # not in the graph of whoever asks first
        model = read(path)
    if len(model.inputs) != 1:
        names = ", ".join(model.inputs) or "none"
        raise ValueError(f"Expected a network with one input in {path}. Received: {names}.")
    ((name, spec),) = model.inputs.items()
    if not spec.dtype.is_floating or spec.shape.rank is None:
        raise ValueError(
            f"Expected a network of floating-point numbers of known rank in {path}. Received: {spec.dtype.name}, "
            f"{spec.shape}."
        )
    if output not in model.outputs and (output or len(model.outputs) != 1):
        known = ", ".join(f"{name} {in_words(shape)}" for name, shape in sorted(model.outputs.items()))
        raise ValueError(f"Expected the name of an output of the network in {path}, {known}. Received: {output!r}.")
    chosen = output or next(iter(model.outputs))
    return FrozenNetwork(functools.partial(model.call, name, chosen), spec, model.variables, sha256)


def _saved_model(path: Path) -> _Model:
    """By its signature or, without any, by calling it."""
    try:
        loaded = tf.saved_model.load(str(path))
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    signatures = dict(loaded.signatures)
    if signatures:
        if SIGNATURE not in signatures and len(signatures) > 1:
            raise ValueError(f"Expected one signature, or `{SIGNATURE}`, in {path}. Received: {', '.join(signatures)}.")
        function = signatures.get(SIGNATURE) or next(iter(signatures.values()))
        inputs = function.structured_input_signature[1]
        return _Model(
            lambda name, output, values: function(**{name: values})[output], inputs, _shapes(function), loaded
        )
    traced: Sequence[Any] = getattr(loaded.__call__ if callable(loaded) else None, "concrete_functions", ())
    if len(traced) != 1:
        raise ValueError(f"Expected a SavedModel with a signature, or one that can be called in one way, in {path}.")
    given = tf.nest.flatten(traced[0].structured_input_signature)
    inputs = {spec.name: spec for spec in given if isinstance(spec, tf.TensorSpec)}
    return _Model(lambda _, output, values: _by_name(loaded(values))[output], inputs, _shapes(traced[0]), loaded)


def _keras_model(path: Path) -> _Model:
    try:
        network = keras.saving.load_model(path, compile=False)
    except _READ_ERRORS as error:
        raise _unreadable(path, error) from error
    if not getattr(network, "inputs", None):
        raise ValueError(f"Expected a functional or sequential network in {path}. Received: {type(network).__name__}.")
    outputs = _by_name(network.compute_output_spec(network.inputs[0])) if len(network.inputs) == 1 else {}
    return _Model(
        lambda _, output, values: _by_name(network(values, training=False))[output],
        {tensor.name: tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in network.inputs},
        {name: tuple(tensor.shape) for name, tensor in outputs.items()},
        [variable.value for variable in network.variables],
    )


def _onnx_model(path: Path) -> _Model:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"The network in {path} needs onnxruntime; install the extra: pip install 'ganad_tf[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # several clips are computed at the same time
    options.log_severity_level = FATAL  # errors are raised
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _unreadable(path, error) from error
    kinds = {"tensor(float)": tf.float32, "tensor(double)": tf.float64, "tensor(float16)": tf.float16}
    outputs = {one.name: _sizes(one) for one in session.get_outputs()}

    def call(name: str, output: str, values: tf.Tensor) -> tf.Tensor:
        def run(array: np.ndarray) -> np.ndarray:
            try:
                return np.asarray(session.run([output], {name: array})[0], np.float32)
            except Exception as error:  # ONNX Runtime's own errors have no common class
                raise ValueError(f"The network in {path} can't compute {array.shape}: {error}") from error

        return tf.ensure_shape(tf.numpy_function(run, [values], tf.float32, stateful=False), outputs[output])

    inputs = {one.name: tf.TensorSpec(_sizes(one), kinds.get(one.type, tf.string)) for one in session.get_inputs()}
    return _Model(call, inputs, outputs, None)


def _by_name(outputs: Any) -> Mapping[str, Any]:
    """Outputs by name; those of a tuple are `output_0` and so on, as in a signature."""
    if isinstance(outputs, Mapping):
        return outputs
    several = outputs if isinstance(outputs, Sequence) else [outputs]
    return {f"output_{number}": tensor for number, tensor in enumerate(several)}


def _shapes(function: Any) -> dict[str, Shape | None]:
    """Shapes of the outputs of a concrete function."""
    outputs = _by_name(function.structured_outputs).items()
    return {name: None if tensor.shape.rank is None else tuple(tensor.shape.as_list()) for name, tensor in outputs}


def _sizes(argument: Any) -> Shape:
    """Shape of an input or output in ONNX, where a size that varies has a name."""
    return tuple(size if isinstance(size, int) else None for size in argument.shape)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = " ".join(str(error).split())[:200]
    return DataError(f"The network in {path} can't be read ({reason}).")
