"""Audio file → one channel of float32 samples, nominally in [-1, 1]. First stage after the listing.

Every format that libsndfile reads. A file that can't be read whole is an error, never a shorter clip.
"""

import re
from pathlib import Path

import librosa
import numpy as np
import soundfile

from ganad_tf import aligned
from ganad_tf.errors import DataError
from ganad_tf.input_sections import Audio

# libsndfile reads a cut-off file as a shorter one; only its log tells, as `data : 64000 (should be 31978)`.
_CUT_OFF = re.compile(r"(\w[\w ]*?)\s*: (\d+) \(should be (\d+)\)")


# Formats in which libsndfile can't tell a cut-off file from a whole one.
_UNCHECKABLE = frozenset({"AVR", "MAT4", "MAT5", "MPC2K", "NIST", "RAW", "VOC", "WVE", "XI"})
MOST_UPSAMPLING = 100  # times; a small file whose header says 1 Hz would fill the memory
LOUDEST = 8.0  # times full scale: beyond it samples were not scaled to [-1, 1], such as whole numbers of 16 bits
_OGG_PAGE = 65307  # bytes at most


def extensions() -> frozenset[str]:
    """The file name endings, in lower case, of the formats that can be read."""
    formats = {f".{name.lower()}" for name in soundfile.available_formats() if name not in _UNCHECKABLE}
    return frozenset(formats | {".aif", ".aifc", ".oga", ".opus", ".wave", ".snd"})


def read(path: Path, settings: Audio) -> np.ndarray:
    """Reads one channel of an audio file.

    Args:
      path: The file.
      settings: Sample rate, channel and whether to resample.

    Returns:
      `[samples]` float32; integer formats are scaled to [-1, 1).

    Raises:
      DataError: If the file is missing, empty, cut off, not audio, holds samples that are no
        numbers, or has another sample rate or fewer channels than `settings` ask for.
    """
    try:
        with soundfile.SoundFile(path) as file:
            _check_header(path, file, settings)
            is_16_bit = file.subtype == "PCM_16"  # scaling those here is faster
            samples = file.read(dtype="int16" if is_16_bit else "float32", always_2d=True)  # [samples, channels]
            declared, rate = file.frames, file.samplerate
    except (soundfile.SoundFileError, OSError, ValueError, MemoryError) as error:
        raise DataError(_unreadable(path, error)) from error
    if len(samples) != declared:
        raise DataError(
            f"{path}: expected {declared} samples as its header says, but the file is cut off after {len(samples)}."
        )
    if not len(samples):
        raise DataError(f"{path}: expected a recording, but the file holds no samples.")
    with np.errstate(invalid="ignore", over="ignore"):  # of NaN and the like, which are refused below
        chosen = samples.mean(axis=1, dtype=np.float32) if settings.channel == "mean" else samples[:, settings.channel]
        # Where TensorFlow can take it as it is: an hour takes 230 MB.
        waveform = np.multiply(chosen, np.float32(2**-15 if is_16_bit else 1), out=aligned.empty(len(chosen)))
        loudest = max(waveform.max(), -waveform.min())
    if not np.isfinite(loudest):
        count = int((~np.isfinite(waveform)).sum())
        raise DataError(f"{path}: expected numbers, but {count} of {len(waveform)} samples are NaN or infinite.")
    if loudest > LOUDEST:
        raise DataError(f"{path}: expected samples from -1 to 1, received up to {loudest:.3g}.")
    if rate != settings.sample_rate:
        waveform = librosa.resample(waveform, orig_sr=rate, target_sr=settings.sample_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def _check_header(path: Path, file: soundfile.SoundFile, settings: Audio) -> None:
    """Refuses what the header already shows, before any sample is read."""
    if file.format in _UNCHECKABLE:
        raise DataError(
            f"{path}: expected WAV, FLAC or another format that shows whether a file is whole, not {file.format}."
        )
    if file.format == "OGG" and not _has_ogg_end(path):
        raise DataError(
            f"{path}: expected a whole recording, but the file is cut off: its last page is not the stream's end."
        )
    for chunk, declared, actual in _CUT_OFF.findall(file.extra_info):
        # A few bytes of difference in the outermost size are a writer's slip, not lost sound.
        slack = 16 if chunk.lower().startswith(("riff", "form")) else 0
        if int(declared) > int(actual) + slack:
            raise DataError(
                f"{path}: expected {declared} bytes as its header says, but the file is cut off after {actual}."
            )
    if file.samplerate != settings.sample_rate and not settings.resample:
        raise DataError(
            f"{path}: expected a sample rate of {settings.sample_rate} Hz, received {file.samplerate} Hz; "
            "set `audio.sample_rate`, or `audio.resample: true`."
        )
    if file.samplerate * MOST_UPSAMPLING < settings.sample_rate:
        raise DataError(
            f"{path}: expected a recording that can be resampled to {settings.sample_rate} Hz, "
            f"received {file.samplerate} Hz."
        )
    if settings.channel != "mean" and settings.channel >= file.channels:
        raise DataError(
            f"{path}: expected a channel {settings.channel}, but the file has channels 0 to {file.channels - 1}; "
            "set `audio.channel`."
        )


def _has_ogg_end(path: Path) -> bool:
    """Whether the last Ogg page is whole and carries the end-of-stream flag (RFC 3533, section 6)."""
    with path.open("rb") as stream:
        stream.seek(max(path.stat().st_size - _OGG_PAGE, 0))
        tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or len(tail) < page + 27:
        return False
    sizes = tail[page + 27 : page + 27 + tail[page + 26]]  # of the page's segments
    return bool(tail[page + 5] & 4) and len(tail) >= page + 27 + len(sizes) + sum(sizes)


def _unreadable(path: Path, error: Exception) -> str:
    if not path.exists():
        return f"{path}: expected an audio file, but it does not exist."
    if path.is_file() and path.stat().st_size == 0:
        return f"{path}: expected an audio file, but it is empty."
    reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return f"{path}: expected an audio file that can be read. Received: {reason.rstrip('.')}."
