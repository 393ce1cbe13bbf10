"""WAV files as exported models take them: RIFF, 16-bit PCM, whole.

TensorFlow's decoder knows the plainest form of a WAV file only; `plain` brings every 16-bit PCM file into it, and
says of others what is wrong with them.
"""

import io
import struct

import numpy as np
import soundfile

from ganad_tf.errors import InputError

PCM, EXTENSIBLE = 1, 0xFFFE
SAMPLE_BYTES = 2
HEADER_BYTES = 44  # of the plainest form
SLACK = 16  # bytes by which writers get a file's own size wrong, without a loss of sound


def encode(waveform: np.ndarray, sample_rate: int) -> bytes:
    """`[samples]` or `[samples, channels]` in [-1, 1], or int16 → a WAV file."""
    stream = io.BytesIO()
    soundfile.write(stream, waveform, sample_rate, format="WAV", subtype="PCM_16")
    return stream.getvalue()


def plain(file: bytes, name: str) -> bytes:
    """The same samples with a header that TensorFlow reads.

    Args:
      file: A WAV file: extensible or not, with whatever other chunks around its samples.
      name: What messages call it.

    Raises:
      InputError: If it is no WAV file, not 16-bit PCM, cut off, or without channels or sample rate.
    """
    if file[:4] != b"RIFF" or file[8:12] != b"WAVE":
        raise InputError(f"{name}: expected a WAV file, which begins with RIFF and WAVE. Received: {len(file)} others.")
    declared = struct.unpack_from("<I", file, 4)[0]
    if declared > len(file) - 8 + SLACK:
        raise InputError(f"{name}: expected {declared} bytes as its header says, but the file is cut off.")
    header, samples = _chunks(file, name)
    kind, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", header)
    if kind == EXTENSIBLE and len(header) >= 26:
        kind = struct.unpack_from("<H", header, 24)[0]  # the first bytes of the format's GUID
    if kind != PCM or bits != 8 * SAMPLE_BYTES:
        what = {PCM: "PCM", 3: "floating point"}.get(kind, f"format {kind}")
        raise InputError(f"{name}: expected 16-bit PCM samples. Received: {bits}-bit {what}.")
    if not channels or not rate or block != channels * SAMPLE_BYTES or rate * block >= 2**32:
        said = f"{channels} channels, {rate} Hz, {block} bytes per sample of all channels"
        raise InputError(f"{name}: expected a header that makes sense. Received: {said}.")
    samples = samples[: len(samples) // block * block]
    fmt = struct.pack("<HHIIHH", PCM, channels, rate, rate * block, block, bits)
    riff = struct.pack("<4sI4s", b"RIFF", 4 + 8 + len(fmt) + 8 + len(samples), b"WAVE")
    return riff + struct.pack("<4sI", b"fmt ", len(fmt)) + fmt + struct.pack("<4sI", b"data", len(samples)) + samples


def seconds(file: bytes) -> float:
    """Length of a file that `plain` has made."""
    bytes_per_second = struct.unpack_from("<I", file, 28)[0]
    return (len(file) - HEADER_BYTES) / float(bytes_per_second)


def _chunks(file: bytes, name: str) -> tuple[bytes, bytes]:
    """The contents of the chunks `fmt ` and `data`."""
    found: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(file) and not {b"fmt ", b"data"} <= found.keys():
        kind, size = file[place : place + 4], struct.unpack_from("<I", file, place + 4)[0]
        content = file[place + 8 : place + 8 + size]
        if len(content) < size:
            raise InputError(
                f"{name}: expected {size} bytes as its header says, but the file is cut off after {len(content)}."
            )
        found.setdefault(kind, content)
        place += 8 + size + size % 2  # chunks begin at even places
    if len(found.get(b"fmt ", b"")) < 16 or b"data" not in found:
        raise InputError(f"{name}: expected a whole WAV file, but it is cut off before its samples.")
    return found[b"fmt "], found[b"data"]
