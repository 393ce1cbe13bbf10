"""Arrays that tell the machines of a fleet apart: all that a machine's scores and decisions depend on, by name."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import tensorflow as tf

from ganad_tf.config import Config
from ganad_tf.exporting.graph import Member, normal_scores, recording_limits, used_weights
from ganad_tf.recording_check.bounds import Bounds
from ganad_tf.results import conformal
from ganad_tf.results.ensemble import P_VALUES as OF_P_VALUES
from ganad_tf.results.score_files import ClipScore

LADDER = CALIBRATION, P_VALUES = "calibration", "p_values"  # as of `deciding.Ladder`
THRESHOLD, SHARES = "threshold", "shares"
LIMITS = "limits."  # prefix of the arrays of `Bounds`
# Of a member, after its `prefix`.
MEAN, DEVIATION = "mean", "deviation"
WEIGHT, DENSITY, NORMAL = "weight.", "density.", "normal."  # prefixes; the last of `ensemble.Normal`
COUNT = "count"  # of neighbours: a setting, not to be stacked
RECORDED = "regularization"  # no score depends on it

Arrays = Mapping[str, np.ndarray]
Value = TypeVar("Value")


def of_machine(
    config: Config, members: Sequence[Member | None], threshold: float, calibration: Sequence[ClipScore]
) -> dict[str, np.ndarray]:
    """Arrays of one machine.

    Args:
      config: The machine's settings.
      members: Its detector with the scorer, or those of an ensemble in the order of the fleet; None for a member that
        does not count for this machine, which gets a share of 0 and no arrays.
      threshold: Clips with a higher score are anomalies.
      calibration: Scores of normal clips that the detectors have not seen; empty for none.

    Returns:
      Arrays of float32; threshold, calibration scores, and an ensemble's shares and normal scores are float64.
    """
    used = [member for member in members if member is not None]
    ladder = conformal.ladder([clip.score for clip in calibration], [clip.recording for clip in calibration])
    arrays: dict[str, np.ndarray] = {
        THRESHOLD: np.asarray(threshold, np.float64),
        CALIBRATION: ladder[0],
        P_VALUES: ladder[1].astype(np.float32),
    }
    limits = recording_limits(used)
    if limits is not None:
        arrays |= {f"{LIMITS}{name}": array for name, array in Bounds.of(limits).arrays().items()}
    for number, member in enumerate(members):
        if member is not None:
            arrays |= {f"{prefix(number)}{name}": array for name, array in _of_member(config, member).items()}
    if config.ensemble.members:
        shares = iter(config.ensemble.shares() or [1 / len(used)] * len(used))
        arrays[SHARES] = np.array([0.0 if member is None else next(shares) for member in members])
    return arrays


def _of_member(config: Config, member: Member) -> dict[str, np.ndarray]:
    clip = tf.TensorSpec([None, config.feature.bands], tf.float32)
    arrays: dict[str, np.ndarray] = {}
    if member.model.normalizer is not None:
        normalizer = member.model.normalizer
        arrays |= {MEAN: np.asarray(normalizer.mean, np.float32), DEVIATION: normalizer.deviation}
    for number, (_, value) in enumerate(used_weights(member, clip, explains=False)):
        arrays[f"{WEIGHT}{number}"] = value
    if member.fitted.density is not None:
        constants = member.fitted.density.arrays.items()
        arrays |= {f"{DENSITY}{name}": array for name, array in constants if not name.endswith(RECORDED)}
    if config.ensemble.members:
        (normal,) = normal_scores([member], config)
        needed = normal._asdict()
        if config.ensemble.combine not in ("rank", *OF_P_VALUES):
            del needed["ordered"]
        arrays |= {f"{NORMAL}{name}": values for name, values in needed.items()}
    return {name: np.asarray(array) for name, array in arrays.items()}


def lend(arrays: Sequence[dict[str, np.ndarray]]) -> None:
    """Gives machines that lack a member, whose share is 0, the arrays of the first machine that has it.

    Args:
      arrays: `of_machine` of each machine of a fleet; changed in place.
    """
    known: dict[str, np.ndarray] = {}
    for own in arrays:
        known = own | known
    lent = {name: array for name, array in known.items() if is_of_member(name)}
    for own in arrays:
        own.update({name: array for name, array in lent.items() if name not in own})


def prefix(number: int) -> str:
    """Prefix of the names of a member's arrays."""
    return f"{number}."


def below(start: str, named: Mapping[str, Value]) -> dict[str, Value]:
    """Those whose names begin so, by the rest of their names."""
    return {name.removeprefix(start): value for name, value in named.items() if name.startswith(start)}


def is_count(name: str) -> bool:
    """Whether an array is the number of neighbours of a density."""
    return f".{DENSITY}" in name and name.endswith(COUNT)


def is_of_member(name: str) -> bool:
    """Whether an array is one of a member's."""
    return name[0].isdigit()
