"""Audio file → one channel of float32 samples, nominally in [-1, 1]. The first stage after the listing.

The only reader of recordings: for training, for exported models and for clients of a server. A file that can't be
read completely is an error, never a shorter clip: `containers` checks that, libsndfile decodes.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from ganad_tf.audio import aligned, containers
from ganad_tf.audio.containers import Sound
from ganad_tf.clips import Span
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError, MemoryShortageError

MAX_UPSAMPLING = 100  # factor; a small file whose header says 1 Hz would fill the memory
LOUDEST = 8.0  # times full scale; larger samples were not scaled to [-1, 1], such as 16-bit integers stored as floats
BLOCK = 2**21  # samples decoded at a time, counted over all channels
MAX_SAMPLES_PER_BYTE = 8192  # of FLAC silence
# Subtypes in which each sample is coded by itself, so that the decoder finds every position.
SAMPLE_BY_SAMPLE = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")
MAX_EXACT_BITS = 24  # per sample; float32 holds so many without loss
Observe = Callable[[np.ndarray], None]  # gets `[samples, channels]`: int16, or floating point with full scale 1

SAMPLE_RATE_REMEDY = "set `audio.sample_rate`, or `audio.resample: true`."

_ENDINGS = "wav wave rf64 bw64 w64 aiff aif aifc au snd caf flac ogg oga opus mp3"


def extensions() -> frozenset[str]:
    """File name extensions of the supported formats, in lower case, with the dot."""
    return frozenset(f".{ending}" for ending in _ENDINGS.split())


def read(
    path: Path,
    settings: Audio,
    *,
    fewest_samples: int = 1,
    longest_seconds: float | None = None,
    observe: Observe | None = None,
    span: Span | None = None,
) -> np.ndarray:
    """Reads one channel of an audio file.

    Args:
      path: The file.
      settings: Sample rate, channel, resampling, and the treatment of headers without a length.
      fewest_samples: Minimum number of samples, at the sample rate of `settings`.
      longest_seconds: Maximum duration, checked before the file is decoded; None for no limit.
      observe: Called with each block of samples as it is decoded.
      span: Begin and end of the samples that are read, in seconds; None for all. They are resampled by themselves.

    Returns:
      `[samples]` float32; integer formats are scaled to [-1, 1).

    Raises:
      DataError: If the file is missing, empty, cut off, damaged, not audio, of a format in which truncation can't be
        detected, too short or too long, or holds samples that are NaN or infinite, or if its sample rate or number of
        channels does not match `settings`.
    """
    try:
        waveform = _read(path, settings, longest_seconds, observe, span)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected an audio file, but it does not exist.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: expected an audio file that can be read. Received: {reason}.") from error
    except MemoryError as error:
        raise MemoryShortageError(path) from error
    if len(waveform) < fewest_samples:
        raise DataError(f"{path}: expected at least {fewest_samples} samples, received {len(waveform)}.")
    return waveform


def _read(
    path: Path, settings: Audio, longest_seconds: float | None, observe: Observe | None, span: Span | None
) -> np.ndarray:
    """Reads a file as `read` does, but raises errors that do not name it."""
    with path.open("rb") as file:
        sound = containers.find_sound(file, settings.unknown_length)
        stream = sound.stream(file)
        try:
            with soundfile.SoundFile(stream) as decoder:
                bounds = _bounds(decoder, span)
                _check_header(decoder, settings, longest_seconds, len(bounds))
                if decoder.frames > MAX_SAMPLES_PER_BYTE * (sound.size + len(sound.header)):
                    raise DataError(f"expected a header that makes sense. Received: {decoder.frames} samples.")
                rate, waveform = decoder.samplerate, _decoded(decoder, sound, settings, observe, bounds)
        except (soundfile.SoundFileError, ValueError, DataError) as error:
            if stream.error:  # to the decoder, a read error looks like the end of the file
                raise stream.error from error
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"expected {sound.container} sound that can be decoded; the file is cut off, damaged, or of a kind "
                "that is not supported."
            ) from error
        if stream.error:
            raise stream.error
    check_samples(waveform)
    if rate != settings.sample_rate:
        waveform = _resampled(waveform, rate, settings.sample_rate)
    return np.ascontiguousarray(waveform, dtype=np.float32)


def _resampled(waveform: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Waveform at another rate, `[ceil(samples * target / rate)]`.

    As `librosa.resample` does by default, without the ten seconds that librosa compiles in every new environment.
    """
    n_samples = math.ceil(len(waveform) * target / rate)
    resampled = soxr.resample(waveform, rate, target, quality="HQ")[:n_samples]
    return np.pad(resampled, (0, n_samples - len(resampled)))


def _bounds(decoder: soundfile.SoundFile, span: Span | None) -> range:
    """The samples of a span, of all that a file has; equal durations are equally many, wherever they begin."""
    if span is None:
        return range(decoder.frames)
    begin, count = round(span[0] * decoder.samplerate), round((span[1] - span[0]) * decoder.samplerate)
    if begin + count == decoder.frames + 1:  # by rounding
        begin -= 1
    return range(decoder.frames)[begin : begin + count]


def _check_header(decoder: soundfile.SoundFile, settings: Audio, longest_seconds: float | None, n_samples: int) -> None:
    """Refuses, before decoding, a file whose header does not match the settings, or too many samples of it."""
    rate, channels = decoder.samplerate, decoder.channels
    if rate != settings.sample_rate and not settings.resample:
        raise DataError(
            f"expected a sample rate of {settings.sample_rate} Hz, received {rate} Hz; {SAMPLE_RATE_REMEDY}"
        )
    if rate * MAX_UPSAMPLING < settings.sample_rate:
        raise DataError(f"expected a recording that can be resampled to {settings.sample_rate} Hz, received {rate} Hz.")
    if settings.channel == "all" and channels > 1:
        raise DataError(
            f"expected one channel, because each was a clip of its own in training; the file has {channels}; save "
            "each to a file."
        )
    if isinstance(settings.channel, int) and settings.channel >= channels:
        raise DataError(
            f"expected a channel {settings.channel}, but the file has channels 0 to {channels - 1}; "
            "set `audio.channel`."
        )
    if not decoder.frames:
        raise DataError("expected a recording, but the file holds no samples.")
    if not n_samples:
        raise DataError(f"expected a recording that the clip is a part of, but it ends at {decoder.frames / rate:g} s.")
    seconds = n_samples / rate
    if longest_seconds is not None and seconds > longest_seconds:
        raise DataError(
            f"expected a clip of at most {longest_seconds:.6g} s, received {seconds:.6g} s; cut it into shorter ones, "
            "or export the model with a larger --longest."
        )


def _decoded(
    decoder: soundfile.SoundFile, sound: Sound, settings: Audio, observe: Observe | None, bounds: range
) -> np.ndarray:
    """Decodes samples of the chosen channel, or the mean of the channels, `[samples]` float32.

    If all samples are read, they are compared with the checksum in the file, if it has one.
    """
    # Aligned, so that TensorFlow need not copy it: an hour takes 230 MB.
    waveform, digest = aligned.empty(len(bounds)), hashlib.md5(usedforsecurity=False)
    received, is_verified = 0, bool(sound.md5) and sound.bits <= MAX_EXACT_BITS and len(bounds) == decoder.frames
    for samples in _blocks(decoder, sound, bounds):
        if observe:
            observe(samples)
        _choose(samples, settings, waveform[received : received + len(samples)])
        received += len(samples)
        if is_verified:
            digest.update(_as_coded(samples, sound.bits))
    if is_verified and digest.digest() != sound.md5:
        raise DataError(f"expected the samples that the checksum of this {sound.container} file is of; it is damaged.")
    return waveform


def _blocks(decoder: soundfile.SoundFile, sound: Sound, bounds: range) -> Iterator[np.ndarray]:
    """Decodes samples in blocks, `[samples, channels]`: int16, or float32 with full scale 1."""
    dtype = "int16" if decoder.subtype == "PCM_16" else "float32"  # scaling 16 bits here is faster
    block = max(BLOCK // decoder.channels, 1)
    position = 0
    if bounds.start and (sound.container == "FLAC" or decoder.subtype in SAMPLE_BY_SAMPLE):
        position = decoder.seek(bounds.start)  # in other formats, the way there is decoded
    while position < bounds.stop:
        # MP3 is decoded in one call: between two calls, and at an early end, the decoder loses its last digit.
        count = decoder.frames if sound.container == "MP3" else min(block, bounds.stop - position)
        samples = decoder.read(count, dtype=dtype, always_2d=True)
        if not len(samples):
            raise DataError(
                f"expected {decoder.frames} samples as its header says, but the file is cut off after {position}."
            )
        wanted = samples[max(0, bounds.start - position) : bounds.stop - position]
        position += len(samples)
        if len(wanted):
            yield wanted


def _choose(samples: np.ndarray, settings: Audio, result: np.ndarray) -> None:
    """Writes the chosen channel of `[samples, channels]` to `result`, `[samples]` float32 with full scale at 1."""
    with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are refused later
        channel, unit = (
            0 if settings.channel == "all" else settings.channel,
            np.float32(2**-15 if samples.dtype == np.int16 else 1),
        )
        chosen = samples.mean(axis=1, dtype=np.float32) if channel == "mean" else samples[:, channel]
        np.multiply(chosen, unit, out=result)


def _as_coded(samples: np.ndarray, bits: int) -> bytes:
    """Samples of at most 24 bits in the byte order of FLAC's checksum: whole bytes, least significant first."""
    if bits == samples.dtype.itemsize * 8 == 16:
        return samples.astype("<i2", copy=False).tobytes()
    whole = np.round(samples * (2.0 ** (bits - 1) / (2**15 if samples.dtype == np.int16 else 1))).astype("<i4")
    return whole.view(np.uint8).reshape(-1, 4)[:, : (bits + 7) // 8].tobytes()


def check_samples(waveform: np.ndarray) -> None:
    """Refuses samples that are NaN or infinite, or were not scaled to [-1, 1].

    Raises:
      DataError: The message does not name the recording.
    """
    with np.errstate(invalid="ignore"):
        loudest = max(waveform.max(), -waveform.min())
    if not np.isfinite(loudest):
        count = int((~np.isfinite(waveform)).sum())
        raise DataError(f"expected numbers, but {count} of {len(waveform)} samples are NaN or infinite.")
    if loudest > LOUDEST:
        raise DataError(f"expected samples from -1 to 1, received up to {loudest:.3g}.")
