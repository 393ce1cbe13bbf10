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
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ganad_tf.config.sections import Audio, Feature, SyntheticData
from ganad_tf.datasets import synthetic
from ganad_tf.datasets.synthetic_machines import MACHINES, SAMPLE_RATE, Take, unit_rms
from ganad_tf.features import log_mel_layer

from ganad_tf.findings.explain import explain
from ganad_tf.findings.finding import Finding
from ganad_tf.findings.healthy import Healthy

STRENGTHS_DB = (-6.0, 6.0)  # of an added sound against the healthy one
TOLERANCE = 0.03
KINDS = ("tone", "bursts", "louder band", "quieter band", "level", "healthy")
ANSWERS = (*KINDS[:-1], "nothing")


@dataclass(frozen=True)
class Fault:
    """A faulty clip `[samples]` and the true number, such as the frequency, or the true range."""

    clip: np.ndarray
    truth: tuple[float, ...] = ()


def tone(clip: np.ndarray, take: Take) -> Fault:
    """A whine with up to three overtones, whose frequency drifts a little."""
    hz = log_uniform(take.rng, 150, 3500)
    count = min(int(take.rng.integers(1, 5)), int(0.45 * SAMPLE_RATE / hz))
    orders = np.arange(1, count + 1)
    sound = take.tones(take.turns(hz, wander=0.002), orders, take.rng.uniform(0.3, 1.0, count) / orders)
    return Fault(mixed(clip, sound, take), (hz,))


def bursts(clip: np.ndarray, take: Take) -> Fault:
    """Blows at a regular rate, each of which makes something ring briefly."""
    rate = log_uniform(take.rng, 2, 20)
    times = take.beats(1 / rate, jitter=0.02)
    resonances, decay = take.rng.uniform(800, 6500, 3), log_uniform(take.rng, 0.002, 0.015)
    return Fault(
        mixed(clip, take.strikes(times, take.rng.normal(1, 0.1, times.size), resonances, decay), take), (rate,)
    )


def louder_band(clip: np.ndarray, take: Take) -> Fault:
    """Noise of a leak or of friction."""
    low, high = random_band(take.rng)
    return Fault(
        mixed(clip, in_band(take.rng.normal(size=clip.size), low, high, inside=1, outside=0), take), (low, high)
    )


def quieter_band(clip: np.ndarray, take: Take) -> Fault:
    """The sound without a part of it."""
    low, high = random_band(take.rng)
    gain = 10 ** (-take.rng.uniform(8, 16) / 20)
    return Fault(in_band(clip, low, high, inside=gain, outside=1), (low, high))


def level(clip: np.ndarray, take: Take) -> Fault:
    """The whole sound, 6 to 12 dB louder or quieter than any healthy clip."""
    sign = take.rng.choice([-1, 1])
    edge = max(synthetic.LOUDNESS_DB) if sign > 0 else min(synthetic.LOUDNESS_DB)
    return Fault(unit_rms(clip) * 10 ** ((edge + sign * take.rng.uniform(6, 12)) / 20), (sign,))


def healthy(clip: np.ndarray, take: Take) -> Fault:  # noqa: ARG001
    """No fault."""
    return Fault(clip)


FAULTS: dict[str, Callable[[np.ndarray, Take], Fault]] = dict(
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


def mixed(clip: np.ndarray, sound: np.ndarray, take: Take) -> np.ndarray:
    """Clip plus a fault's sound at a random strength."""
    strength = 10 ** (take.rng.uniform(*STRENGTHS_DB) / 20)
    return clip + strength * np.sqrt(np.mean(clip**2)) * unit_rms(sound)


def answer(found: Finding | None) -> str:
    """Kind of a finding, as in `ANSWERS`."""
    if found is None or found.kind == "unclear":
        return "nothing"
    return found.kind if found.kind != "band" else "louder band" if found.db > 0 else "quieter band"


def is_right(kind: str, found: Finding | None, truth: tuple[float, ...]) -> bool:
    """Whether kind and number of a finding are those of the fault."""
    if answer(found) != ("nothing" if kind == "healthy" else kind):
        return False
    if kind in ("tone", "bursts"):
        return error_of(kind, found, truth) <= TOLERANCE
    if kind == "level":
        return found.db * truth[0] > 0
    if kind != "healthy":
        return common_share((found.from_hz, found.to_hz), truth) >= 0.5
    return True


def error_of(kind: str, found: Finding, truth: tuple[float, ...]) -> float:
    """Relative error of a tone's frequency or of the bursts' rate."""
    value = found.frequency_hz if kind == "tone" else found.per_second
    return abs(value / truth[0] - 1) if value else np.inf


def common_share(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Intersection of two bands over their union, on a logarithmic scale."""
    ends = np.log([one, other])
    union = ends[:, 1].max() - ends[:, 0].min()
    return max(0.0, float(ends[:, 1].min() - ends[:, 0].max()) / union)


def main() -> None:
    """Prints the confusion table and the errors."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--machines", nargs="+", default=sorted(MACHINES), choices=sorted(MACHINES), metavar="TYPE")
    parser.add_argument("--train", type=int, default=40, help="normal training clips per individual machine")
    parser.add_argument("--clips", type=int, default=10, help="clips per individual machine and kind of fault")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--without-sound", action="store_true", help="explain from log-mels alone, as imported ones are"
    )
    parser.add_argument("--verbose", action="store_true", help="print each wrong sentence")
    options = parser.parse_args()
    settings = SyntheticData(seed=options.seed, seconds=options.seconds)
    audio, feature = Audio(), Feature()
    layer = log_mel_layer(audio, feature)
    counts: Counter[tuple[str, str]] = Counter()
    right: dict[str, list[bool]] = defaultdict(list)
    errors: dict[str, list[float]] = defaultdict(list)
    by_machine: dict[str, list[bool]] = defaultdict(list)
    for machine in options.machines:
        training = [
            (str(number), layer(synthetic.recording(machine, number, None, (0, clip), settings)[np.newaxis])[0].numpy())
            for number in range(settings.n_ids)
            for clip in range(options.train)
        ]
        known = Healthy.fit(training, audio, feature)
        for kind, make in FAULTS.items():
            for number in range(settings.n_ids):
                for index in range(options.clips):
                    seed = (1 + KINDS.index(kind), index)
                    clip = synthetic.recording(machine, number, None, seed, settings)
                    rng = np.random.default_rng((options.seed, sorted(MACHINES).index(machine), number, *seed, 99))
                    fault = make(clip, Take(clip.size, rng, rng))
                    samples = np.clip(fault.clip, -1, 1).astype(np.float32)
                    log_mel = layer(samples[np.newaxis])[0].numpy()
                    found = explain(known, log_mel, None if options.without_sound else samples)
                    first = found[0] if found else None
                    counts[kind, answer(first)] += 1
                    good = is_right(kind, first, fault.truth)
                    right[kind].append(good)
                    by_machine[machine].append(good)
                    if kind in ("tone", "bursts") and answer(first) == kind:
                        errors[kind].append(error_of(kind, first, fault.truth))
                    if options.verbose and not good:
                        print(
                            machine,
                            number,
                            index,
                            kind,
                            np.round(fault.truth, 1),
                            "->",
                            [one.sentence for one in found],
                        )
    print("| fault | " + " | ".join(ANSWERS) + " | right |\n|" + "---|" * (len(ANSWERS) + 2))
    for kind in KINDS:
        cells = [str(counts[kind, name]) for name in ANSWERS]
        print(f"| {kind} | " + " | ".join(cells) + f" | {100 * np.mean(right[kind]):.1f} % |")
    for kind, values in errors.items():
        print(
            f"{kind}: error of the number, median {100 * np.median(values):.2f} %, within 3 %: {100 * np.mean(np.array(values) <= TOLERANCE):.1f} %"
        )
    faulty = [good for kind in KINDS[:-1] for good in right[kind]]
    print(
        f"faults right: {100 * np.mean(faulty):.1f} % of {len(faulty)}; healthy clips with a finding: {100 * (1 - np.mean(right['healthy'])):.1f} %"
    )
    print(
        "by machine: " + ", ".join(f"{machine} {100 * np.mean(goods):.1f} %" for machine, goods in by_machine.items())
    )


if __name__ == "__main__":
    main()
