"""Four more toy machines, whose faults change neither the mean power spectrum nor the level, only what happens when.

A density of mean spectra cannot see these faults; a detector that follows the sound over time can, but for the coupling
of phases, which a spectrogram does not show. For tests of such detectors. They are not among the six machines of
`synthetic_machines.py`; `dataset.synthetic.machines` names them.
"""

import numpy as np

from ganad_tf.datasets.synthetic_machines import SAMPLE_RATE, Machines, Sound, Take, unit_rms

CLICKS_PER_REVERSED = 4  # of a faulty relay


def press(take: Take, fault: str | None) -> Sound:
    """Three strokes of different pitch in turn, evenly spaced; the fault swaps two of them."""
    cycle_seconds = take.unit.uniform(0.6, 0.9)
    pitches = [take.unit.uniform(low, high, 2) for low, high in ((300, 500), (1000, 1500), (2600, 3600))]
    starts = take.beats(cycle_seconds, jitter=0.005)
    order = (0, 2, 1) if fault == "swapped strokes" else (0, 1, 2)
    sound = 0.05 * take.noise(80, 5000)
    for position, which in enumerate(order):
        times = starts + position * cycle_seconds / 3
        strokes = take.strikes(times, take.rng.normal(1, 0.08, times.size), pitches[which], 0.02)
        sound += unit_rms(strokes)
    return sound, None


def blower(take: Take, fault: str | None) -> Sound:
    """Flow noise that swells and falls at a steady rate; the fault makes the rate half as high again."""
    rate_hz, bright_hz = take.unit.uniform(1.5, 2.0), take.unit.uniform(1500, 3000)
    swell = take.turns(rate_hz * (1.5 if fault == "other rhythm" else 1))
    hum = take.tones(take.turns(take.unit.uniform(45, 55)), [1, 2, 4], [1, 0.6, 0.3])
    return take.noise(100, bright_hz) * (1 + 0.7 * np.sin(2 * np.pi * swell)) + 0.3 * unit_rms(hum), None


def coupling(take: Take, fault: str | None) -> Sound:
    """Two tones, an octave apart, whose phases are locked; by the fault the upper one slips."""
    shaft = take.turns(take.unit.uniform(180, 260))
    lag = take.unit.uniform()  # of the upper tone, in its periods
    if fault == "slip":
        slip_hz = take.rng.choice([-1, 1]) * take.rng.uniform(0.5, 1.0)
        lag += take.rng.uniform() + slip_hz * np.arange(take.n_samples) / SAMPLE_RATE
    tones = np.sin(2 * np.pi * shaft) + np.sin(2 * np.pi * (2 * shaft + lag))
    return tones + 0.5 * take.noise(80, 5000), None


def relay(take: Take, fault: str | None) -> Sound:
    """Clicks of a low tick and then a high tock; by the fault some are a tock and then a tick, of the same energy."""
    period_seconds, gap_seconds = take.unit.uniform(0.4, 0.6), 0.12
    pitches = [take.unit.uniform(low, high, 2) for low, high in ((700, 1100), (3000, 4500))]
    first = take.beats(period_seconds, jitter=0.02)
    is_reversed = (np.arange(first.size) + take.rng.integers(CLICKS_PER_REVERSED)) % CLICKS_PER_REVERSED == 0
    is_reversed &= fault == "reversed click"
    second = first + gap_seconds
    gains = take.rng.normal(1, 0.08, first.size)
    ticks = take.strikes(np.where(is_reversed, second, first), gains, pitches[0], 0.01)
    tocks = take.strikes(np.where(is_reversed, first, second), gains, pitches[1], 0.01)
    return unit_rms(ticks) + unit_rms(tocks) + 0.05 * take.noise(80, 5000), None


MACHINES: Machines = {
    "blower": (blower, ("other rhythm",)),
    "coupling": (coupling, ("slip",)),
    "press": (press, ("swapped strokes",)),
    "relay": (relay, ("reversed click",)),
}
