"""An exported model on disk, in this process: named NumPy arrays in, named NumPy arrays out."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.config.input_sections import Audio
from ganad_tf.errors import DataError, InputError
from ganad_tf.serving.models import wav
from ganad_tf.serving.models.signature import Field, Signature
from ganad_tf.serving.models.versions import METADATA, newest

# What the graph's own checks say, between the words that TensorFlow puts around it.
_ASSERTION = re.compile(r"assertion failed: (.*?)(?:\n|$)")
_WORD = re.compile(r"\[([^\]]*)\]")
_AROUND = re.compile(r".*<stack traces unavailable>|^Graph execution error:|\[\[.*|\{\{.*|\[Op:.*", re.DOTALL)


class Artifact:
    """One version of a model that `ganad export` made.

    Args:
      path: The folder of the version, or the model's, whose newest version is taken.

    Attributes:
      directory: The version's folder.
      metadata: What `assets.extra/ganad.json` holds.
      audio: How its clips were read: sample rate, channel, whether to resample.
      fewest_samples: Shorter clips are refused.
      longest_seconds: Longer clips are refused; None for an artifact without a limit.
      signatures: What can be called, by name.

    Raises:
      DataError: If there is no model, it can't be loaded, or `ganad export` did not make it.
    """

    def __init__(self, path: Path) -> None:
        self.directory = newest(path)
        self.metadata = _metadata(self.directory)
        self.audio = Audio(**self.metadata["config"]["audio"])
        self.fewest_samples = int(self.metadata["input"]["fewest_samples"])
        longest = self.metadata["input"].get("longest_samples")
        self.longest_seconds = longest and int(longest) / self.audio.sample_rate
        try:
            self._loaded = tf.saved_model.load(str(self.directory))  # kept: it owns the variables
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"The exported model in {self.directory} can't be loaded ({reason}); export it again."
            ) from error
        self.signatures = {name: _signature(function) for name, function in self._loaded.signatures.items()}

    def about(self) -> dict[str, str | float | None]:
        """Package, date of the export, machine type and threshold, as `ganad.json` has them."""
        package = self.metadata.get("versions", {}).get("ganad_tf")
        return {
            "package": f"ganad_tf {package}" if package else None,
            "exported": self.metadata.get("exported"),
            "machine": self.metadata.get("machine"),
            "threshold": self.metadata.get("threshold", {}).get("value"),
        }

    def __call__(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls one signature.

        Args:
          signature: One of `signatures`.
          inputs: Arrays by name; strings as arrays of `bytes` objects.

        Raises:
          InputError: If there is no such signature, or the inputs are not what it takes; names the field.
        """
        if signature not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise InputError(f"signature_name: expected one of {known}. Received: {signature!r}.")
        self.signatures[signature].check(inputs)
        if self.longest_seconds is not None and "wav_bytes" in inputs:  # the graph says the same, but not which file
            wav.check_length(inputs["wav_bytes"], self.longest_seconds)
        return self._called(signature, {name: tf.constant(value) for name, value in inputs.items()})

    def score(self, waveform: tf.Tensor) -> dict[str, np.ndarray]:
        """What `score_waveform` makes of one clip, `[samples]` float32, without a copy of it.

        Raises:
          InputError: If it is not what the signature takes.
        """
        return self._called("score_waveform", {"waveform": waveform[tf.newaxis]})

    def _called(self, signature: str, inputs: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
        try:
            outputs = self._loaded.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise InputError(_sentence(str(error), min(inputs))) from error
        except UnicodeDecodeError as error:  # TensorFlow's message quotes bytes that are no text
            raise InputError(f"{min(inputs)}: expected 16-bit PCM WAV files.") from error
        return {name: value.numpy() for name, value in outputs.items()}


def _metadata(directory: Path) -> dict[str, Any]:
    path = directory / METADATA
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
        Audio(**metadata["config"]["audio"])
        int(metadata["input"]["fewest_samples"])
        int(metadata["input"].get("longest_samples", 0))
    except (OSError, ValueError, LookupError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"Expected {path} as `ganad export` writes it, but it can't be read ({reason}).") from error
    return dict(metadata)


def _signature(function: Any) -> Signature:
    inputs = {name: _field(spec) for name, spec in function.structured_input_signature[1].items()}
    return Signature(inputs, {name: _field(spec) for name, spec in function.structured_outputs.items()})


def _field(spec: tf.TensorSpec) -> Field:
    return Field(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape.as_list()))


def _sentence(message: str, name: str) -> str:
    """The graph's own sentence where one of its checks failed, TensorFlow's under the field's name otherwise."""
    own = _ASSERTION.search(message)
    if own:
        return " ".join(_WORD.findall(own[1])) + "."
    return f"{name}: {' '.join(_AROUND.sub('', message).split()).rstrip('.')}."
