"""Frequencies of steady tones and rates of repeated bursts in a clip's samples."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

TONE_SECONDS = 0.256  # of a spectrum that resolves tones
FLOOR_HZ = 120.0  # width of the neighbourhood that a tone stands out from
PROMINENCE_DB = 10.0
REACH = 4  # bins to both sides that a tone fills
HIGHEST_ORDER = 4  # of the strongest tone, when the fundamental is looked for
TUNING = 0.012  # relative error of a harmonic
BURST_SECONDS, BURST_STEP = 0.016, 0.004  # of spectra that resolve bursts
REGULAR = 0.35  # least correlation of bursts with the next ones
SLOWEST, FASTEST = 1.0, 60.0  # bursts per second
CLEAREST = 0.65  # share of the best correlation that a shorter period may have


@dataclass(frozen=True)
class Peak:
    """A steady tone: its frequency and power."""

    hz: float
    power: float


def power_spectra(samples: np.ndarray, rate: float, seconds: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies `[bins]` in hertz and powers `[spectra, bins]` of Hann-windowed pieces of a clip."""
    size = min(round(seconds * rate), len(samples))
    pieces = np.lib.stride_tricks.sliding_window_view(samples, size)[:: max(round(step * rate), 1)]
    window = signal.get_window("hann", size).astype(np.float32)
    return np.fft.rfftfreq(size, 1 / rate), np.abs(np.fft.rfft(pieces * window, axis=1)) ** 2 + 1e-20


def steady_peaks(hz: np.ndarray, power: np.ndarray) -> list[Peak]:
    """Tones that stand out from a spectrum `[bins]`, the strongest first."""
    db = 10 * np.log10(power)
    width = max(int(FLOOR_HZ / hz[1]), 3)
    above = db - ndimage.median_filter(db, width, mode="nearest")
    found, _ = signal.find_peaks(above, height=PROMINENCE_DB, distance=REACH)
    peaks = [
        Peak(_vertex(db, index) * hz[1], float(power[max(index - REACH, 0) : index + REACH + 1].sum()))
        for index in found
    ]
    return sorted(peaks, key=lambda peak: -peak.power)


def fundamental(peaks: list[Peak]) -> tuple[float, list[Peak]]:
    """Frequency whose multiples hold the most power of the tones, the highest such, and its harmonics.

    A multiple that is missing between others counts against a candidate, so that half a fundamental is not chosen.
    """

    def harmonics(hz: float) -> list[Peak]:
        return [peak for peak in peaks if abs(peak.hz / hz - max(round(peak.hz / hz), 1)) < TUNING * peak.hz / hz]

    def merit(hz: float) -> float:
        members = harmonics(hz)
        orders = {round(peak.hz / hz) for peak in members}
        filled = len(orders) / max(orders) if orders else 0.0
        return sum(peak.power for peak in members) / total * (0.5 + 0.5 * filled) + 1e-9 * hz

    total = sum(peak.power for peak in peaks)
    candidates = [peak.hz / order for peak in peaks[:3] for order in range(1, HIGHEST_ORDER + 1)]
    best = max(candidates, key=merit)
    strongest: dict[int, Peak] = {}  # by order, without sidebands
    for peak in harmonics(best):
        strongest.setdefault(max(round(peak.hz / best), 1), peak)  # the strongest come first
    weights = [peak.power for peak in strongest.values()]
    return float(np.average([peak.hz / n for n, peak in strongest.items()], weights=weights)), [*strongest.values()]


def rhythm(envelope: np.ndarray, rate: float) -> tuple[float, float]:
    """Bursts per second of an envelope `[times]`, and how regular they are, from 0 to 1.

    Args:
      envelope: Power over time.
      rate: Values per second.
    """
    amplitude = np.sqrt(envelope)
    amplitude = np.minimum(amplitude, np.quantile(amplitude, 0.98))
    sharp = _period(ndimage.gaussian_filter1d(amplitude, BURST_STEP * rate), rate)
    if sharp[1] >= REGULAR:
        return sharp
    # Slow bursts come less exactly, in seconds, than fast ones.
    return _period(ndimage.gaussian_filter1d(amplitude, 4 * BURST_STEP * rate), rate)


def _period(amplitude: np.ndarray, rate: float) -> tuple[float, float]:
    """`rhythm` of a smoothed amplitude, by its correlation with itself."""
    amplitude = amplitude - ndimage.uniform_filter1d(amplitude, max(int(rate), 3))
    fine = max(round(1 / (BURST_STEP * rate)), 1)  # so that the coarse spectra of a log-mel are interpolated
    size, count, rate = 2 * len(amplitude), fine * len(amplitude), fine * rate
    correlation = np.fft.irfft(np.abs(np.fft.rfft(amplitude, size)) ** 2, fine * size)[:count]
    correlation *= count / np.arange(count, 0, -1)
    correlation = correlation[: min(int(rate / SLOWEST) + 2, count // 2)] / max(correlation[0], 1e-20)
    lags, _ = signal.find_peaks(correlation)
    lags = lags[lags >= rate / FASTEST]
    if not len(lags) or correlation[lags].max() <= 0:
        return 0.0, 0.0
    strongest = float(correlation[lags].max())
    lag = lags[correlation[lags] >= CLEAREST * strongest][0]
    return rate / _refined(correlation, lag, CLEAREST * strongest), strongest


def _refined(correlation: np.ndarray, lag: int, least: float) -> float:
    """Period near `lag`, from as many of its multiples as are correlated by at least `least`."""
    period = _vertex(correlation, lag)
    for count in itertools.count(2):
        first, last = (round((count + side) * period) for side in (-0.25, 0.25))
        if last >= len(correlation) - 1:
            return period
        top = first + int(np.argmax(correlation[first : last + 1]))
        if correlation[top] < least:
            return period
        period = _vertex(correlation, top) / count
    raise AssertionError("an endless count has ended")


def _vertex(values: np.ndarray, index: int) -> float:
    """Position of the maximum near `index` of a parabola through three values."""
    if not 0 < index < len(values) - 1:
        return float(index)
    before, here, after = values[index - 1 : index + 2]
    bend = before - 2 * here + after
    return float(index if bend == 0 else index + 0.5 * (before - after) / bend)
