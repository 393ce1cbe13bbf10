"""The signature `audio_format`: audio settings of an exported model, for clients that read files. No TensorFlow.

A server accepts only 16-bit WAV files and arrays, and a client knows only the model's URL. From this signature it gets
the sample rate, the channel and the other audio settings of training, and reads its files with them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import audio
from ganad_tf.audio.reader import SAMPLE_RATE_REMEDY
from ganad_tf.clips import Span
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError
from ganad_tf.serving.models import wav

SIGNATURE = "audio_format"
INPUT = "request"  # `[batch]` of any numbers; the outputs repeat once per entry
# Channel numbers that stand for settings: the mean of all channels, and clips of one channel each.
NUMBER_OF = {"mean": -1, "all": -2}
FULL_SCALE = 2**15


@dataclass(frozen=True)
class AudioFormat:
    """Audio settings of a model and the minimum and maximum length of its clips.

    Attributes:
      audio: Sample rate, channel, resampling, and how longer recordings are cut.
      fewest_samples: Minimum length.
      longest_samples: Maximum length; None without a limit.
    """

    audio: Audio
    fewest_samples: int
    longest_samples: int | None = None

    def as_numbers(self) -> dict[str, float | bool]:
        """Outputs of the signature `audio_format` by name."""
        return {
            "sample_rate_hz": float(self.audio.sample_rate),
            "channel": float(NUMBER_OF.get(str(self.audio.channel), self.audio.channel)),
            "resample": self.audio.resample,
            "reads_unknown_length": self.audio.unknown_length == "read",
            "clip_seconds": float(self.audio.clip_seconds or 0),
            "clip_hop_seconds": float(self.audio.clip_hop_seconds or 0),
            "fewest_samples": float(self.fewest_samples),
            "longest_samples": float(self.longest_samples or 0),
        }


def fetch(ask: Callable[[str, Mapping[str, np.ndarray]], Mapping[str, Any]]) -> AudioFormat:
    """Fetches the audio format from a server's model.

    Args:
      ask: Calls a signature of the model: name and inputs → outputs.

    Raises:
      DataError: If there is no answer, or an older version without this signature exported the model.
    """
    try:
        answer = ask(SIGNATURE, {INPUT: np.zeros(1, np.float32)})
    except DataError as error:
        if SIGNATURE not in str(error):
            raise
        raise DataError(
            f"The model has no signature `{SIGNATURE}` with the sample rate and channel of its clips: export it again, "
            "or give `ganad predict` the model's folder instead of a URL."
        ) from error
    try:
        rate, channel = (int(answer[name][0]) for name in ("sample_rate_hz", "channel"))
        fewest, longest = (int(answer[name][0]) for name in ("fewest_samples", "longest_samples"))
        resample, reads_unknown = (bool(answer[name][0]) for name in ("resample", "reads_unknown_length"))
        choice: Any = {number: name for name, number in NUMBER_OF.items()}.get(channel, channel)
        # Models of earlier versions do not cut.
        clip, hop = (float(answer.get(name, [0.0])[0]) or None for name in ("clip_seconds", "clip_hop_seconds"))
        settings = Audio(rate, choice, resample, "read" if reads_unknown else "refuse", clip, hop)
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("The server's model does not answer like one made by `ganad export`.") from error
    return AudioFormat(settings, fewest, longest or None)


def read_clip(
    path: Path,
    settings: Audio,
    *,
    fewest_samples: int = 1,
    longest_seconds: float | None = None,
    span: Span | None = None,
) -> np.ndarray:
    """Reads a file, or a span of it, as `audio.read` does, with advice for users of a model with its settings.

    Returns:
      `[samples]` float32, nominally in [-1, 1].

    Raises:
      DataError: If the file can't be read or does not fit the settings.
    """
    try:
        return audio.read(path, settings, fewest_samples=fewest_samples, longest_seconds=longest_seconds, span=span)
    except DataError as error:
        if SAMPLE_RATE_REMEDY not in str(error):
            raise
        raise DataError(str(error).replace(SAMPLE_RATE_REMEDY, "convert it.")) from error


def read_request(path: Path, audio_format: AudioFormat, span: Span | None = None) -> tuple[str, dict[str, np.ndarray]]:
    """Reads a file, or a span of it, as the input of a signature; returns the signature's name and its inputs.

    The input is a 16-bit WAV file if that represents the samples exactly, and an array of floats otherwise.

    Raises:
      DataError: If the file can't be read, with the same message as in process.
    """
    longest = audio_format.longest_samples and audio_format.longest_samples / audio_format.audio.sample_rate
    bounds = {"fewest_samples": audio_format.fewest_samples, "longest_seconds": longest, "span": span}
    waveform = read_clip(path, audio_format.audio, **bounds)  # type: ignore[arg-type]
    with np.errstate(invalid="ignore"):  # values out of range are converted to a different number
        scaled = waveform * np.float32(FULL_SCALE)
        in_16_bits = scaled.astype(np.int16)
    if np.array_equal(scaled, in_16_bits):
        file = wav.encode(in_16_bits, audio_format.audio.sample_rate)
        return "score_wav", {"wav_bytes": np.array([file, None], dtype=object)[:1]}
    return "score_waveform", {"waveform": waveform[np.newaxis]}
