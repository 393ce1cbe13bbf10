"""An exported SavedModel in this process: named NumPy arrays in, named NumPy arrays out."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError, InputError
from ganad_tf.files import checksummed
from ganad_tf.findings.healthy import Healthy
from ganad_tf.serving.models import metadata, wav
from ganad_tf.serving.models.signature import FALSE_ALARMS, MACHINE, MACHINE_ID, Field, Signature, find_signature
from ganad_tf.serving.models.versions import HEALTHY, METADATA, newest

DECIDE = "decide_waveform"  # signature of models with p-values

# The messages of the graph's own checks, and the text that TensorFlow puts around them.
_ASSERTION = re.compile(r"assertion failed: (.*?)(?:\n|$)")
_WORD = re.compile(r"\[([^\]]*)\]")
_AROUND = re.compile(r".*<stack traces unavailable>|^Graph execution error:|\[\[.*|\{\{.*|\[Op:.*", re.DOTALL)


class Artifact:
    """One version of a model made by `ganad export`.

    Args:
      path: Folder of a version, or of a model, whose newest version is loaded.

    Attributes:
      directory: Folder of the version.
      metadata: Content of `assets.extra/ganad.json`.
      audio: Audio settings of its clips: sample rate, channel, resampling.
      fewest_samples: Minimum length of a clip.
      longest_seconds: Maximum length of a clip; None without a limit.
      machine_ids: Machine IDs of which it scores clips; none if it needs none.
      machines: Machines of a fleet; none if it is the model of one machine.
      signatures: Callable signatures by name.

    Raises:
      DataError: If there is no model, it can't be loaded, or it was not made by `ganad export`.
    """

    def __init__(self, path: Path) -> None:
        self.directory = newest(path)
        self.metadata = metadata.read(self.directory / METADATA, _check_metadata)
        self.audio = Audio(**self.metadata["config"]["audio"])
        self.fewest_samples = int(self.metadata["input"]["fewest_samples"])
        self.machine_ids: list[str] = self.metadata["input"].get("machine_ids", [])
        self.machines: list[str] = self.metadata["input"].get("machines", [])
        longest = self.metadata["input"].get("longest_samples")
        self.longest_seconds = longest and int(longest) / self.audio.sample_rate
        try:
            self._loaded = tf.saved_model.load(str(self.directory))  # owns the variables
        except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
            reason = " ".join(str(error).split())[:200]
            raise DataError(
                f"The exported model in {self.directory} can't be loaded ({reason}); export it again."
            ) from error
        self.signatures = {name: _signature(function) for name, function in self._loaded.signatures.items()}

    def about(self) -> dict[str, str | float | None]:
        """Package version, export date, machine type and threshold of `ganad.json`."""
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
          InputError: If the signature does not exist, or the inputs do not fit it; names the field.
        """
        find_signature(self.signatures, signature).check(inputs)
        if self.longest_seconds is not None and "wav_bytes" in inputs:  # to name the file, which the graph can't
            wav.check_length(inputs["wav_bytes"], self.longest_seconds)
        return self._call(signature, {name: tf.constant(value) for name, value in inputs.items()})

    def score(
        self,
        waveform: tf.Tensor,
        false_alarms: float | None = None,
        machine_id: str | None = None,
        machine: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Scores one clip `[samples]` float32 without copying it; outputs of `score_waveform`.

        Args:
          waveform: The clip.
          false_alarms: The rate that sets the threshold; None for the threshold of the export. The model has the
            signature `decide_waveform` if it allows any.
          machine_id: One of `machine_ids`, if there are any.
          machine: One of `machines`, if there are any.

        Raises:
          InputError: If the clip, or the rate, does not fit the signature.
        """
        clips = {"waveform": waveform[tf.newaxis], **self._of_machine(machine_id)}
        if self.machines:
            clips[MACHINE] = tf.constant([machine])
        if false_alarms is None:
            return self._call("score_waveform", clips)
        return self._call(DECIDE, {**clips, FALSE_ALARMS: tf.constant([false_alarms], tf.float32)})

    def log_mel(self, waveform: tf.Tensor, machine_id: str | None = None) -> np.ndarray:
        """Log-mel `[frames, mels]` in dB of one clip `[samples]` float32, by the signature `explain`."""
        inputs = {"waveform": waveform[tf.newaxis], **self._of_machine(machine_id)}
        return self._call("explain", inputs)["log_mel"][0]

    def healthy(self) -> Healthy:
        """Sound of the healthy machine, from `assets.extra/healthy.json`.

        Raises:
          DataError: If it is missing or can't be read.
        """
        if "explain" not in self.signatures:
            raise DataError(
                f"Expected a model of log-mels in {self.directory} for --explain. Received: one of embeddings, for "
                "which there are no words."
            )
        path = self.directory / HEALTHY
        try:
            return Healthy.load(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                f"Expected {path} with the sound of the healthy machine, which --explain needs, but there is none: the "
                "detector had fewer than 3 normal training clips, or an earlier version exported it; run `ganad train` "
                "and `ganad export` again."
            ) from error
        except checksummed.READ_ERRORS as error:
            raise DataError(f"{path} can't be read ({error}); export the model again.") from error

    def _of_machine(self, machine_id: str | None) -> dict[str, tf.Tensor]:
        """The input `machine_id` of one clip, if the model needs it."""
        return {MACHINE_ID: tf.constant([machine_id])} if self.machine_ids else {}

    def _call(self, signature: str, inputs: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
        try:
            outputs = self._loaded.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise InputError(_sentence(str(error), _clips_of(inputs))) from error
        except UnicodeDecodeError as error:  # TensorFlow's message quotes bytes that are not UTF-8
            raise InputError(f"{_clips_of(inputs)}: expected 16-bit PCM WAV files.") from error
        return {name: value.numpy() for name, value in outputs.items()}


def _check_metadata(entries: dict[str, Any]) -> None:
    int(entries["input"]["fewest_samples"])
    int(entries["input"].get("longest_samples", 0))


def _signature(function: Any) -> Signature:
    inputs = {name: _field(spec) for name, spec in function.structured_input_signature[1].items()}
    return Signature(inputs, {name: _field(spec) for name, spec in function.structured_outputs.items()})


def _field(spec: tf.TensorSpec) -> Field:
    return Field(np.dtype(spec.dtype.as_numpy_dtype), tuple(spec.shape.as_list()))


def _clips_of(inputs: Iterable[str]) -> str:
    """Name of the input that holds the clips."""
    return next(name for name in inputs if name not in (FALSE_ALARMS, MACHINE, MACHINE_ID))


def _sentence(message: str, name: str) -> str:
    """Message of the graph's own check, or else TensorFlow's message after the field's name."""
    assertion = _ASSERTION.search(message)
    if assertion:
        return " ".join(_WORD.findall(assertion[1])) + "."
    return f"{name}: {' '.join(_AROUND.sub('', message).split()).rstrip('.')}."
