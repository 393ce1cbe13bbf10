"""How an exported model wants its clips read, as it says itself, and recordings read so. No TensorFlow here.

A server knows nothing of files but 16-bit WAV, and a client nothing of the model but its address: the signature
`audio_format` tells sample rate, channel and the other settings under which the training clips were read, so that
`audio.read` reads a client's files as it read those.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import audio
from ganad_tf.config.input_sections import Audio
from ganad_tf.errors import DataError
from ganad_tf.serving.models import wav

SIGNATURE = "audio_format"
INPUT = "request"  # `[batch]` of any numbers; each is answered by the same values
MEAN = -1  # stands for the mean of all channels
FULL_SCALE = 2**15


@dataclass(frozen=True)
class AudioFormat:
    """How a model's clips are read, and samples of the shortest one and of the longest one; None for no limit."""

    audio: Audio
    fewest_samples: int
    longest_samples: int | None = None

    def as_numbers(self) -> dict[str, float | bool]:
        """What the signature `audio_format` returns, by name."""
        return {
            "sample_rate_hz": float(self.audio.sample_rate),
            "channel": float(MEAN if self.audio.channel == "mean" else self.audio.channel),
            "resample": self.audio.resample,
            "reads_unknown_length": self.audio.unknown_length == "read",
            "fewest_samples": float(self.fewest_samples),
            "longest_samples": float(self.longest_samples or 0),
        }


def ask_for(ask: Callable[[str, Mapping[str, np.ndarray]], Mapping[str, Any]]) -> AudioFormat:
    """Asks a server's model how its clips are read.

    Args:
      ask: Takes a signature and its inputs by name, and returns outputs by name.

    Raises:
      DataError: If there is no answer, or the model was exported before models could say it.
    """
    try:
        answer = ask(SIGNATURE, {INPUT: np.zeros(1, np.float32)})
    except DataError as error:
        if SIGNATURE not in str(error):
            raise
        raise DataError(
            f"The model has no signature `{SIGNATURE}`, which says how its clips are to be read: export it again, or "
            "give `ganad predict` the model's folder instead of a URL."
        ) from error
    try:
        rate, channel = (int(answer[name][0]) for name in ("sample_rate_hz", "channel"))
        fewest, longest = (int(answer[name][0]) for name in ("fewest_samples", "longest_samples"))
        resample, reads_unknown = (bool(answer[name][0]) for name in ("resample", "reads_unknown_length"))
        settings = Audio(rate, "mean" if channel == MEAN else channel, resample, "read" if reads_unknown else "refuse")
    except (LookupError, TypeError, ValueError) as error:
        raise DataError("The server's model does not answer as one made by `ganad export` does.") from error
    return AudioFormat(settings, fewest, longest or None)


def request_for(path: Path, wanted: AudioFormat) -> tuple[str, dict[str, np.ndarray]]:
    """A file as a model's signature and its input.

    As a 16-bit WAV file where that has every digit of the samples, as numbers otherwise.

    Raises:
      DataError: If the file can't be read, with the same words as in process.
    """
    longest = wanted.longest_samples and wanted.longest_samples / wanted.audio.sample_rate
    waveform = audio.read(path, wanted.audio, fewest_samples=wanted.fewest_samples, longest_seconds=longest)
    with np.errstate(invalid="ignore"):  # what is beyond 16 bits comes out as another number
        scaled = waveform * np.float32(FULL_SCALE)
        in_16_bits = scaled.astype(np.int16)
    if np.array_equal(scaled, in_16_bits):
        file = wav.encode(in_16_bits, wanted.audio.sample_rate)
        return "score_wav", {"wav_bytes": np.array([file, None], dtype=object)[:1]}
    return "score_waveform", {"waveform": waveform[np.newaxis]}
