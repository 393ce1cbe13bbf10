"""Random changes of a waveform: pitch, speed, time, filters, noise, background, gain (`augmentation.waveform`).

Own code of few lines on librosa and SciPy, which are there anyway: each change follows from the generator that it is
given, not from the state of a library, so that threads and interruptions change nothing.
"""

from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
from scipy import signal

from ganad_tf.audio import lengths
from ganad_tf.audio.reader import extensions, read
from ganad_tf.config.augmentation import WaveformAugmentation
from ganad_tf.config.sections import Audio
from ganad_tf.errors import ConfigError

ORDER = 4  # of the filters
EDGES = {"low_pass": (0.25, 0.9), "high_pass": (0.01, 0.25), "band_pass": (0.01, 0.9)}  # shares of half the sample rate
NARROWEST = 3.0  # ratio of the edges of a band-pass


def changed(
    samples: np.ndarray,
    settings: WaveformAugmentation,
    audio: Audio,
    rng: np.random.Generator,
    *,
    fewest_samples: int = 1,
    backgrounds: Sequence[Path] = (),
) -> np.ndarray:
    """A changed copy of a waveform.

    Args:
      samples: `[samples]` float32.
      settings: The changes.
      audio: Settings by which background recordings are read too.
      rng: Source of the random numbers.
      fewest_samples: Length that a faster copy keeps, by repeating its beginning.
      backgrounds: The `background_files`, if the settings have a folder of them.

    Returns:
      `[samples]` float32, of another length only by `speed`.

    Raises:
      DataError: If a background recording can't be used.
    """

    def drawn(span: list[float]) -> float:
        return rng.uniform(span[0], span[1])

    values = samples
    if settings.pitch_semitones:
        steps = rng.uniform(-settings.pitch_semitones, settings.pitch_semitones)
        values = librosa.effects.pitch_shift(values, sr=audio.sample_rate, n_steps=steps)
    if settings.speed:
        values = librosa.effects.time_stretch(values, rate=1 + rng.uniform(-settings.speed, settings.speed))
        values = np.resize(values, max(len(values), fewest_samples))
    if settings.time_shift_seconds:
        most = round(settings.time_shift_seconds * audio.sample_rate)
        values = np.roll(values, rng.integers(-most, most + 1))
    if settings.filters:
        values = signal.sosfilt(drawn_filter(settings.filters[rng.integers(len(settings.filters))], rng), values)
    if settings.noise_snr_db:
        values = mixed(values, rng.normal(size=len(values)), drawn(settings.noise_snr_db))
    if settings.background:
        stretch = drawn_stretch(backgrounds[int(rng.integers(len(backgrounds)))], len(values), audio, rng)
        values = mixed(values, stretch, drawn(settings.background_snr_db))
    if settings.gain_db:
        values = values * 10 ** (rng.uniform(-settings.gain_db, settings.gain_db) / 20)
    return np.asarray(values, np.float32)


def background_files(folder: str) -> list[Path]:
    """The recordings in a folder and in its sub-folders, sorted.

    Raises:
      ConfigError: If there are none.
    """
    files = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in extensions() and path.is_file())
    files = [path for path in files if not path.name.startswith(".")]
    if not files:
        raise ConfigError(
            f"Expected a folder of recordings for `augmentation.waveform.background`. Received: {folder}."
        )
    return files


def drawn_stretch(path: Path, n_samples: int, settings: Audio, rng: np.random.Generator) -> np.ndarray:
    """A random stretch of a recording, `[n_samples]`; a shorter recording is repeated.

    Raises:
      DataError: If it can't be read.
    """
    wanted, duration = n_samples / settings.sample_rate, lengths.seconds(path) or 0.0
    begin = rng.uniform() * (duration - wanted)
    span = (begin, begin + wanted) if duration > wanted else None
    stretch = read(path, settings, span=span)
    return np.resize(stretch, n_samples)


def mixed(values: np.ndarray, other: np.ndarray, snr_db: float) -> np.ndarray:
    """The sum of a sound and another one, which is `snr_db` decibels weaker; silence stays as it is.

    >>> mixed(np.ones(4), np.array([2.0, -2.0, 2.0, -2.0]), 20.0).round(3).tolist()
    [1.1, 0.9, 1.1, 0.9]
    """
    power, of_other = (float(np.mean(np.square(each, dtype=np.float64))) for each in (values, other))
    return values + other * np.sqrt(power / of_other / 10 ** (snr_db / 10)) if of_other else values


def drawn_filter(kind: str, rng: np.random.Generator) -> np.ndarray:
    """A Butterworth filter with random edges, evenly spread in octaves, as second-order sections."""
    low, high = EDGES[kind]
    if kind == "band_pass":
        first = low * (high / NARROWEST / low) ** rng.uniform()
        second = NARROWEST * first * (high / NARROWEST / first) ** rng.uniform()
        return np.asarray(signal.butter(ORDER, [first, second], "bandpass", output="sos"))
    return np.asarray(signal.butter(ORDER, low * (high / low) ** rng.uniform(), kind.replace("_", ""), output="sos"))
