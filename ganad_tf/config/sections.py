"""The sections of a YAML file that say what is made of what comes in.

`model`, `fit`, `scorer`, `threshold`, `tensorboard` and `ensemble`. As in `input_sections.py`, every default is that
of the DCASE 2020 Task 2 baseline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ganad_tf.config.paths import Location
from ganad_tf.config.reader import in_range

LARGEST_COUNT = 10_000_000


@dataclass(frozen=True)
class Model:
    """`model`: a detector's class name; every other key is an argument of its constructor."""

    name: str = "DenseAE"
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compile:
    """`fit.compile`: as Keras reads it; the optimizer's two usual settings stand beside it."""

    optimizer: str = "adam"
    loss: str = "mean_squared_error"
    learning_rate: float | None = None
    beta_1: float | None = None

    def __post_init__(self) -> None:
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"expected a positive `fit.compile.learning_rate`. Received: {self.learning_rate}.")
        if self.beta_1 is not None:
            in_range("fit.compile.beta_1", self.beta_1, 0, 1)


@dataclass(frozen=True)
class Fit:
    """`fit`: as Keras reads it.

    Attributes:
      validation_split: Share of the training *clips* of each ID kept for validation.
      verbose: 0 silences the progress bar.
      memory_budget_mb: Training spectra that fit are held in memory, others are streamed from the cache.
      restore_best: Whether the weights of the epoch with the lowest validation loss are kept, not the last ones.
      patience: Training stops after so many epochs in a row without a lower validation loss; None for never.
    """

    compile: Compile = field(default_factory=Compile)
    epochs: int = 100
    batch_size: int = 512
    shuffle: bool = True
    validation_split: float = 0.1
    verbose: int = 1
    memory_budget_mb: int = 1024
    restore_best: bool = False
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected `fit.{name}` from 1 to {LARGEST_COUNT}. Received: {getattr(self, name)}.")
        in_range("fit.validation_split", self.validation_split, 0, 1)
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"expected a positive `fit.patience`. Received: {self.patience}.")
        if self.validation_split == 0 and (self.restore_best or self.patience):
            raise ValueError(
                "expected a `fit.validation_split` above 0 for `fit.restore_best` and `fit.patience`, which watch the "
                "validation loss. Received: 0."
            )


@dataclass(frozen=True)
class Scorer:
    """`scorer`: what makes one number of a clip's windows.

    Attributes:
      name: `paper` for the detector's own score equation, averaged over the windows; `density` for how
        unusual the clip's residual is among those of the normal training clips.
      pooling: How the residual of each mel band becomes one number per clip: `mean` over time; `max`, where the
        sound exceeds its reconstruction most; `gwrp` (global weighted rank pooling), the mean from there
        down, each moment weighing `decay` times the one before; `lulls`, the same from the band's quietest
        moment up, when a steady machine is heard between the noises around it.
      decay: Of `gwrp` and `lulls`; towards 1 it is the mean, 0 is the first moment alone.
      whiten: Whether the pooled residuals are decorrelated (PCA) before the density.
      shrinkage: Of covariances towards a multiple of the identity; `auto` for Ledoit and Wolf's.
      density: `mahalanobis` for the squared distance from the mean, `gmm` for the negative log-likelihood
        of a Gaussian mixture, `knn` for the mean distance to the nearest training clips.
      components: Of the Gaussian mixture.
      regularization: Added to the variances of the Gaussian mixture.
      neighbors: Of `knn`.
    """

    name: Literal["paper", "density"] = "paper"
    pooling: Literal["mean", "max", "gwrp", "lulls"] = "mean"
    decay: float = 0.98
    whiten: bool = False
    shrinkage: float | Literal["auto"] = "auto"
    density: Literal["mahalanobis", "gmm", "knn"] = "mahalanobis"
    components: int = 2
    regularization: float = 0.1
    neighbors: int = 1

    def __post_init__(self) -> None:
        in_range("scorer.decay", self.decay, 0, 1)
        if self.shrinkage != "auto" and not 0 < self.shrinkage <= 1:
            raise ValueError(
                f"expected `auto` or a share above 0 and at most 1 for `scorer.shrinkage`. Received: {self.shrinkage}."
            )
        if self.regularization <= 0:
            raise ValueError(f"expected a positive `scorer.regularization`. Received: {self.regularization}.")
        for name in ("components", "neighbors"):
            if not 1 <= getattr(self, name) <= LARGEST_COUNT:
                raise ValueError(f"expected a positive `scorer.{name}`. Received: {getattr(self, name)}.")

    def in_use(self) -> dict[str, Any]:
        """The settings that matter, given what was chosen."""
        if self.name == "paper":
            return {"name": self.name}
        chosen = ["name", "pooling", "whiten", "shrinkage", "density"]
        chosen += ["decay"] if self.pooling in ("gwrp", "lulls") else []
        chosen += {"mahalanobis": [], "gmm": ["components", "regularization"], "knn": ["neighbors"]}[self.density]
        return {key: getattr(self, key) for key in chosen}


@dataclass(frozen=True)
class Threshold:
    """`threshold`: above which score a clip is called anomalous, from normal training scores alone.

    Attributes:
      method: `gamma` for a gamma distribution fitted to the scores, `quantile` for the scores themselves.
      quantile: Share of normal clips that should stay below.
    """

    method: Literal["gamma", "quantile"] = "gamma"
    quantile: float = 0.9

    def __post_init__(self) -> None:
        if not 0 < self.quantile < 1:
            raise ValueError(f"expected `threshold.quantile` between 0 and 1. Received: {self.quantile}.")


@dataclass(frozen=True)
class TensorBoard:
    """`tensorboard`: what can be watched while a detector trains; nothing that is trained depends on it.

    Attributes:
      directory: Where the logs go, in folders of their own for each machine type and settings; None for no logs.
      clips: How many clips are drawn and made audible.
      every: Epochs from one set of pictures and weight histograms to the next.
    """

    directory: Location | None = None
    clips: int = 3
    every: int = 50

    def __post_init__(self) -> None:
        in_range("tensorboard.clips", self.clips, 0, 101)
        in_range("tensorboard.every", self.every, 1, LARGEST_COUNT)


@dataclass(frozen=True)
class Ensemble:
    """`ensemble`: makes one score of several systems' score files; nothing is trained.

    Attributes:
      members: The result directories of the systems; any that hold score files of test and training clips.
      combine: `mean` or `max` of scores in deviations of the member's training scores; `rank` for the mean of
        the ranks among them.
    """

    members: list[Location] = field(default_factory=list)
    combine: Literal["mean", "max", "rank"] = "mean"

    def __post_init__(self) -> None:
        if len(self.members) == 1 or not all(isinstance(member, str) for member in self.members):
            raise ValueError(
                f"expected two result directories or more for `ensemble.members`. Received: {self.members}."
            )
