"""Sound of the healthy machine: levels per mel band of the normal training clips, and how far these vary.

A clip is described by its profile: quantiles over time and the mean power of each mel band, so that a steady sound can
be told from a passing one. Its level is taken out, because the loudness of a recording says little about the machine.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganad_tf.config.sections import Audio, Feature
from ganad_tf.files import checksummed
from ganad_tf.mel_scale import band_edges

QUANTILES = (0.1, 0.5, 0.9, 0.97)  # of a mel band's level over time
LULL, MEDIAN, MEAN = 0, 1, 4  # rows of a profile; the last is the mean power
FEWEST_CLIPS = 5  # of a machine ID that is described by itself
LEAST_CLIPS = 3  # of all
LEAST_DEVIATION_DB = 0.5
LEAST_LIMIT = 4.0
RARE = 0.02  # share of the healthy clips that exceed the limits
FITS = 3  # of mean and levels, which depend on each other
FARTHEST_DB = 10.0  # that count when the most similar machine is chosen


@dataclass(frozen=True)
class Normal:
    """Profiles of the clips of one healthy machine.

    Attributes:
      mean: Mean profile, `[rows, mels]` in dB relative to the clip's level.
      deviation: Standard deviation over clips, `[rows, mels]` in dB.
      limits: Standard deviations above (row 0) and below (row 1) the mean that healthy clips rarely exceed in any mel
        band, `[2, rows]`.
      levels: Lowest, mean and highest level of the clips, in dB.
    """

    mean: np.ndarray
    deviation: np.ndarray
    limits: np.ndarray
    levels: np.ndarray

    @classmethod
    def fit(cls, profiles: np.ndarray) -> "Normal":
        """Describes the profiles `[clips, rows, mels]` of at least two clips."""
        levels = np.median(profiles[:, MEDIAN], axis=1)
        for _ in range(FITS):
            mean = np.mean(profiles - levels[:, np.newaxis, np.newaxis], axis=0)
            levels = np.array([level_of(one, mean) for one in profiles])
        values = profiles - levels[:, np.newaxis, np.newaxis]
        deviation = np.maximum(values.std(axis=0, ddof=1), LEAST_DEVIATION_DB)
        return cls(
            mean=values.mean(axis=0),
            deviation=deviation,
            limits=_limits(values),
            levels=np.array([levels.min(), levels.mean(), levels.max()]),
        )

    def compare(self, profile: np.ndarray) -> tuple[float, np.ndarray]:
        """A clip's level in dB, and the deviation of its profile from the mean one, `[rows, mels]` in dB."""
        level = level_of(profile, self.mean)
        return level, profile - level - self.mean


@dataclass(frozen=True)
class Healthy:
    """Sound of a healthy machine type, as `explain` needs it.

    Attributes:
      sample_rate: In hertz.
      n_fft: Samples per spectrum.
      hop_length: Samples from one spectrum to the next.
      has_level: Whether log-mels show the level of the recording.
      machines: Individual machines by ID, those with few clips together.
      kind, fmin, fmax: As in the section `feature`.
    """

    sample_rate: int
    n_fft: int
    hop_length: int
    has_level: bool
    machines: dict[str, Normal]
    kind: str = "log_mel"
    fmin: float = 0.0
    fmax: float | None = None

    @classmethod
    def fit(cls, log_mels: Iterable[tuple[str, np.ndarray]], audio: Audio, feature: Feature) -> "Healthy | None":
        """Describes normal training clips; None if they are too few.

        Args:
          log_mels: Machine ID and log-mel `[frames, mels]` in dB of each clip.
          audio: Audio settings.
          feature: Feature settings.
        """
        by_id: dict[str, list[np.ndarray]] = defaultdict(list)
        for machine_id, log_mel in log_mels:
            by_id[machine_id].append(profile_of(log_mel))
        if min(map(len, by_id.values()), default=0) < FEWEST_CLIPS:
            by_id = {"": [one for profiles in by_id.values() for one in profiles]}
        if min(map(len, by_id.values())) < LEAST_CLIPS:
            return None
        machines = {machine_id: Normal.fit(np.stack(profiles)) for machine_id, profiles in by_id.items()}
        has_level = feature.log == "baseline"
        return cls(
            sample_rate=audio.sample_rate,
            n_fft=feature.n_fft,
            hop_length=feature.hop_length,
            has_level=has_level,
            machines=machines,
            kind=feature.kind,
            fmin=feature.fmin,
            fmax=feature.fmax,
        )

    @property
    def edges(self) -> np.ndarray:
        """Edges and centres of the mel bands, `[mels + 2]` in hertz; see `mel_scale`."""
        n_bands = next(iter(self.machines.values())).mean.shape[1]
        return band_edges(self.kind, n_bands, self.sample_rate, self.fmin, self.fmax)

    @property
    def spectra_per_second(self) -> float:
        """Spectra of a log-mel per second."""
        return self.sample_rate / self.hop_length

    def most_similar(self, profile: np.ndarray) -> Normal:
        """The individual machine whose clips sound most like a clip."""

        def distance(normal: Normal) -> float:
            _, db = normal.compare(profile)
            return float(np.minimum(np.abs(db), FARTHEST_DB).mean())

        return min(self.machines.values(), key=distance)

    def dump(self) -> str:
        """Text of `healthy.json`, to 0.01 dB."""
        machines = {
            machine_id: {name: np.round(values, 2).tolist() for name, values in vars(normal).items()}
            for machine_id, normal in self.machines.items()
        }
        return checksummed.dump("healthy", {**vars(self), "machines": machines})

    @classmethod
    def load(cls, text: str) -> "Healthy":
        """Reads the text of `dump`.

        Raises:
          ValueError, LookupError or TypeError: If the text was changed since.
        """
        values: dict[str, Any] = checksummed.load("healthy", text)
        machines = {
            machine_id: Normal(**{name: np.array(value) for name, value in normal.items()})
            for machine_id, normal in values.pop("machines").items()
        }
        return cls(**values, machines=machines)


def profile_of(log_mel: np.ndarray) -> np.ndarray:
    """Quantiles over time and mean power of each mel band, `[rows, mels]` in dB, of a log-mel `[frames, mels]`."""
    power = 10 * np.log10(np.mean(np.exp(log_mel * (np.log(10) / 10)), axis=0, dtype=np.float64))
    return np.vstack([np.quantile(log_mel, QUANTILES, axis=0), power])


def level_of(profile: np.ndarray, mean: np.ndarray) -> float:
    """Level of a clip in dB: the middle of the half of its mel bands that agree best with the mean profile."""
    offsets = np.sort(profile[MEDIAN] - mean[MEDIAN])
    half = -(-len(offsets) // 2)
    first = int(np.argmin(offsets[half - 1 :] - offsets[: len(offsets) - half + 1]))
    return float(offsets[first : first + half].mean())


def _limits(values: np.ndarray) -> np.ndarray:
    """`Normal.limits` for `[clips, rows, mels]`, by comparing each clip with the others."""
    count = len(values)
    mean, squares = values.mean(axis=0), values.var(axis=0) * count
    apart = values - mean
    others = np.maximum(squares - apart**2 * count / (count - 1), 0) / (count - 2)  # variance without the clip
    z = apart * count / (count - 1) / np.maximum(np.sqrt(others), LEAST_DEVIATION_DB)
    farthest = np.stack([z.max(axis=2), -z.min(axis=2)], axis=1)  # [clips, 2, rows]
    return np.asarray(np.maximum(np.quantile(farthest, 1 - RARE, axis=0), LEAST_LIMIT))
