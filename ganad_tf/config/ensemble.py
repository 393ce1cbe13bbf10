"""Sections about several systems: `ensemble`, which combines them, and `selection`, which chooses among settings."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ganad_tf.config.paths import Location


@dataclass(frozen=True)
class Ensemble:
    """`ensemble`: combination of several systems' scores into one score.

    Attributes:
      members: One per system: a result directory with score files of test and training clips, or a configuration that
        is trained and scored with the ensemble. A configuration is a section with `name`, `model`, `feature`, `fit`,
        `scorer` and so on, or the path of a YAML file; it has from the outer file what it does not say itself. Its
        name is by default that of the model's class in lower case, or of the YAML file.
      combine: `mean` or `max` of the members' z-scores (by each member's training scores); `rank` for the mean of the
        ranks among the training scores; `p_value` for the mean of the members' -log p (Fisher's statistic) and
        `harmonic_p_value` for -log of the harmonic mean of their p (Wilson 2019), with p-values by their calibration
        scores, or by their training scores where the threshold is not conformal. Beyond the largest of these scores,
        where p does not fall any more, the distance to it in standard deviations is added to -log p.
      weights: Weights of the members in the mean, one per member; None for equal ones. A member of weight 0 is left
        out, neither trained nor exported.
    """

    members: list[Location | dict[str, Any]] = field(default_factory=list)
    combine: Literal["mean", "max", "rank", "p_value", "harmonic_p_value"] = "mean"
    weights: list[float] | None = None

    def __post_init__(self) -> None:
        if len(self.members) == 1 or not all(isinstance(member, str | dict) for member in self.members):
            raise ValueError(
                "expected two result directories or configurations or more for `ensemble.members`. "
                f"Received: {self.members}."
            )
        if self.weights is None:
            return
        if len(self.weights) != len(self.members) or min(self.weights, default=0) < 0 or sum(self.weights) <= 0:
            raise ValueError(
                f"expected one weight for each of the {len(self.members)} `ensemble.members`, none of them negative "
                f"and not all 0. Received: {self.weights}."
            )
        if self.combine == "max" and len({weight for weight in self.weights if weight}) > 1:
            raise ValueError(f"expected equal weights or 0 for `ensemble.combine: max`. Received: {self.weights}.")

    def used(self) -> list[Any]:
        """The members, but for those of weight 0."""
        weights = self.weights or [1.0] * len(self.members)
        return [member for member, weight in zip(self.members, weights, strict=True) if weight]

    def shares(self) -> list[float] | None:
        """Weights of the members in use, whose sum is 1; None if all are equal."""
        used = [weight for weight in self.weights or () if weight]
        return [weight / sum(used) for weight in used] if len(set(used)) > 1 else None

    def labels(self) -> list[str]:
        """Names of the members in use, or their result directories."""
        return [member if isinstance(member, str) else member["name"] for member in self.used()]


@dataclass(frozen=True)
class Selection:
    """`selection`: what `ganad select` and `ganad run FOLDER` choose among for each machine type, without labels.

    Attributes:
      scorers: Changes of the section `scorer`, each a candidate beside the configured scorer. An ensemble's weights are
        chosen too.
    """

    scorers: list[dict[str, Any]] = field(default_factory=list)

    def changes(self) -> list[dict[str, Any]]:
        """The changes, each with the scorer's name: `density` where it has none, as in the section `scorer`."""
        return [{"name": "density", **change} for change in self.scorers]
