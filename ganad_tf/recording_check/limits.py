"""Statistics of normal training clips → the limits within which a recording's conditions are known.

Every limit is the range that the training clips span, which `verdict.py` widens by a fixed margin: a handful of clips
doesn't tell how far healthy recordings scatter, and a limit that is too wide costs less than a healthy clip refused.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ganad_tf.config.sections import Audio, Feature
from ganad_tf.recording_check.statistics import SOUND_STATISTICS

DEAD_BELOW_DB = 50.0  # below the level of others, a recording has no sound; nothing is learned from it
USUAL_SHARE = 0.9  # of the training clips; the others may be clipped
SMOOTH_DEGREE = 4  # of the polynomial over mel bands that a background's spectrum is near to
N_EXAMPLES = 24  # spectra that are kept, those that differ most


@dataclass(frozen=True)
class RecordingLimits:
    """The recording conditions of the normal training clips of one machine type.

    Attributes:
      n_clips: Number of the clips.
      level_db: Lowest and highest level, in dB of full scale.
      offset: Lowest and highest mean.
      peak_share, flat_share: Largest of each, but for a tenth of the clips.
      band_low_db, band_high_db: Lowest and highest level of each mel band, `[mels]` in dB.
      examples_db: Levels of the mel bands of some clips, `[clips, mels]` in dB.
      roughness: Smallest mean distance of a clip's spectrum from a smooth curve, in dB.
      band_hz: Lower edge of each mel band.
      is_relative: Whether the log-mels are relative to the clip's loudest value, so that they lack the level.
    """

    n_clips: int
    level_db: tuple[float, float]
    offset: tuple[float, float]
    peak_share: float
    flat_share: float
    band_low_db: tuple[float, ...]
    band_high_db: tuple[float, ...]
    examples_db: tuple[tuple[float, ...], ...]
    roughness: float
    band_hz: tuple[float, ...]
    is_relative: bool

    @classmethod
    def fit(cls, sounds: np.ndarray, bands: np.ndarray, audio: Audio, feature: Feature) -> "RecordingLimits":
        """Learns the limits.

        Args:
          sounds: `statistics.of_waveform` of the normal training clips, `[clips, 4]`.
          bands: `statistics.of_log_mel` of the same clips, `[clips, mels]`.
          audio: Settings of the waveforms.
          feature: Settings of the log-mels.

        >>> limits = RecordingLimits.fit(np.zeros([2, 4]), np.zeros([2, 128]), Audio(), Feature())
        >>> limits.level_db, len(limits.band_hz)
        ((0.0, 0.0), 128)
        """
        level = sounds[:, SOUND_STATISTICS.index("level_db")]
        is_alive = level > np.median(level) - DEAD_BELOW_DB
        sounds, bands = sounds[is_alive], bands[is_alive]
        by_name = dict(zip(SOUND_STATISTICS, np.asarray(sounds, np.float64).T, strict=True))
        is_relative = feature.log != "baseline"
        levels = absolute(np.asarray(bands, np.float64), by_name["level_db"]) if is_relative else bands
        return cls(
            n_clips=len(sounds),
            level_db=_span(by_name["level_db"], 2),
            offset=_span(by_name["offset"], 6),
            peak_share=float(np.quantile(by_name["peak_share"], USUAL_SHARE)),
            flat_share=float(np.quantile(by_name["flat_share"], USUAL_SHARE)),
            band_low_db=_rounded(np.min(levels, axis=0)),
            band_high_db=_rounded(np.max(levels, axis=0)),
            examples_db=tuple(map(_rounded, levels[_most_different(levels)])),
            roughness=round(float(np.abs(levels - levels @ smoothing(bands.shape[1])).mean(axis=1).min()), 3),
            band_hz=_rounded(feature.band_edges(audio.sample_rate)[:-2]),
            is_relative=is_relative,
        )

    def to_json(self) -> dict[str, Any]:
        """The limits as JSON can hold them."""
        return asdict(self)

    @classmethod
    def from_json(cls, body: dict[str, Any]) -> "RecordingLimits":
        """The limits that `to_json` returned, before or after JSON.

        Raises:
          TypeError, ValueError or LookupError: If something is missing or of another form.
        """
        names = ("level_db", "offset", "band_low_db", "band_high_db", "band_hz")
        rows = {name: tuple(map(float, body[name])) for name in names}
        examples = tuple(tuple(map(float, row)) for row in body["examples_db"])
        return cls(**{**body, **rows, "examples_db": examples})


def absolute(bands: np.ndarray, level_db: np.ndarray) -> np.ndarray:
    """Band levels `[clips, mels]` in dB up to an offset per clip → those that sum up to the clips' levels `[clips]`."""
    loudest = bands.max(axis=1, keepdims=True)
    total = loudest + 10 * np.log10(np.sum(10 ** ((bands - loudest) / 10), axis=1, keepdims=True))
    return bands - total + np.asarray(level_db)[:, np.newaxis]


def smoothing(n_mels: int) -> np.ndarray:
    """Projection `[mels, mels]` of spectra on smooth curves: polynomials of the mel band.

    >>> line = np.arange(128.0)
    >>> bool(np.allclose(line @ smoothing(128), line))
    True
    """
    degree = min(SMOOTH_DEGREE, n_mels // 8)
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(np.linspace(-1, 1, n_mels), degree))
    return np.asarray(basis @ basis.T)


def _most_different(levels: np.ndarray) -> list[int]:
    """Indices of at most `N_EXAMPLES` clips, each the farthest from those before it in the shape of its spectrum."""
    shapes = levels - np.median(levels, axis=1, keepdims=True)
    chosen, distances = [0], np.abs(shapes - shapes[0]).mean(axis=1)
    while len(chosen) < min(N_EXAMPLES, len(levels)):
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.abs(shapes - shapes[chosen[-1]]).mean(axis=1))
    return chosen


def _span(values: np.ndarray, digits: int) -> tuple[float, float]:
    return round(float(values.min()), digits), round(float(values.max()), digits)


def _rounded(values: Sequence[float] | np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in values)
