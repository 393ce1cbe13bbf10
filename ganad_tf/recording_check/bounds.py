"""Limits of the training clips → the numbers that the graph compares a clip with, margins included."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ganad_tf.recording_check.limits import DEAD_BELOW_DB, N_EXAMPLES, RecordingLimits

DITHER_DB = -84.0  # level of noise of one to two steps of 16 bits
OFFSET_MARGIN = 0.02
PEAK_SHARE, FLAT_SHARE = 5e-4, 5e-5  # of the samples: 80 and eight in ten seconds at 16 kHz
SHARE_FACTOR = 4.0  # times the largest share of a training clip
LEVEL_MARGIN_DB = 9.0
_SETTINGS = ("band_hz", "is_relative")


@dataclass(frozen=True)
class Bounds:
    """Numbers that a clip is compared with: arrays of float32 or, gathered from several machines' arrays, tensors.

    Attributes:
      dead_db: Level below which the microphone is dead, `[]`.
      level_db, offset: Lowest and highest of the training clips, `[2]`.
      offset_margin: Least distance from them that is an offset, `[]`.
      peak_share, flat_share: Largest that are not clipped, `[]`.
      band_low_db, band_high_db, examples_db, roughness: As of `RecordingLimits`.
      band_hz, is_relative: As of `RecordingLimits`; they follow from the settings.
    """

    dead_db: Any
    level_db: Any
    offset: Any
    offset_margin: Any
    peak_share: Any
    flat_share: Any
    band_low_db: Any
    band_high_db: Any
    examples_db: Any
    roughness: Any
    band_hz: tuple[float, ...]
    is_relative: bool

    @classmethod
    def of(cls, limits: RecordingLimits) -> "Bounds":
        """The bounds by these limits."""
        (quietest, _), (low, high) = limits.level_db, limits.offset
        numbers = {
            "dead_db": min(max(DITHER_DB, quietest - DEAD_BELOW_DB), quietest - LEVEL_MARGIN_DB),
            "offset_margin": max(OFFSET_MARGIN, 2 * (high - low)),
            "peak_share": max(PEAK_SHARE, SHARE_FACTOR * limits.peak_share),
            "flat_share": max(FLAT_SHARE, SHARE_FACTOR * limits.flat_share),
        }
        kept = ("level_db", "offset", "band_low_db", "band_high_db", "examples_db", "roughness")
        numbers |= {name: getattr(limits, name) for name in kept}
        arrays = {name: np.array(value, np.float32) for name, value in numbers.items()}
        return cls(**arrays, band_hz=limits.band_hz, is_relative=limits.is_relative)

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name, of equal shapes for all machines of the same settings: examples are repeated."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _SETTINGS}
        return own | {"examples_db": np.resize(self.examples_db, [N_EXAMPLES, len(self.band_hz)])}

    def with_arrays(self, arrays: Mapping[str, Any]) -> "Bounds":
        """The bounds with other arrays or tensors, named as in `arrays`."""
        return replace(self, **arrays)
