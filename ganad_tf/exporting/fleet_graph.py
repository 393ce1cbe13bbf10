"""The graph of a fleet: sound and the name of its machine → anomaly score and decision.

The graph is traced once, with the layers of one machine. All that differs between machines (weights, standardisation,
density, an ensemble's scales and shares, recording conditions, threshold, calibration scores) is stacked in one
variable each, from which every clip gathers its machine's.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf.config import Config
from ganad_tf.exporting import fleet_arrays
from ganad_tf.exporting.checks import expect
from ganad_tf.exporting.deciding import Ladder, Tensors
from ganad_tf.exporting.fleet_arrays import LADDER, SHARES, THRESHOLD, Arrays
from ganad_tf.exporting.graph import Member, SoundScorer, combined, member_score, used_weights
from ganad_tf.recording_check.bounds import Bounds
from ganad_tf.results import ensemble
from ganad_tf.results.score_files import ClipScore
from ganad_tf.scoring import compound_densities
from ganad_tf.serving.models.signature import MACHINE


@dataclasses.dataclass(frozen=True)
class _Standardization:
    """`Normalizer` with tensors, `[mels]` each, as its constants."""

    mean: tf.Tensor
    deviation: tf.Tensor

    def __call__(self, log_mel: tf.Tensor) -> tf.Tensor:
        return (log_mel - self.mean) / self.deviation


class FleetScorer(SoundScorer):
    """Functions from sound and the name of its machine to anomaly scores, of machines of one configuration.

    Args:
      config: The settings of any of them.
      members: The detector and the scorer of any of them, or those of an ensemble, whose layers are traced.
      machines: Names of the machines.
      arrays: `fleet_arrays.of_machine` of each of them, all of the same names and shapes.
      longest_samples: As of `SoundScorer`.

    Attributes:
      machines: Names of the machines.
      stacked: Variables by name, `[machines, ...]`, which the functions use.
      functions: As of `SoundScorer`, without `explain`; all but `audio_format` also take `machine`, `[batch]` strings.
    """

    def __init__(
        self,
        config: Config,
        members: Sequence[Member],
        machines: Sequence[str],
        arrays: Sequence[Arrays],
        *,
        longest_samples: int | None = None,
    ) -> None:
        first = arrays[0]
        super().__init__(
            config,
            members,
            float(first[THRESHOLD]),
            calibration=[ClipScore("", score) for score in first[fleet_arrays.CALIBRATION]],
            longest_samples=longest_samples,
        )
        self.machines = tuple(machines)
        clip = tf.TensorSpec([None, config.feature.bands], tf.float32)
        self._replaced = [
            [variable for variable, _ in used_weights(member, clip, explains=False)] for member in self.members
        ]
        self._counts = {name: array for name, array in first.items() if fleet_arrays.is_count(name)}
        self.stacked = {
            name: tf.Variable(np.stack([own[name] for own in arrays]), trainable=False, name=name)
            for name in first
            if name not in self._counts
        }
        self.functions.pop("explain", None)

    def score_clip(self, log_mel: tf.Tensor, machine_id: tf.Tensor, *, in_pieces: bool = True) -> tf.Tensor:
        """Anomaly score of one clip, float32.

        Args:
          log_mel: `[frames, mels]` in dB.
          machine_id: Name of the clip's machine, one of `machines`.
          in_pieces: Whether the memory of long clips is bounded.
        """
        row, scores, normal = self._numbers(machine_id[tf.newaxis])[0], [], []
        for number, (member, replaced) in enumerate(zip(self.members, self._replaced, strict=True)):
            own = self._gathered(fleet_arrays.prefix(number), row)
            weights = [(variable, own[f"{fleet_arrays.WEIGHT}{index}"]) for index, variable in enumerate(replaced)]
            with keras.StatelessScope(weights):
                of_machine = self._of_machine(member, own, number)
                scores.append(member_score(of_machine, log_mel, tf.constant(""), in_pieces=in_pieces))
            named = {name: own.get(f"{fleet_arrays.NORMAL}{name}") for name in ensemble.Normal._fields}
            normal.append(ensemble.Normal(**named))
        if SHARES not in self.stacked:
            return scores[0]
        shares = tf.unstack(tf.gather(self.stacked[SHARES], row))
        # A member that does not count for this machine has another machine's arrays: its score may be any number.
        known = [
            tf.where(share > 0, tf.cast(score, tf.float64), of.mean)
            for score, share, of in zip(scores, shares, normal, strict=True)
        ]
        return combined(known, normal, self.config.ensemble.combine, shares)

    def _of_machine(self, member: Member, own: Mapping[str, tf.Tensor], number: int) -> Member:
        """The traced member with one machine's standardisation and density."""
        model, fitted = member.model, member.fitted
        if fleet_arrays.MEAN in own:
            normalizer: Any = _Standardization(own[fleet_arrays.MEAN], own[fleet_arrays.DEVIATION])
            model = dataclasses.replace(model, normalizer=normalizer)
        if fitted.density is not None:
            counts = fleet_arrays.below(fleet_arrays.prefix(number), self._counts)
            constants = fleet_arrays.below(fleet_arrays.DENSITY, {**own, **counts})
            density = compound_densities.from_arrays(fitted.settings.density, constants)
            fitted = dataclasses.replace(fitted, density=density)
        return dataclasses.replace(member, model=model, fitted=fitted)

    def _bounds_of(self, machine_id: tf.Tensor) -> Bounds | None:
        row = self._numbers(machine_id[tf.newaxis])[0]
        return self._bounds and self._bounds.with_arrays(self._gathered(fleet_arrays.LIMITS, row))

    def _gathered(self, prefix: str, row: tf.Tensor) -> dict[str, tf.Tensor]:
        """One machine's rows of the variables whose names begin so, by the rest of their names."""
        return {name: tf.gather(of_all, row) for name, of_all in fleet_arrays.below(prefix, self.stacked).items()}

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
