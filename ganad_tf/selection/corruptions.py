"""Made-up anomalies: corruptions of a normal clip's log-mel, of several kinds and strengths.

They stand for faults that are not known beforehand: something is added to the sound (`tone`, `bursts`, `mixing`), its
spectrum changes (`band`, `tilt`, `pitch`), or its course in time (`modulation`, `missing`). Sounds are added as powers.
What else distinguishes one corruption from another, such as frequency, rate and width, is drawn at random.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

N_STRENGTHS = 6
LOWEST_HZ = 100.0  # of tones and bands
BACKGROUND = 0.1  # quantile of a band's power over time
DETUNED_BY = 4.0  # semitones between a sound that is mixed in and the machine's


@dataclass(frozen=True)
class Original:
    """A normal clip to be corrupted.

    Attributes:
      log_mel: `[frames, mels]` in dB.
      other: Log-mel of another clip, of any length.
      seconds: Time from one spectrum to the next.
      hz: Centre frequencies of the mel bands, `[mels]`.
    """

    log_mel: np.ndarray
    other: np.ndarray
    seconds: float
    hz: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """Time of each spectrum in seconds, `[frames]`."""
        return np.arange(len(self.log_mel)) * self.seconds

    @property
    def floor(self) -> np.ndarray:
        """Median power of each band, `[mels]`."""
        return _power(np.median(self.log_mel, axis=0))


Corruption = Callable[[Original, int, np.random.Generator], np.ndarray]


def corrupt(clip: Original, kind: str, strength: int, seed: int | Sequence[int]) -> np.ndarray:
    """Corrupts a clip.

    Args:
      clip: The normal clip.
      kind: A key of `KINDS`.
      strength: 0 for the weakest, hardly audible, to `N_STRENGTHS - 1`.
      seed: Seed of what is drawn at random; with the same seed, a higher strength is the same corruption, stronger.

    Returns:
      Log-mel `[frames, mels]` float32 in dB.
    """
    return KINDS[kind](clip, strength, np.random.default_rng(seed)).astype(np.float32)


def _tone(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Adds a tone with up to four overtones, each 2 dB weaker than the one before."""
    gain = (-12.0, -6.0, 0.0, 6.0, 12.0, 18.0)[strength]
    fundamental = _log_uniform(random, LOWEST_HZ, clip.hz[-1])
    added = np.zeros(len(clip.hz))
    for order in range(1, random.integers(2, 7)):
        if fundamental * order < clip.hz[-1]:
            band = int(np.abs(clip.hz - fundamental * order).argmin())
            added[band] += clip.floor[band] * _power(gain - 2.0 * (order - 1))
    return _db(_power(clip.log_mel) + _part(clip, random) * added)


def _band(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Raises or lowers a band of up to an octave."""
    gain = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0)[strength] * random.choice([-1, 1])
    return clip.log_mel + _part(clip, random) * gain * _bell(clip, random)


def _bursts(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Adds noise that sets in again and again and decays."""
    gain = (-10.0, -5.0, 0.0, 5.0, 10.0, 15.0)[strength]
    rate, decay = _log_uniform(random, 0.7, 8.0), random.uniform(0.02, 0.15)
    since_onset = (clip.times * rate + random.random()) % 1 / rate
    added = clip.floor * _power(gain) * _shape(clip, random)
    return _db(_power(clip.log_mel) + np.exp(-since_onset / decay)[:, np.newaxis] * added)


def _modulation(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Modulates the machine's amplitude."""
    depth = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8)[strength]
    phase = 2 * np.pi * (_log_uniform(random, 0.3, 8.0) * clip.times + random.random())
    gain = 20 * np.log10(1 + depth * np.cos(phase))[:, np.newaxis] * _shape(clip, random)
    return _machine_amplified(clip, gain)


def _missing(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Lowers the machine's sound again and again: strokes that are weak or missing."""
    gain = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)[strength]
    rate, share = _log_uniform(random, 0.2, 2.0), random.uniform(0.15, 0.5)
    is_missing = (clip.times * rate + random.random()) % 1 < share
    return _machine_amplified(clip, np.where(is_missing, -gain, 0.0)[:, np.newaxis])


def _tilt(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Raises high frequencies and lowers low ones, or the reverse, by some decibels per octave."""
    slope = (0.1, 0.2, 0.4, 0.8, 1.6, 3.0)[strength] * random.choice([-1, 1])
    return clip.log_mel + slope * np.log2(np.maximum(clip.hz, 50.0) / 1000.0)


def _pitch(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Shifts all frequencies by some semitones."""
    semitones = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)[strength] * random.choice([-1, 1])
    return _shifted(clip.log_mel, clip.hz, semitones)


def _mixing(clip: Original, strength: int, random: np.random.Generator) -> np.ndarray:
    """Adds another clip of the machine, out of tune and perhaps reversed: a sound of similar character."""
    snr = (15.0, 10.0, 5.0, 0.0, -5.0, -10.0)[strength]
    other = clip.other[:: random.choice([-1, 1])]
    other = np.resize(_shifted(other, clip.hz, DETUNED_BY), clip.log_mel.shape)
    level, other_level = _power(clip.log_mel).mean(), _power(other).mean()
    return _db(_power(clip.log_mel) + _power(other - snr) * level / other_level)


KINDS: Mapping[str, Corruption] = {
    "tone": _tone,
    "band": _band,
    "bursts": _bursts,
    "modulation": _modulation,
    "missing": _missing,
    "tilt": _tilt,
    "pitch": _pitch,
    "mixing": _mixing,
}


def _machine_amplified(clip: Original, gain: np.ndarray) -> np.ndarray:
    """Log-mel with a gain in dB, broadcast to `[frames, mels]`, of what exceeds the background in each band.

    The background, the level that a band exceeds in nine tenths of the time, does not change with the machine.
    """
    power = _power(clip.log_mel)
    background = np.minimum(power, np.quantile(power, BACKGROUND, axis=0))
    return _db(background + (power - background) * _power(gain))


def _part(clip: Original, random: np.random.Generator) -> np.ndarray:
    """Weights `[frames, 1]` of the spectra: half of the corruptions last for the whole clip, the others for a part."""
    n_frames = len(clip.log_mel)
    weights = np.ones(n_frames)
    if random.random() < 0.5:
        length = max(1, int(n_frames * random.uniform(0.1, 0.5)))
        start = random.integers(0, n_frames - length + 1)
        weights[:start] = weights[start + length :] = 0
    return weights[:, np.newaxis]


def _shape(clip: Original, random: np.random.Generator) -> np.ndarray:
    """Weights `[mels]` of the bands: half of the corruptions are of all bands, the others of some."""
    return _bell(clip, random) if random.random() < 0.5 else np.ones(len(clip.hz))


def _bell(clip: Original, random: np.random.Generator) -> np.ndarray:
    """Weights `[mels]` of a band around a random frequency."""
    centre = _log_uniform(random, LOWEST_HZ, clip.hz[-1])
    octaves = np.log2(np.maximum(clip.hz, 20.0) / centre)
    return np.asarray(np.exp(-0.5 * (octaves / (random.uniform(0.15, 1.0) / 2)) ** 2))


def _shifted(log_mel: np.ndarray, hz: np.ndarray, semitones: float) -> np.ndarray:
    """Log-mel with all frequencies multiplied, interpolated linearly between bands."""
    bands = np.interp(hz * 2 ** (-semitones / 12), hz, np.arange(len(hz)))
    lower = np.minimum(bands.astype(int), len(hz) - 2)
    weight = bands - lower
    return np.asarray(log_mel[:, lower] * (1 - weight) + log_mel[:, lower + 1] * weight)


def _log_uniform(random: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(min(low, high)), np.log(high))))


def _power(db: np.ndarray | float) -> np.ndarray:
    return np.asarray(10.0 ** (np.asarray(db, np.float64) / 10))


def _db(power: np.ndarray) -> np.ndarray:
    return np.asarray(10 * np.log10(power))
