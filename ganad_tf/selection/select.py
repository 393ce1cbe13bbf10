"""Choice of a machine type's scorer and of its members' weights, by trials on its normal clips alone."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganad_tf.config import Config, from_mapping, layers, to_dict
from ganad_tf.run import MachineRun
from ganad_tf.selection import evidence
from ganad_tf.selection.corruptions import KINDS
from ganad_tf.selection.evidence import TrialScores
from ganad_tf.selection.trials import Show, trial_folds, trial_scores

N_ERRORS = 2.0  # standard errors that a simpler candidate may be behind the best


@dataclass(frozen=True)
class Candidate:
    """A scorer and weights of the members.

    Attributes:
      scorer: Changes of the section `scorer`; empty for the configured scorer.
      weights: One per member of the ensemble; `(1.0,)` for a single system.
      separation: AUC of held-out normal clips against their corrupted copies, by kind of corruption.
      behind: Mean distance from the best candidate's AUC, and its standard error.
    """

    scorer: Mapping[str, Any]
    weights: tuple[float, ...]
    separation: Mapping[str, float]
    behind: tuple[float, float]

    @property
    def area(self) -> float:
        """Mean AUC over the kinds of corruption."""
        return float(np.mean(list(self.separation.values())))


@dataclass(frozen=True)
class Choice:
    """Choice for one machine type, with its alternatives.

    Attributes:
      machine: The machine type.
      members: Names of the ensemble's members; one name for a single system.
      n_clips: Held-out normal clips that decided.
      candidates: All candidates, the chosen one first, then those with the highest AUC.
    """

    machine: str
    members: tuple[str, ...]
    n_clips: int
    candidates: tuple[Candidate, ...]

    def settings(self) -> dict[str, Any]:
        """The chosen sections, for `machines` in a YAML file."""
        chosen = self.candidates[0]
        sections: dict[str, Any] = {"scorer": dict(chosen.scorer)} if chosen.scorer else {}
        if len(self.members) > 1:
            sections["ensemble"] = {"weights": list(chosen.weights)}
        return sections


def select(run: MachineRun, *, show: Show = lambda _: nullcontext(())) -> Choice | None:
    """Chooses among the scorers of `selection.scorers` and the weights of an ensemble's members.

    Each member is trained without some of the normal clips. A candidate is judged by how well it tells these from
    corrupted copies of them. Among those within `N_ERRORS` standard errors of the best, the simplest wins: with the
    least weight on the first members, which are networks in `yaml/recommended.yaml`, and then with the scorer that is
    listed first. With few clips the errors are large, and it takes a clear advantage to prefer a network.

    Args:
      run: The machine type's run; the log-mels of its training clips are in the cache.
      show: Displays the progress of each training.

    Returns:
      None if there are too few recordings to leave some out.

    Raises:
      DataError: If the cache is missing, stale or damaged.
      TrainingError: If a loss becomes NaN or infinite.
    """
    changes = [{}, *run.config.selection.changes()]
    variants = [run.with_config(_changed(run.config, change)).systems() for change in changes]
    members = list(zip(*variants, strict=True))  # each with its scorers
    scorers = [[system.config.scorer for system in of_member] for of_member in members]
    tried = trial_folds(members[0][0], [scorer for of_member in scorers for scorer in of_member])
    if not tried:
        return None
    scores = [
        trial_scores(of_member[0], settings, tried, show) for of_member, settings in zip(members, scorers, strict=True)
    ]
    candidates = compare(scores, changes, run.config.seed)
    chosen = next(candidate for candidate in candidates if candidate.behind[0] <= N_ERRORS * candidate.behind[1])
    others = sorted((other for other in candidates if other is not chosen), key=lambda other: -other.area)
    names = tuple(of_member[0].member for of_member in members)
    return Choice(run.machine, names, len(scores[0][0].normal), (chosen, *others))


def compare(
    scores: Sequence[Sequence[TrialScores]], changes: Sequence[Mapping[str, Any]], seed: int
) -> list[Candidate]:
    """Compares all mixtures of members, with each scorer.

    Args:
      scores: `[members][scorers]`.
      changes: Changes of the section `scorer`, one per scorer.
      seed: Seed of the standard errors.

    Returns:
      The candidates, the simplest first.
    """
    options = [(number, weights) for weights in evidence.mixtures(len(scores)) for number in range(len(changes))]
    wins = evidence.at_chosen_strengths(
        [evidence.combined([of_member[number] for of_member in scores], weights).wins() for number, weights in options]
    )
    areas = wins.mean(axis=(2, 3))  # [candidates, kinds]
    best = int(areas.mean(axis=1).argmax())
    behind = zip((areas[best] - areas).mean(axis=1), evidence.standard_errors(wins, best, seed), strict=True)
    return [
        Candidate(
            changes[number], weights, dict(zip(KINDS, of_kinds.tolist(), strict=True)), (float(far), float(error))
        )
        for (number, weights), of_kinds, (far, error) in zip(options, areas, behind, strict=True)
    ]


def _changed(config: Config, change: Mapping[str, Any]) -> Config:
    """The configuration with changes of the section `scorer`."""
    if not change:
        return config
    return from_mapping(layers.merge(to_dict(config), {"scorer": change}), source="selection.scorers")
