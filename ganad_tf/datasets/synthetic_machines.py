"""Sound synthesis of six toy machines, healthy and faulty.

Each machine is a function `(take, fault) → (machine, added)`: its sound, as changed by the fault, and the sound that
the fault adds (None if it adds none). Properties of an individual machine are drawn from `take.unit`, those of a clip
from `take.rng`. The caller sets the levels, so that loudness alone does not reveal a fault.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SAMPLE_RATE = 16000
Numbers = Sequence[float] | np.ndarray
Sound = tuple[np.ndarray, np.ndarray | None]
Machines = dict[str, tuple[Callable[["Take", str | None], Sound], tuple[str, ...]]]


@dataclass(frozen=True)
class Take:
    """One recording of one individual machine.

    Attributes:
      n_samples: Length in samples.
      unit: Generator of the individual machine: the same numbers in every take of it.
      rng: Generator of this take.
    """

    n_samples: int
    unit: np.random.Generator
    rng: np.random.Generator

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.n_samples / SAMPLE_RATE

    def turns(self, hz: float, wander: float = 0.004) -> np.ndarray:
        """Revolutions of a shaft since the start, `[samples]`, at a slowly drifting speed."""
        time = np.arange(self.n_samples) / SAMPLE_RATE
        rates, phases = self.rng.uniform(0.1, 0.8, 3), self.rng.uniform(0, 2 * np.pi, 3)
        drift = sum(np.sin(2 * np.pi * rate * time + phase) for rate, phase in zip(rates, phases, strict=True)) / 3
        speed = hz * (1 + wander * (self.rng.normal() + drift))
        return self.rng.uniform() + np.cumsum(speed) / SAMPLE_RATE

    def tones(self, turns: np.ndarray, orders: Numbers, amplitudes: Numbers) -> np.ndarray:
        """Sum of sines at multiples of a shaft's speed, `[samples]`."""
        total = np.zeros(self.n_samples)
        for order, amplitude in zip(orders, amplitudes, strict=True):
            total += amplitude * np.sin(2 * np.pi * (order * turns + self.rng.uniform()))
        return total

    def noise(self, low_hz: float, high_hz: float, slope_db: float = -3.0) -> np.ndarray:
        """Gaussian noise between two frequencies, with a slope of `slope_db` per octave, at unit RMS; `[samples]`."""
        hz = np.fft.rfftfreq(self.n_samples, 1 / SAMPLE_RATE) + 1e-9
        shape = (hz / low_hz) ** (slope_db / 6.02) / (1 + (low_hz / hz) ** 4) / (1 + (hz / high_hz) ** 6)
        spectrum = shape * (self.rng.normal(size=hz.size) + 1j * self.rng.normal(size=hz.size))
        return unit_rms(np.fft.irfft(spectrum, self.n_samples))

    def strikes(
        self, times: np.ndarray, gains: np.ndarray | float, resonances_hz: Numbers, decay_seconds: float
    ) -> np.ndarray:
        """Decaying resonances excited at `times` (seconds), `[samples]`."""
        inside = (times >= 0) & (times < self.seconds)
        hits = np.zeros(self.n_samples)
        np.add.at(hits, (times[inside] * SAMPLE_RATE).astype(int), np.broadcast_to(gains, times.shape)[inside])
        time = np.arange(int(8 * decay_seconds * SAMPLE_RATE)) / SAMPLE_RATE
        ring = sum(np.sin(2 * np.pi * hz * time) / (1 + order) for order, hz in enumerate(resonances_hz)) * np.exp(
            -time / decay_seconds
        )
        size = self.n_samples + time.size
        return np.fft.irfft(np.fft.rfft(hits, size) * np.fft.rfft(ring, size), size)[: self.n_samples]

    def beats(self, period_seconds: float, jitter: float = 0.01) -> np.ndarray:
        """Times in seconds of a slightly irregular periodic event, from before the start to after the end."""
        count = int(self.seconds / period_seconds) + 3
        times = period_seconds * (np.arange(count) - self.rng.uniform())
        return times + period_seconds * jitter * self.rng.normal(size=count)

    def scattered(self, per_second: float) -> np.ndarray:
        """Times in seconds of a Poisson process."""
        return self.rng.uniform(0, self.seconds, self.rng.poisson(per_second * self.seconds))


def unit_rms(sound: np.ndarray) -> np.ndarray:
    """Scales `sound` to a root mean square of 1; silence stays silent."""
    return sound / max(float(np.sqrt(np.mean(sound**2))), 1e-12)


def fan(take: Take, fault: str | None) -> Sound:
    """Blade-pass harmonics over flow noise that the blades modulate."""
    shaft_hz, blades, bright_hz = (
        take.unit.uniform(22, 34),
        int(take.unit.integers(5, 8)),
        take.unit.uniform(1500, 3000),
    )
    turns = take.turns(shaft_hz)
    hum = take.tones(turns, [1, *(blades * k for k in range(1, 7))], [0.3, *(1 / k for k in range(1, 7))])
    clogged = fault == "clogging"
    flow = take.noise(90, bright_hz * (0.55 if clogged else 1)) * (1 + 0.3 * np.sin(2 * np.pi * blades * turns))
    if clogged:  # the flow stalls and surges
        flow *= 1 + 0.7 * np.sin(2 * np.pi * take.turns(take.rng.uniform(1.5, 3)))
    machine = unit_rms(hum) + 1.2 * unit_rms(flow)
    if fault == "imbalance":
        return machine, take.tones(turns, [1, 2, 3], [1, 0.7, 0.4]) + take.noise(100, 1200) * (
            1 + np.sin(2 * np.pi * turns)
        ) ** 2
    if fault == "bearing whine":
        return machine, _whine(take, turns, take.rng.uniform(50, 140))
    return machine, None


def pump(take: Take, fault: str | None) -> Sound:
    """Motor hum, flow noise, and strokes of the piston."""
    shaft_hz, stroke_seconds = take.unit.uniform(24, 29), 1 / take.unit.uniform(3, 5)
    turns = take.turns(shaft_hz)
    hum = take.tones(turns, [1, 2, 4, 6, 8], [1, 0.8, 0.6, 0.3, 0.2])
    times = take.beats(stroke_seconds)
    missed = take.rng.uniform(size=times.size) < 0.4 if fault == "missed stroke" else np.zeros(times.size, bool)
    gains = take.rng.normal(1, 0.08, times.size) * ~missed
    strokes = take.strikes(times, gains, take.unit.uniform(150, 900, 3), 0.03)
    machine = unit_rms(hum) + 0.8 * take.noise(200, 2500) + 1.5 * strokes / 0.25
    if fault == "leak":
        return machine, take.noise(3500, 7000, 0) * (1 + 0.3 * np.sin(2 * np.pi * take.turns(0.7)))
    if fault == "cavitation":
        times = take.scattered(50)
        return machine, take.strikes(times, take.rng.exponential(1, times.size), take.rng.uniform(2000, 6000, 3), 0.002)
    return machine, None


def slider(take: Take, fault: str | None) -> Sound:
    """A carriage that runs to and fro over a rail and stops at the ends."""
    period_seconds = take.unit.uniform(1.2, 1.8)
    stroke = take.turns(1 / period_seconds, wander=0.01)
    speed = np.abs(np.sin(2 * np.pi * stroke))
    ends = np.flatnonzero(np.diff(np.floor(2 * stroke))) / SAMPLE_RATE
    stops = take.strikes(ends, take.rng.normal(1, 0.08, ends.size), take.unit.uniform(250, 1500, 3), 0.025)
    bright_hz = take.unit.uniform(1800, 3200)
    machine = take.noise(150, bright_hz) * speed + 0.15 * take.noise(60, 400) + 6 * stops
    if fault == "rattle":
        times = take.scattered(25)
        gains = take.rng.exponential(1, times.size) * speed[(times * SAMPLE_RATE).astype(int)]
        return machine, take.strikes(times, gains, take.rng.uniform(1500, 5000, 3), 0.006)
    if fault == "dry rail":
        squeal = take.turns(take.rng.uniform(1500, 2600), wander=0.02)
        return machine, take.tones(squeal, [1, 2, 3], [1, 0.5, 0.3]) * speed**2 + 0.5 * take.noise(
            2000, 6000, 0
        ) * speed
    if fault == "loose stop":
        times = np.concatenate([ends + bounce * take.rng.uniform(0.04, 0.06) for bounce in (1, 2)])
        return machine, take.strikes(times, 1.0, take.rng.uniform(800, 3500, 3), 0.02)
    return machine, None


def valve(take: Take, fault: str | None) -> Sound:
    """Sparse clicks with a puff of air, nothing between them."""
    period_seconds = take.unit.uniform(0.5, 0.8)
    resonances_hz = take.unit.uniform(1200, 5500, 4)
    times = take.beats(period_seconds, jitter=0.03)
    gains = take.rng.normal(1, 0.08, times.size)
    if fault == "stuck":  # some strokes don't reach the seat
        gains = np.where(take.rng.uniform(size=times.size) < 0.5, 0.15 * gains, gains)
    clicks = take.strikes(times, gains, resonances_hz, 0.004)
    opening = np.clip(take.strikes(times, gains, [0.25 / 0.06], 0.06), 0, None)
    machine = clicks + 0.25 * opening * take.noise(2000, 6500, 0) + 0.01 * take.noise(80, 600)
    if fault == "leak":
        lasting = np.clip(take.strikes(times, 1.0, [0.25 / 0.5], 0.3), 0, None)
        return machine, lasting * take.noise(3000, 7000, 0)
    if fault == "bounce":
        again = np.concatenate([times + bounce * take.rng.uniform(0.03, 0.05) for bounce in (1, 2, 3)])
        return machine, take.strikes(
            again, np.repeat([1.0, 0.6, 0.4], times.size), resonances_hz * take.rng.uniform(0.8, 1.2), 0.006
        )
    return machine, None


def toy_car(take: Take, fault: str | None) -> Sound:
    """A small motor, its gear mesh with sidebands, brush noise and rolling."""
    motor_hz, teeth, ratio = take.unit.uniform(70, 95), int(take.unit.integers(9, 14)), take.unit.uniform(2.6, 3.4)
    turns = take.turns(motor_hz * (0.9 if fault == "low voltage" else 1), wander=0.01)
    wheel = turns / ratio
    orders = [k * teeth + side for k in range(1, 5) for side in (-1, 0, 1)]
    mesh = take.tones(turns, orders, [share / k for k in range(1, 5) for share in (0.3, 1, 0.3)])
    if fault == "bent shaft":
        mesh = mesh * (1 + 0.9 * np.sin(2 * np.pi * wheel))
    machine = (
        unit_rms(mesh)
        + 0.6 * take.tones(turns, [1, 2], [1, 0.6])
        + 0.5 * take.noise(1000, 6000, 0)
        + 0.9 * take.noise(80, 900)
    )
    if fault == "bent shaft":
        return machine, take.noise(150, 1500) * (1 + np.sin(2 * np.pi * wheel)) ** 2
    if fault == "chipped tooth":
        times = np.flatnonzero(np.diff(np.floor(wheel))) / SAMPLE_RATE
        return machine, take.strikes(times, 1.0, take.rng.uniform(1500, 6000, 3), 0.003)
    return machine, None


def toy_conveyor(take: Take, fault: str | None) -> Sound:
    """Mains hum, belt noise and rollers that thump in turn."""
    roller_hz, bright_hz = take.unit.uniform(6, 9), take.unit.uniform(1000, 2000)
    roller = take.turns(roller_hz, wander=0.01)
    hum = take.tones(take.turns(50, wander=0.0005), [1, 2, 3, 4, 6], [0.5, 1, 0.4, 0.6, 0.3])
    times = take.beats(1 / roller_hz, jitter=0.04)
    thumps = take.strikes(times, take.rng.normal(1, 0.15, times.size), take.unit.uniform(120, 500, 2), 0.02)
    machine = 0.8 * unit_rms(hum) + take.noise(150, bright_hz) * (1 + 0.2 * np.sin(2 * np.pi * roller)) + 2 * thumps
    if fault == "jammed roller":
        squeal = take.turns(take.rng.uniform(2000, 3800), wander=0.01)
        return machine, take.tones(squeal, [1, 2], [1, 0.4]) * (1 + np.sin(2 * np.pi * roller)) ** 2
    if fault == "loose belt":
        slaps = take.beats(take.rng.uniform(0.3, 0.6), jitter=0.08)
        return machine, take.strikes(slaps, 1.0, take.rng.uniform(500, 1800, 4), 0.03)
    if fault == "debris":
        scratches = np.clip(take.strikes(take.scattered(6), 1.0, [2.0], 0.08), 0, None)
        return machine, scratches * take.noise(2000, 7000, 0)
    return machine, None


def factory(take: Take) -> np.ndarray:
    """Background noise of a factory hall: rumble, mains hum and occasional distant clanks."""
    rumble = take.noise(60, 7000, take.rng.uniform(-5.5, -4))
    mains = take.tones(take.turns(50, wander=0.0005), [1, 2, 4], take.rng.uniform(0.02, 0.15, 3))
    times = take.scattered(0.3)
    clanks = take.strikes(times, take.rng.exponential(0.5, times.size), take.rng.uniform(400, 3000, 3), 0.05)
    return unit_rms(rumble + mains + clanks)


def _whine(take: Take, turns: np.ndarray, order: float) -> np.ndarray:
    """A worn bearing: tones at an odd multiple of the shaft's speed, with sidebands one shaft apart."""
    orders = [multiple * order + side for multiple in (1, 2) for side in (-1, 0, 1)]
    return take.tones(turns, orders, [0.4, 1, 0.4, 0.2, 0.5, 0.2])


MACHINES: Machines = {
    "ToyCar": (toy_car, ("bent shaft", "chipped tooth", "low voltage")),
    "ToyConveyor": (toy_conveyor, ("jammed roller", "loose belt", "debris")),
    "fan": (fan, ("imbalance", "bearing whine", "clogging")),
    "pump": (pump, ("leak", "missed stroke", "cavitation")),
    "slider": (slider, ("rattle", "dry rail", "loose stop")),
    "valve": (valve, ("leak", "bounce", "stuck")),
}
