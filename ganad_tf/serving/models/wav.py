"""WAV files as exported models take them: 16-bit PCM, whole.

TensorFlow's decoder knows the plainest form of a WAV file only; `plain` brings every 16-bit PCM file into it, and
says of others what is wrong with them.
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
HEADER_BYTES = 44  # of the plainest form


def encode(waveform: np.ndarray, sample_rate: int) -> bytes:
    """`[samples]` or `[samples, channels]` in [-1, 1], or int16 → a WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, waveform, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def plain(file: bytes, name: str, unknown_length: UnknownLength = "read") -> bytes:
    """The same samples with a header that TensorFlow reads; whole by the rules of `audio.read`.

    Args:
      file: A WAV file: RIFF, RIFX, RF64 or BW64, extensible or not, with whatever other chunks around its samples.
      name: What messages call it.
      unknown_length: Whether samples whose number the header leaves open are taken up to the end.

    Raises:
      InputError: If it is no WAV file, not 16-bit PCM, cut off, longer than its header says, or without channels or
        sample rate.
    """
    stream = io.BytesIO(file)
    start = containers.after_tags(stream)
    if not riff.is_wave(file[start : start + 12]):
        raise InputError(
            f"{name}: expected a WAV file, which begins with RIFF and WAVE. Received: {len(file)} other bytes."
        )
    try:
        wave = riff.wave_of(stream, start, unknown_length)
    except DataError as error:
        raise InputError(f"{name}: {error}") from error
    if wave.kind != riff.PCM or (wave.bits + 7) // 8 != SAMPLE_BYTES:
        what = {riff.PCM: "PCM", riff.FLOAT: "floating point"}.get(wave.kind, f"format {wave.kind}")
        raise InputError(f"{name}: expected 16-bit PCM samples. Received: {wave.bits}-bit {what}.")
    block = wave.channels * SAMPLE_BYTES
    if block >= 2**16 or wave.rate * block >= 2**32:
        said = f"{wave.channels} channels, {wave.rate} Hz, {block} bytes per sample of all channels"
        raise InputError(f"{name}: expected a header that makes sense. Received: {said}.")
    samples = file[wave.start : wave.start + wave.size // block * block]
    if wave.order == ">":
        samples = np.frombuffer(samples, ">i2").astype("<i2").tobytes()
    fmt = struct.pack("<HHIIHH", riff.PCM, wave.channels, wave.rate, wave.rate * block, block, 8 * SAMPLE_BYTES)
    return riff.header(fmt, len(samples)) + samples


def check_length(files: Iterable[bytes], longest_seconds: float) -> None:
    """Refuses files that last too long, by their headers.

    Args:
      files: As `plain` makes them; what is wrong with others, whoever decodes them says.
      longest_seconds: The limit.

    Raises:
      InputError: Says which file.
    """
    for number, file in enumerate(files):
        if len(file) >= HEADER_BYTES and file[36:40] == b"data" and seconds(file) > longest_seconds:
            raise InputError(
                f"wav_bytes[{number}]: expected clips of at most {longest_seconds:.6g} s, "
                f"received {seconds(file):.6g} s."
            )


def seconds(file: bytes) -> float:
    """Length of a file that `plain` has made, as its header and its size have it."""
    bytes_per_second, size = struct.unpack_from("<I", file, 28)[0], struct.unpack_from("<I", file, 40)[0]
    return float(min(size, len(file) - HEADER_BYTES) / max(1, bytes_per_second))
