"""The section `search`: what `ganad search` varies, how, and by what it ranks."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

Objective = Literal["val_loss", "pseudo_auc", "dev_auc"]


@dataclass(frozen=True)
class Search:
    """`search`: settings that `ganad search` tries for each machine type.

    Attributes:
      space: Values by dotted key, such as `feature.frames`: a list of them, or `{low, high}` with both ends included,
        with `log: true` for a logarithmic scale. Whole numbers as ends stand for whole numbers between them.
      strategy: `grid` for all combinations of lists, in order; `random` for independent draws; `tpe` for draws that
        prefer what was good so far (tree-structured Parzen estimator, Bergstra et al. 2011); `halving` for random
        draws, of which after a few epochs only the better third is trained on (successive halving, Jamieson and
        Talwalkar 2016).
      trials: Number of trials per machine type; None for all combinations of a grid.
      objective: Value that trials are ranked by: `val_loss`, the lowest validation loss; `pseudo_auc`, the highest
        AUC of held-out normal clips against corrupted copies of them; `dev_auc`, the highest AUC on the labelled test
        clips, which is an oracle.
      seeds: Seeds that each trial is trained with; the mean is ranked. Empty for the file's `seed`.
      directory: Directory of the search; None for `search` in the result directory.
    """

    space: Mapping[str, Any] = field(default_factory=dict)
    strategy: Literal["grid", "random", "tpe", "halving"] = "grid"
    trials: int | None = None
    objective: Objective = "val_loss"
    seeds: list[int] = field(default_factory=list)
    directory: Location | None = None

    def __post_init__(self) -> None:
        if self.trials is not None:
            in_range("search.trials", self.trials, 1, 10_000_001)
        if self.trials is None and self.strategy != "grid":
            raise ValueError(f"expected a number of `search.trials` for `search.strategy: {self.strategy}`.")
        if len(set(self.seeds)) < len(self.seeds) or any(not 0 <= seed < 2**32 for seed in self.seeds):
            raise ValueError(f"expected different `search.seeds` from 0 to below 2^32. Received: {self.seeds}.")
