"""WAV files for exported models: complete 16-bit PCM with the canonical 44-byte header.

TensorFlow's decoder reads only that form. `to_canonical` converts any 16-bit PCM file to it and refuses all other
files with a reason.
"""

import io
import struct
from collections.abc import Iterable

import numpy as np
import soundfile

from ganad_tf.audio import containers
from ganad_tf.audio.containers import UnknownLength, riff
from ganad_tf.errors import DataError, InputError

SAMPLE_BYTES = 2
HEADER_BYTES = 44  # RIFF, a 16-byte `fmt ` chunk, and the head of `data`


def encode(waveform: np.ndarray, sample_rate: int) -> bytes:
    """Encodes `[samples]` or `[samples, channels]`, float in [-1, 1] or int16, as a 16-bit WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, waveform, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def to_canonical(file: bytes, name: str, unknown_length: UnknownLength = "read") -> bytes:
    """Rewrites a WAV file with the canonical header; refuses truncated files by the rules of `audio.read`.

    Args:
      file: RIFF, RIFX, RF64 or BW64, extensible or not, with any other chunks before and after its samples.
      name: Name of the file in messages.
      unknown_length: `read` accepts a header without a length and reads to the end of the file.

    Raises:
      InputError: If it is not a WAV file, not 16-bit PCM, truncated, longer than its header says, or without channels
        or sample rate.
    """
    stream = io.BytesIO(file)
    start = containers.after_tags(stream)
    if not riff.is_wave(file[start : start + 12]):
        raise InputError(
            f"{name}: expected a WAV file, which begins with RIFF and WAVE. Received: {len(file)} other bytes."
        )
    try:
        wave = riff.read_wave(stream, start, unknown_length)
    except DataError as error:
        raise InputError(f"{name}: {error}") from error
    if wave.kind != riff.PCM or (wave.bits + 7) // 8 != SAMPLE_BYTES:
        encoding = {riff.PCM: "PCM", riff.FLOAT: "floating point"}.get(wave.kind, f"format {wave.kind}")
        raise InputError(f"{name}: expected 16-bit PCM samples. Received: {wave.bits}-bit {encoding}.")
    block = wave.channels * SAMPLE_BYTES
    if block >= 2**16 or wave.rate * block >= 2**32:
        received = f"{wave.channels} channels, {wave.rate} Hz, {block} bytes per sample of all channels"
        raise InputError(f"{name}: expected a header that makes sense. Received: {received}.")
    samples = file[wave.start : wave.start + wave.size // block * block]
    if wave.order == ">":
        samples = np.frombuffer(samples, ">i2").astype("<i2").tobytes()
    fmt = struct.pack("<HHIIHH", riff.PCM, wave.channels, wave.rate, wave.rate * block, block, 8 * SAMPLE_BYTES)
    return riff.header(fmt, len(samples)) + samples


def check_length(files: Iterable[bytes], longest_seconds: float) -> None:
    """Refuses files that are too long, by their headers.

    Args:
      files: Files made by `to_canonical`; others are left to the decoder.
      longest_seconds: Maximum length.

    Raises:
      InputError: If a file is longer; names its index.
    """
    for number, file in enumerate(files):
        if len(file) >= HEADER_BYTES and file[36:40] == b"data" and seconds(file) > longest_seconds:
            raise InputError(f"wav_bytes[{number}]: {too_long(longest_seconds, seconds(file))}")


def too_long(longest_seconds: float, received_seconds: float) -> str:
    """Sentence about a clip that exceeds the maximum length.

    >>> too_long(10, 10.5)
    'expected clips of at most 10 s, received 10.5 s.'
    """
    return f"expected clips of at most {longest_seconds:.6g} s, received {received_seconds:.6g} s."


def seconds(file: bytes) -> float:
    """Length of a file made by `to_canonical`: the smaller of its header's and its actual size."""
    bytes_per_second, size = struct.unpack_from("<I", file, 28)[0], struct.unpack_from("<I", file, 40)[0]
    return float(min(size, len(file) - HEADER_BYTES) / max(1, bytes_per_second))
