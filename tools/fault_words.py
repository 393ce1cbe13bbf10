"""Measures the words about faults: share of right kinds, and errors of frequencies, on faults of known kind.

Usage, about five minutes:

    python tools/fault_words.py

Each of the six synthetic machines gets its healthy reference from normal training clips of three individual machines.
To other normal clips a fault of a known kind is added: a tone with harmonics, regular bursts, a band that is louder or
quieter, another level, or none. Frequency, rate, band and strength are random. A finding is right if the first one has
the fault's kind and a tone's frequency or the bursts' rate within 3 %, half of the band in common, or the sign of the
level.
"""

import argparse
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from ganad_tf.config.sections import Audio, Feature, SyntheticData
from ganad_tf.datasets import synthetic
from ganad_tf.datasets.synthetic_machines import MACHINES, SAMPLE_RATE, Take, unit_rms
from ganad_tf.features import log_mel_layer
from ganad_tf.findings.explain import explain
from ganad_tf.findings.finding import Finding, in_words
from ganad_tf.findings.healthy import Healthy

TOLERANCE = 0.03
KINDS = ("tone", "bursts", "louder band", "quieter band", "level", "healthy")
ANSWERS = (*KINDS[:-1], "nothing")


@dataclass(frozen=True)
class Fault:
    """A faulty clip `[samples]` and the true number, such as the frequency, or the true range."""

    clip: np.ndarray
    truth: tuple[float, ...] = ()


@dataclass(frozen=True)
class Answer:
    """Findings on one clip beside the truth: kind of the fault, and its number, range or sign."""

    machine: str
    kind: str
    truth: tuple[float, ...]
    findings: Sequence[Finding]

    @property
    def said(self) -> str:
        """Kind of the first finding, as in `ANSWERS`."""
        first = self.findings[0]
        if first.kind == "band":
            return "louder band" if (first.db or 0) > 0 else "quieter band"
        return "nothing" if first.kind == "unclear" else first.kind

    @property
    def error(self) -> float:
        """Relative error of a tone's frequency or of the bursts' rate."""
        value = self.findings[0].frequency_hz or self.findings[0].per_second
        return abs(value / self.truth[0] - 1) if value else np.inf

    @property
    def is_right(self) -> bool:
        """Whether kind and number are right."""
        first = self.findings[0]
        if self.kind == "healthy" or self.said != self.kind:
            return self.kind == "healthy" and self.said == "nothing"
        if self.kind in ("tone", "bursts"):
            return self.error <= TOLERANCE
        if self.kind == "level":
            return (first.db or 0) * self.truth[0] > 0
        return common_share((first.from_hz, first.to_hz), self.truth) >= 0.5


def tone(clip: np.ndarray, take: Take, gain: float) -> Fault:
    """A whine with up to three overtones, whose frequency drifts a little."""
    hz = log_uniform(take.rng, 150, 3500)
    count = min(int(take.rng.integers(1, 5)), int(0.45 * SAMPLE_RATE / hz))
    orders = np.arange(1, count + 1)
    sound = take.tones(take.turns(hz, wander=0.002), orders, take.rng.uniform(0.3, 1.0, count) / orders)
    return Fault(mixed(clip, sound, gain), (hz,))


def bursts(clip: np.ndarray, take: Take, gain: float) -> Fault:
    """Blows at a regular rate, each of which makes something ring briefly."""
    rate = log_uniform(take.rng, 2, 20)
    times = take.beats(1 / rate, jitter=0.02)
    resonances, decay = take.rng.uniform(800, 6500, 3), log_uniform(take.rng, 0.002, 0.015)
    sound = take.strikes(times, take.rng.normal(1, 0.1, times.size), resonances, decay)
    return Fault(mixed(clip, sound, gain), (rate,))


def louder_band(clip: np.ndarray, take: Take, gain: float) -> Fault:
    """Noise of a leak or of friction."""
    low, high = random_band(take.rng)
    sound = in_band(take.rng.normal(size=clip.size), low, high, inside=1, outside=0)
    return Fault(mixed(clip, sound, gain), (low, high))


def quieter_band(clip: np.ndarray, take: Take, _: float) -> Fault:
    """The sound without a part of it."""
    low, high = random_band(take.rng)
    gain = 10 ** (-take.rng.uniform(8, 16) / 20)
    return Fault(in_band(clip, low, high, inside=gain, outside=1), (low, high))


def level(clip: np.ndarray, take: Take, _: float) -> Fault:
    """The whole sound, 6 to 12 dB louder or quieter than any healthy clip."""
    sign = take.rng.choice([-1, 1])
    edge = max(synthetic.LOUDNESS_DB) if sign > 0 else min(synthetic.LOUDNESS_DB)
    return Fault(unit_rms(clip) * 10 ** ((edge + sign * take.rng.uniform(6, 12)) / 20), (sign,))


def healthy(clip: np.ndarray, take: Take, _: float) -> Fault:  # noqa: ARG001
    """No fault."""
    return Fault(clip)


FAULTS: dict[str, Callable[[np.ndarray, Take, float], Fault]] = dict(
    zip(KINDS, (tone, bursts, louder_band, quieter_band, level, healthy), strict=True)
)


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Random number whose logarithm is uniformly distributed."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def random_band(rng: np.random.Generator) -> tuple[float, float]:
    """Random band, half an octave to one and a half octaves wide."""
    low = log_uniform(rng, 300, 4000)
    return low, min(low * 2 ** rng.uniform(0.5, 1.5), 7500.0)


def in_band(sound: np.ndarray, low: float, high: float, *, inside: float, outside: float) -> np.ndarray:
    """Sound with one gain inside a band and another outside."""
    spectrum, hz = np.fft.rfft(sound), np.fft.rfftfreq(sound.size, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum * np.where((hz >= low) & (hz < high), inside, outside), sound.size)


def mixed(clip: np.ndarray, sound: np.ndarray, gain: float) -> np.ndarray:
    """Clip plus a fault's sound, whose amplitude is `gain` times that of the clip."""
    return clip + gain * np.sqrt(np.mean(clip**2)) * unit_rms(sound)


def common_share(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection of two bands over their union, on a logarithmic scale."""
    ends = np.log([one, other])
    union = ends[:, 1].max() - ends[:, 0].min()
    return max(0.0, float(ends[:, 1].min() - ends[:, 0].max()) / union)


def measure(machine: str, options: argparse.Namespace) -> Iterator[Answer]:
    """Adds each kind of fault to clips of one machine type and explains them."""
    settings = SyntheticData(seed=options.seed, seconds=options.seconds)
    layer = log_mel_layer(Audio(), Feature())
    compute = tf.function(layer, input_signature=[tf.TensorSpec([1, None], tf.float32)])

    def log_mel(samples: np.ndarray) -> np.ndarray:
        return compute(samples[np.newaxis].astype(np.float32))[0].numpy()

    ids = range(settings.n_ids)
    training = (
        (str(number), log_mel(synthetic.recording(machine, number, None, (0, index), settings)))
        for number, index in itertools.product(ids, range(options.train))
    )
    healthy_sound = Healthy.fit(training, Audio(), Feature())
    for (kind, make), number, index in itertools.product(FAULTS.items(), ids, range(options.clips)):
        seed = (1 + KINDS.index(kind), index)
        clip = synthetic.recording(machine, number, None, seed, settings)
        rng = np.random.default_rng((options.seed, sorted(MACHINES).index(machine), number, *seed, 99))
        gain = 10 ** (rng.uniform(*options.strength) / 20)
        fault = make(clip, Take(clip.size, rng, rng), gain)
        samples = np.clip(fault.clip, -1, 1).astype(np.float32)
        found = explain(healthy_sound, log_mel(samples), None if options.without_sound else samples)
        answer = Answer(machine, kind, fault.truth, found)
        if options.verbose and not answer.is_right:
            print(f"{machine} {number}, {kind} {np.round(fault.truth, 1)}: {in_words(found)}")
        yield answer


def table(answers: Sequence[Answer]) -> str:
    """Confusion table, and shares of right answers."""
    lines = [f"| fault | {' | '.join(ANSWERS)} | right |", "|" + "---|" * (len(ANSWERS) + 2)]
    for kind in KINDS:
        of_kind = [answer for answer in answers if answer.kind == kind]
        counts = Counter(answer.said for answer in of_kind)
        cells = [str(counts[name]) for name in ANSWERS]
        lines.append(f"| {kind} | {' | '.join(cells)} | {percent(answer.is_right for answer in of_kind)} |")
    faulty, sane = ([answer for answer in answers if (answer.kind != "healthy") == is_faulty] for is_faulty in (1, 0))
    lines += ["", f"faults right: {percent(answer.is_right for answer in faulty)} of {len(faulty)}"]
    lines += [f"healthy clips with a finding: {percent(not answer.is_right for answer in sane)} of {len(sane)}"]
    for kind in ("tone", "bursts"):
        errors = np.array([answer.error for answer in faulty if answer.said == answer.kind == kind])
        if errors.size:
            median = f"error of the {'frequency' if kind == 'tone' else 'rate'}: median {100 * np.median(errors):.2f} %"
            lines.append(f"{kind}: {median}, within 3 %: {percent(errors <= TOLERANCE)}")
    for machine in sorted({answer.machine for answer in faulty}):
        lines.append(f"{machine}: {percent(answer.is_right for answer in faulty if answer.machine == machine)}")
    return "\n".join(lines)


def percent(facts: Iterable[bool]) -> str:
    """Share of the facts that are true."""
    return f"{100 * np.mean(list(facts)):.1f} %"


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", nargs="+", default=sorted(MACHINES), choices=sorted(MACHINES), metavar="TYPE")
    parser.add_argument("--train", type=int, default=40, help="normal training clips per individual machine")
    parser.add_argument("--clips", type=int, default=10, help="clips per individual machine and kind of fault")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a clip")
    what = "range of an added sound's level against the healthy one, in dB"
    parser.add_argument("--strength", type=float, nargs=2, default=(-6.0, 6.0), metavar=("LOW", "HIGH"), help=what)
    parser.add_argument("--seed", type=int, default=0, help="seed of machines, clips and faults")
    parser.add_argument("--without-sound", action="store_true", help="explain log-mels alone, as if imported")
    parser.add_argument("--verbose", action="store_true", help="print each wrong answer")
    options = parser.parse_args()
    print(table([answer for machine in options.machines for answer in measure(machine, options)]))


if __name__ == "__main__":
    main()
