"""Measurement of the recording check: faults injected into healthy recordings, and healthy ones as they are.

    python tools/recording_faults.py [--data DIR] [--machines M ...] [--clips N] [--train N ...] [--repeats N]

Limits are learned from some healthy clips of a machine type, and all others are judged: as they are, and once with
each fault. Healthy clips are judged again with other clips to learn from, drawn at random, `--repeats` times in all.
Prints a table of the share of faults that are named, by kind, and of the shares of healthy and of broken machines'
clips that are refused. `--data` is a folder of real recordings in the layout of DCASE Task 2
(`<machine>/{train,test}/*normal_*.wav`); otherwise the clips are those of the synthetic machines.
"""

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.config.sections import Audio, Feature, SyntheticData
from ganad_tf.datasets.synthetic import recording
from ganad_tf.datasets.synthetic_machines import MACHINES, SAMPLE_RATE, Take, factory
from ganad_tf.features import log_mel_layer
from ganad_tf.recording_check import statistics
from ganad_tf.recording_check.limits import RecordingLimits
from ganad_tf.recording_check.verdict import not_judged

Fault = Callable[[np.ndarray, tuple[float, float], np.random.Generator], np.ndarray]


def dead(clip: np.ndarray, _: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Zeros, a constant, or dither of one or two steps of 16 bits."""
    kind, steps = rng.integers(3), rng.integers(1, 3)
    noise = rng.triangular(-1, 0, 1, clip.size) * steps / 32768
    return [np.zeros(clip.size), np.full(clip.size, rng.uniform(-0.5, 0.5)), noise][kind]


def clipped(clip: np.ndarray, _: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """The gain at which 0.2 to 5 % of the samples are cut off."""
    return clip / np.quantile(np.abs(clip), 1 - rng.uniform(0.002, 0.05))


def offset(clip: np.ndarray, _: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """A constant of 0.1 to 0.5 added, of either sign."""
    return clip + rng.choice([-1, 1]) * rng.uniform(0.1, 0.5)


def louder(clip: np.ndarray, levels: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """12 to 24 dB above the loudest recording that was learned from."""
    return to_level(clip, levels[1] + rng.uniform(12, 24))


def quieter(clip: np.ndarray, levels: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """12 to 24 dB below the quietest recording that was learned from."""
    return to_level(clip, levels[0] - rng.uniform(12, 24))


def low_passed(clip: np.ndarray, _: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Nothing above 2 to 6 kHz: resampled to a lower rate and back, or by a Butterworth filter of order 10."""
    cut_hz = rng.uniform(2000, 6000)
    if rng.integers(2):
        sections = scipy.signal.butter(10, cut_hz, fs=SAMPLE_RATE, output="sos")
        return scipy.signal.sosfilt(sections, clip)
    return scipy.signal.resample(scipy.signal.resample(clip, int(clip.size * 2 * cut_hz / SAMPLE_RATE)), clip.size)


def not_running(clip: np.ndarray, levels: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """Noise of a factory hall alone, 12 to 24 dB below the quietest recording that was learned from."""
    return to_level(factory(Take(clip.size, rng, rng)), levels[0] - rng.uniform(12, 24))


FAULTS: dict[str, tuple[Fault, str]] = {
    "dead microphone": (dead, "dead microphone"),
    "clipped": (clipped, "clipped"),
    "constant offset": (offset, "constant offset"),
    "gain 12 to 24 dB up": (louder, "level .* above|clipped"),  # some of these are clipped, too
    "gain 12 to 24 dB down": (quieter, "level .* below"),
    "low-passed at 2 to 6 kHz": (low_passed, "band limited"),
    "machine not running": (not_running, "machine not running"),
}


def to_level(clip: np.ndarray, level_db: float) -> np.ndarray:
    """The clip at a level in dB of full scale."""
    return clip * 10 ** (level_db / 20) / max(float(clip.std()), 1e-9)


class Clips(NamedTuple):
    """Clips of a machine type, `[samples]` each: of healthy and of broken machines."""

    healthy: list[np.ndarray]
    broken: list[np.ndarray]


def synthetic_clips(machine: str, count: int, seconds: float) -> Clips:
    """Clips of two individual synthetic machines."""
    settings, faults = SyntheticData(seconds=seconds), MACHINES[machine][1]

    def clips(split: int, kinds: Sequence[str | None]) -> list[np.ndarray]:
        return [
            recording(machine, number % 2, kinds[number % len(kinds)], (split, number), settings)
            for number in range(count)
        ]

    return Clips(clips(0, [None]), clips(2, faults))


def real_clips(folder: Path, count: int) -> Clips:
    """Recordings of a machine type, healthy ones for training first."""
    healthy = [path for split in ("train", "test") for path in sorted((folder / split).glob("*normal_*"))]
    chosen = healthy[:count], sorted(folder.glob("test/*anomaly_*"))[:count]
    return Clips(*([audio.read(path, Audio()) for path in paths] for paths in chosen))


class Statistics:
    """Statistics of 16-bit recordings of one kind of log-mels."""

    def __init__(self) -> None:
        layer = log_mel_layer(Audio(), Feature())
        spec = tf.TensorSpec([None], tf.float32)
        self._of = tf.function(
            lambda clip: (statistics.of_waveform(clip), statistics.of_log_mel(layer.in_pieces(clip))),
            input_signature=[spec],
        )

    def __call__(self, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Statistics of the waveform, `[4]`, and of the log-mel, `[mels]`, of a clip that is recorded in 16 bits."""
        recorded = np.clip(np.round(clip * 32768), -32768, 32767).astype(np.float32) / 32768
        sound, bands = self._of(recorded)
        return sound.numpy(), bands.numpy()


class Tally:
    """Number of clips by fault, and reasons given for them; the fault `healthy` should have none."""

    def __init__(self) -> None:
        self.reasons: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, fault: str, reason: str) -> None:
        """Adds a verdict; numbers in it don't count."""
        self.reasons[fault][re.sub(r"[\d.]+", "_", reason)] += 1

    def share_right(self, fault: str) -> float:
        """Share of the clips with a fault that is named."""
        expected, counts = FAULTS[fault][1], self.reasons[fault]
        return sum(n for reason, n in counts.items() if re.match(f"({expected})", reason)) / counts.total()

    def share_refused(self, fault: str) -> float:
        """Share of the clips that are refused, for any reason."""
        return 1 - self.reasons[fault][""] / self.reasons[fault].total()

    def rows(self) -> Iterator[str]:
        """Rows of a Markdown table."""
        yield "| clips | number | refused | reason right | other verdicts |"
        yield "|---|---|---|---|---|"
        faults = [fault for fault in FAULTS if fault in self.reasons]
        for fault in faults:
            wrong = [
                f"{reason or 'judged'}: {count}"
                for reason, count in self.reasons[fault].most_common()
                if not re.match(f"({FAULTS[fault][1]})", reason)
            ]
            counts = f"{self.reasons[fault].total()} | {percent(self.share_refused(fault))}"
            yield f"| {fault} | {counts} | {percent(self.share_right(fault))} | {', '.join(wrong)} |"
        total = sum(self.reasons[fault].total() for fault in faults)
        refused, right = (
            sum(share(fault) * self.reasons[fault].total() for fault in faults) / total
            for share in (self.share_refused, self.share_right)
        )
        yield f"| **all faults** | {total} | {percent(refused)} | {percent(right)} | |"
        for name in ("healthy", "broken"):
            counts = self.reasons[name]
            wrong = [f"{reason}: {count}" for reason, count in counts.most_common() if reason]
            refused = percent(self.share_refused(name)) if counts else ""
            yield f"| **{name} machine** | {counts.total()} | {refused} | | {', '.join(wrong)} |"


def percent(share: float) -> str:
    """A share as text."""
    return f"{100 * share:.2f} %"


def measure(clips: Clips, n_train: int, *, repeats: int, seed: int, of: Statistics, tally: Tally) -> None:
    """Learns from `n_train` of the healthy clips, drawn at random, and adds the verdicts on all others to a tally.

    Faults are injected once, as they take most of the time.
    """
    healthy, broken = (list(map(of, group)) for group in clips)
    for repeat in range(repeats):
        rng = np.random.default_rng((seed, n_train, repeat))
        order = rng.permutation(len(healthy))
        sounds, bands = map(np.stack, zip(*(healthy[number] for number in order[:n_train]), strict=True))
        limits = RecordingLimits.fit(sounds, bands, Audio(), Feature())
        check = tf.function(lambda sound, bands, limits=limits: not_judged(sound, bands, limits))
        for known in broken:
            tally.add("broken", check(*known).numpy().decode())
        for number in order[n_train:]:
            tally.add("healthy", check(*healthy[number]).numpy().decode())
            for fault, (inject, _) in FAULTS.items() if repeat == 0 else ():
                spoilt = inject(np.asarray(clips.healthy[number], np.float64), limits.level_db, rng)
                tally.add(fault, check(*of(spoilt)).numpy().decode())


def main() -> None:
    """Prints one table per number of clips that are learned from."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of real recordings; without it, synthetic machines")
    parser.add_argument("--machines", nargs="+", default=sorted(MACHINES), help="machine types")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of a synthetic clip")
    parser.add_argument("--clips", type=int, default=40, help="healthy clips of each machine type, at most")
    parser.add_argument("--train", type=int, nargs="+", default=[5, 20], help="clips that are learned from")
    parser.add_argument("--repeats", type=int, default=20, help="draws of the clips that are learned from")
    options = parser.parse_args()
    of = Statistics()
    tallies = {n_train: Tally() for n_train in options.train}
    for seed, machine in enumerate(options.machines):
        if options.data:
            clips = real_clips(options.data / machine, options.clips)
        else:
            clips = synthetic_clips(machine, options.clips, options.seconds)
        for n_train, tally in tallies.items():
            if n_train < len(clips.healthy):
                measure(clips, n_train, repeats=options.repeats, seed=seed, of=of, tally=tally)
    for n_train, tally in tallies.items():
        print(f"\n{n_train} training clips:\n")
        print("\n".join(tally.rows()))


if __name__ == "__main__":
    main()
