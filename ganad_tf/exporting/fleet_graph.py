"""The graph of a fleet: sound and the name of its machine → anomaly score and decision.

The graph is traced once, with the layers of one machine. All that differs between machines (weights, standardisation,
density, threshold, calibration scores) is stacked in one variable each, from which every clip gathers its machine's.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.config import Config
from ganad_tf.exporting.checks import expect
from ganad_tf.exporting.deciding import Ladder, Tensors
from ganad_tf.exporting.graph import Member, SoundScorer, member_score, used_weights
from ganad_tf.results import conformal
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring import compound_densities
from ganad_tf.serving.models.signature import MACHINE

LADDER = CALIBRATION, P_VALUES = "calibration", "p_values"  # as of `deciding.Ladder`
THRESHOLD, MEAN, DEVIATION = "threshold", "mean", "deviation"
WEIGHT, DENSITY = "weight.", "density."  # prefixes
COUNT = "count"  # of neighbours: a setting, not to be stacked
RECORDED = "regularization"  # no score depends on it

Arrays = Mapping[str, np.ndarray]


def arrays_of(
    config: Config, member: Member, threshold: float, calibration: Sequence[ClipScore]
) -> dict[str, np.ndarray]:
    """Arrays that a machine's scores and decisions depend on, by name.

    Args:
      config: The machine's settings.
      member: Its detector with the scorer.
      threshold: Clips with a higher score are anomalies.
      calibration: Scores of normal clips that the detector has not seen; empty for none.

    Returns:
      Arrays of float32; the threshold and the calibration scores are float64.
    """
    clip = tf.TensorSpec([None, config.feature.bands], tf.float32)
    ladder = conformal.ladder([clip.score for clip in calibration], [clip.recording for clip in calibration])
    arrays: dict[str, np.ndarray] = {
        THRESHOLD: np.asarray(threshold, np.float64),
        CALIBRATION: ladder[0],
        P_VALUES: ladder[1].astype(np.float32),
    }
    if member.model.normalizer is not None:
        normalizer = member.model.normalizer
        arrays |= {MEAN: np.asarray(normalizer.mean, np.float32), DEVIATION: normalizer.deviation}
    for number, (_, value) in enumerate(used_weights(member, clip, explains=False)):
        arrays[f"{WEIGHT}{number}"] = value
    if member.fitted.density is not None:
        arrays |= {f"{DENSITY}{name}": array for name, array in member.fitted.density.arrays.items()}
    return {name: np.asarray(array) for name, array in arrays.items() if not name.endswith(RECORDED)}


def _is_count(name: str) -> bool:
    return name.startswith(DENSITY) and name.endswith(COUNT)


@dataclass(frozen=True)
class _Standardization:
    """`Normalizer` with tensors, `[mels]` each, as its constants."""

    mean: tf.Tensor
    deviation: tf.Tensor

    def __call__(self, log_mel: tf.Tensor) -> tf.Tensor:
        return (log_mel - self.mean) / self.deviation


class FleetScorer(SoundScorer):
    """Functions from sound and the name of its machine to anomaly scores, of machines of one configuration.

    Args:
      config: Their settings.
      member: The detector and the scorer of any of them, whose layers are traced.
      machines: Names of the machines.
      arrays: `arrays_of` each of them, all of the same shapes.
      longest_samples: As of `SoundScorer`.

    Attributes:
      machines: Names of the machines.
      stacked: Variables by name, `[machines, ...]`, which the functions use.
      functions: As of `SoundScorer`, without `explain`; all but `audio_format` also take `machine`, `[batch]` strings.
    """

    def __init__(
        self,
        config: Config,
        member: Member,
        machines: Sequence[str],
        arrays: Sequence[Arrays],
        *,
        longest_samples: int | None = None,
    ) -> None:
        first = arrays[0]
        unchecked = dataclasses.replace(member, limits=None)
        super().__init__(
            config,
            [unchecked],
            float(first[THRESHOLD]),
            calibration=[ClipScore("", score) for score in first[CALIBRATION]],
            longest_samples=longest_samples,
        )
        self.machines = tuple(machines)
        clip = tf.TensorSpec([None, config.feature.bands], tf.float32)
        self._replaced = [variable for variable, _ in used_weights(unchecked, clip, explains=False)]
        self._counts = {name: array for name, array in first.items() if _is_count(name)}
        self.stacked = {
            name: tf.Variable(np.stack([own[name] for own in arrays]), trainable=False, name=name)
            for name in first
            if not _is_count(name)
        }
        self.functions.pop("explain", None)

    def score_clip(self, log_mel: tf.Tensor, machine_id: tf.Tensor, *, in_pieces: bool = True) -> tf.Tensor:
        """Anomaly score of one clip, float32.

        Args:
          log_mel: `[frames, mels]` in dB.
          machine_id: Name of the clip's machine, one of `machines`.
          in_pieces: Whether the memory of long clips is bounded.
        """
        number = self._numbers(machine_id[tf.newaxis])[0]
        own = {name: tf.gather(variable, number) for name, variable in self.stacked.items() if name not in LADDER}
        weights = [(variable, own[f"{WEIGHT}{index}"]) for index, variable in enumerate(self._replaced)]
        with keras.StatelessScope(weights):
            return member_score(self._member(own), log_mel, tf.constant(""), in_pieces=in_pieces)

    def _member(self, own: dict[str, tf.Tensor]) -> Member:
        """The traced member with one machine's standardisation and density."""
        (member,) = self.members
        model, fitted = member.model, member.fitted
        if MEAN in own:
            normalizer: Any = _Standardization(own[MEAN], own[DEVIATION])
            model = dataclasses.replace(model, normalizer=normalizer)
        if fitted.density is not None:
            named = (own | self._counts).items()
            constants = {name.removeprefix(DENSITY): value for name, value in named if name.startswith(DENSITY)}
            density = compound_densities.from_arrays(fitted.settings.density, constants)
            fitted = dataclasses.replace(fitted, density=density)
        return dataclasses.replace(member, model=model, fitted=fitted)

    def _numbers(self, machines: tf.Tensor) -> tf.Tensor:
        """Numbers of machines among the known ones, `[batch]` strings → `[batch]`."""
        return tf.argmax(tf.cast(tf.equal(machines[:, tf.newaxis], self.machines), tf.int32), axis=1)

    def _machine_input(self) -> list[tf.TensorSpec]:
        return [tf.TensorSpec([None], tf.string, MACHINE)]

    def _machines_of(self, clips: tf.Tensor, *given: tf.Tensor) -> tf.Tensor:
        (machines,) = given
        n_clips, n_given = tf.shape(clips)[0], tf.shape(machines)[0]
        is_known = tf.reduce_any(tf.equal(machines[:, tf.newaxis], self.machines), axis=1)
        unknown = tf.boolean_mask(machines, ~is_known)[:1]
        checks = [
            expect(tf.equal(n_clips, n_given), f"{MACHINE}: expected one per clip,", n_clips, "received", n_given),
            expect(tf.reduce_all(is_known), f"{MACHINE}: expected a machine of this fleet, received", unknown),
        ]
        with tf.control_dependencies(checks):
            return tf.identity(machines)

    def _decide(self, scores: tf.Tensor, machines: tf.Tensor) -> Tensors:
        numbers = self._numbers(machines)
        return self._decider.decide(scores, tf.gather(self.stacked[THRESHOLD], numbers), self._ladder(numbers))

    def _decide_at(self, scores: tf.Tensor, false_alarms: tf.Tensor, machines: tf.Tensor) -> Tensors:
        return self._decider.decide_at(scores, false_alarms, self._ladder(self._numbers(machines)))

    def _ladder(self, numbers: tf.Tensor) -> Ladder:
        return Ladder(*(tf.gather(self.stacked[name], numbers) for name in LADDER))
