"""One function per kind of finding: a tone, bursts, louder or quieter bands, another level.

Each takes the evidence and the mel bands that no finding has explained yet, and returns its findings, each with the mel
bands that it explains.
"""

import numpy as np

from ganad_tf.findings import spectra
from ganad_tf.findings.evidence import Evidence
from ganad_tf.findings.finding import Finding
from ganad_tf.findings.healthy import LULL, MEAN, MEDIAN

TONAL = 0.4  # least share of tones in the power of louder bands
UNSTEADY_DB = 3.0  # louder on average than in the lulls
FEWEST_BANDS = 2  # of bursts, which are short and therefore broad
GAP = 0.04  # share of the mel bands that may be missing within a band
LEVEL_MARGIN_DB = 3.0  # beyond the healthy clips' levels
MAIN_LOBE = 3  # bins on either side of a tone


Found = tuple[Finding, np.ndarray]  # a finding, and the mask `[mels]` of the mel bands that it explains


def bursts(clip: Evidence, left: np.ndarray) -> list[Found]:
    """Regular bursts that are louder than the healthy sound, while the lulls between them are less so."""
    bands = clip.is_louder[MEDIAN + 1 :].any(axis=0) & left & (clip.db[MEAN] - clip.db[LULL] > UNSTEADY_DB)
    if bands.sum() < FEWEST_BANDS:
        return []
    rate, regularity = spectra.rhythm(*_envelope(clip, bands))
    if regularity < spectra.REGULAR:
        return []
    first, last = max(_runs(bands), key=lambda run: run[1] - run[0])
    low, high = clip.known.edges[[first, last + 2]].round(1).tolist()
    db = float(np.median(clip.db[MEDIAN + 1 :, bands].max(axis=0)))
    sentence = f"{rate:.3g} bursts per second from {low:.0f} to {high:.0f} Hz, {db:.0f} dB louder than healthy"
    found = Finding("bursts", sentence, db=round(db, 1), per_second=round(rate, 2), from_hz=low, to_hz=high)
    return [(found, np.asarray(clip.is_louder.any(axis=0)))]


def tones(clip: Evidence, left: np.ndarray) -> list[Found]:
    """A steady tone with its harmonics, if tones make up most of the new power."""
    bands = clip.is_steadily_louder & left
    if clip.samples is None or not bands.any():
        return []
    seconds = spectra.TONE_SECONDS
    hz, powers = spectra.power_spectra(clip.stretch(bands), clip.known.sample_rate, seconds, seconds / 2)
    power, inside = np.median(powers, axis=0), clip.bins(bands, hz)
    peaks = [peak for peak in spectra.steady_peaks(hz, power) if inside[round(peak.hz / hz[1])]]
    if not peaks or sum(peak.power for peak in peaks) < TONAL * power[inside].sum():
        return []
    frequency, members = spectra.fundamental(peaks)
    harmonics = tuple(sorted(round(peak.hz, 1) for peak in members))
    reach = MAIN_LOBE * clip.known.sample_rate / clip.known.n_fft
    low, high = clip.known.edges[:-2, np.newaxis] - reach, clip.known.edges[2:, np.newaxis] + reach
    explained = ((low < harmonics) & (harmonics < high)).any(axis=1)
    db = float(clip.db[MEDIAN][explained & bands].max())
    others = len(harmonics) - 1
    overtones = f" with {others} harmonic{'s' if others > 1 else ''}" if others else ""
    sentence = f"a tone at {frequency:.0f} Hz{overtones}, {db:.0f} dB louder than healthy"
    found = Finding("tone", sentence, db=round(db, 1), frequency_hz=round(frequency, 1), harmonics=harmonics)
    return [(found, np.asarray(explained))]


def louder_bands(clip: Evidence, left: np.ndarray) -> list[Found]:
    """Ranges of mel bands that are louder."""
    return _bands(clip, clip.is_louder[[MEDIAN, MEAN]].any(axis=0) & left, clip.db[[MEDIAN, MEAN]].max(axis=0))


def quieter_bands(clip: Evidence, left: np.ndarray) -> list[Found]:
    """Ranges of mel bands that are quieter."""
    return _bands(clip, clip.is_quieter[[MEDIAN, MEAN]].any(axis=0) & left, clip.db[[MEDIAN, MEAN]].min(axis=0))


def level(clip: Evidence, left: np.ndarray) -> list[Found]:
    """Level of the whole recording, if it lies outside that of the healthy ones."""
    if not clip.known.has_level or abs(clip.level_db) < LEVEL_MARGIN_DB:
        return []
    db = float(clip.level - clip.normal.levels[1])
    sentence = f"the whole recording is {abs(db):.0f} dB {_how(db)} than healthy ones"
    return [(Finding("level", sentence, db=round(db, 1)), left)]


def _envelope(clip: Evidence, bands: np.ndarray) -> tuple[np.ndarray, float]:
    """Power over time in mel bands, each frequency relative to its median, and the number of values per second."""
    if clip.samples is None:
        powers, rate = 10 ** (clip.log_mel[:, bands] / 10), clip.known.spectra_per_second
    else:
        step = max(round(spectra.BURST_STEP * clip.known.sample_rate), 1)
        samples, rate = clip.stretch(bands), clip.known.sample_rate / step
        hz, powers = spectra.power_spectra(samples, clip.known.sample_rate, spectra.BURST_SECONDS, 1 / rate)
        powers = powers[:, clip.bins(bands, hz, margin=hz[1] / 2)]
    return (powers / np.median(powers, axis=0)).mean(axis=1), rate


def _bands(clip: Evidence, chosen: np.ndarray, db: np.ndarray) -> list[Found]:
    """One finding per run of chosen mel bands, from the middle of its first to that of its last."""
    findings: list[Found] = []
    for first, last in _runs(chosen):
        inside = chosen & (np.arange(len(chosen)) >= first) & (np.arange(len(chosen)) <= last)
        ends = [first, first + 2] if first == last else [first + 1, last + 1]
        low, high = clip.known.edges[ends].round(1).tolist()
        value = float(np.median(db[inside]))
        sentence = f"{abs(value):.0f} dB {_how(value)} from {low:.0f} to {high:.0f} Hz"
        findings.append((Finding("band", sentence, db=round(value, 1), from_hz=low, to_hz=high), inside))
    return findings


def _how(db: float) -> str:
    return "louder" if db > 0 else "quieter"


def _runs(chosen: np.ndarray) -> list[tuple[int, int]]:
    """First and last index of each run of chosen mel bands; short gaps do not end a run."""
    indices = np.flatnonzero(chosen)
    if not len(indices):
        return []
    parts = np.split(indices, np.flatnonzero(np.diff(indices) > 1 + GAP * len(chosen)) + 1)
    return [(int(part[0]), int(part[-1])) for part in parts]
