"""Comparison of one clip with the healthy machine: which mel bands deviate farther than healthy clips do."""

from dataclasses import dataclass

import numpy as np

from ganad_tf.findings.healthy import LULL, MEAN, MEDIAN, Healthy, Normal, profile_of

LEAST_DB = 3.0  # smaller deviations are not worth a word
LONGEST_SECONDS = 30.0  # of the samples that frequencies are measured in


@dataclass(frozen=True)
class Evidence:
    """A clip, compared with the healthy machine.

    Attributes:
      known: Sound of the healthy machine type.
      normal: The individual machine that sounds most alike.
      log_mel: `[frames, mels]` in dB.
      samples: The clip `[samples]`; None for an imported log-mel.
      level: Level of the clip in dB.
      db: Deviation from the mean profile, `[rows, mels]`.
      is_louder, is_quieter: Whether the deviation exceeds the limits, `[rows, mels]`.
    """

    known: Healthy
    normal: Normal
    log_mel: np.ndarray
    samples: np.ndarray | None
    level: float
    db: np.ndarray
    is_louder: np.ndarray
    is_quieter: np.ndarray

    @classmethod
    def gather(cls, known: Healthy, log_mel: np.ndarray, samples: np.ndarray | None) -> "Evidence":
        """Compares a clip's log-mel with the individual machine that sounds most alike."""
        profile = profile_of(log_mel)
        normal = known.most_similar(profile)
        level, db = normal.compare(profile)
        farthest = np.maximum(normal.limits[:, :, np.newaxis] * normal.deviation, LEAST_DB)  # [2, rows, mels]
        return cls(known, normal, log_mel, samples, level, db, db > farthest[0], -db > farthest[1])

    @property
    def is_steadily_louder(self) -> np.ndarray:
        """Mel bands `[mels]` whose lulls or median are louder."""
        return np.asarray(self.is_louder[[LULL, MEDIAN]].any(axis=0))

    @property
    def level_db(self) -> float:
        """Level above the loudest or, negative, below the quietest healthy clip."""
        lowest, _, highest = self.normal.levels
        return float(min(self.level - lowest, 0.0) + max(self.level - highest, 0.0))

    def weight(self, is_level: bool, bands: np.ndarray) -> float:
        """Sum of the deviations that a finding explains, over its mel bands, a mask `[mels]`, in dB."""
        farthest = self.level_db if is_level else np.abs(self.db[[MEDIAN, MEAN]]).max(axis=0)
        return float(np.sum(np.abs(farthest) * bands))

    def bins(self, bands: np.ndarray, hz: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Which frequencies `[bins]` lie in any of the mel bands, a mask `[mels]`."""
        low, high = self.known.edges[:-2][bands] - margin, self.known.edges[2:][bands] + margin
        return np.asarray(((hz[:, np.newaxis] >= low) & (hz[:, np.newaxis] <= high)).any(axis=1))

    def stretch(self, bands: np.ndarray) -> np.ndarray:
        """Samples of the clip, of a long one the `LONGEST_SECONDS` that are loudest in the mel bands."""
        assert self.samples is not None
        count = int(LONGEST_SECONDS * self.known.sample_rate)
        if len(self.samples) <= count:
            return self.samples
        frames = int(LONGEST_SECONDS * self.known.spectra_per_second)
        sums = np.cumsum(np.pad(self.log_mel[:, bands].mean(axis=1, dtype=np.float64), (1, 0)))
        first = int(np.argmax(sums[frames:] - sums[:-frames])) * self.known.hop_length
        return self.samples[first : first + count]
