"""Choice of a machine type's scorer and of its members' weights, by trials on its normal clips alone."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ganad_tf.cache.directory import Cache
from ganad_tf.config import Config, from_mapping, layers, to_dict
from ganad_tf.errors import ConfigError
from ganad_tf.run import MachineRun
from ganad_tf.scoring.folds import Fold
from ganad_tf.selection import evidence, trials
from ganad_tf.selection.corruptions import KINDS
from ganad_tf.selection.evidence import TrialScores
from ganad_tf.selection.trials import Show, trial_folds, trial_scores

# Another scorer has to be better by two standard errors and by a point of AUC, more weight on the first members by a
# one-sided test at 10 %.
SCORER_ERRORS, SCORER_GAIN = 2.0, 0.01
WEIGHT_ERRORS = 1.28


@dataclass(frozen=True)
class Candidate:
    """A scorer and weights of the members.

    Attributes:
      scorer: Changes of the section `scorer`; empty for the configured scorer.
      weights: One per member of the ensemble; `(1.0,)` for a single system.
      separation: AUC of held-out normal clips against their corrupted copies, by kind of corruption; empty without
        trials.
      behind: Mean distance from the best candidate's AUC, and its standard error.
    """

    scorer: Mapping[str, Any]
    weights: tuple[float, ...]
    separation: Mapping[str, float]
    behind: tuple[float, float]

    @property
    def area(self) -> float:
        """Mean AUC over the kinds of corruption; NaN without trials."""
        return float(np.mean(list(self.separation.values()))) if self.separation else math.nan


@dataclass(frozen=True)
class Choice:
    """Choice for one machine type, with its alternatives.

    Attributes:
      machine: The machine type.
      members: Names of the ensemble's members; one name for a single system.
      n_clips: Held-out normal clips that decided; 0 where there were too few recordings to leave some out.
      candidates: All candidates, the chosen one first, then those with the highest AUC.
      learned_little: Reasons why members have learned little, by name; no candidate has them.
    """

    machine: str
    members: tuple[str, ...]
    n_clips: int
    candidates: tuple[Candidate, ...]
    learned_little: Mapping[str, str] = field(default_factory=dict)

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
    corrupted copies of them; see `compare` and `simplest`. A member that has learned little is left out, also where
    there are too few recordings for trials: it is then trained on all of them.

    Args:
      run: The machine type's run; the log-mels of its training clips are in the cache.
      show: Displays the progress of each training.

    Returns:
      None if there are too few recordings to leave some out, and every member stays.

    Raises:
      ConfigError: If an ensemble combines its members other than by the mean.
      DataError: If the cache is missing, stale or damaged.
      TrainingError: If a loss becomes NaN or infinite.
    """
    if run.config.ensemble.combine != "mean":
        raise ConfigError(
            f"Expected `ensemble.combine: mean` to select weights for. Received: {run.config.ensemble.combine}."
        )
    changes, variants = _variants(run)
    members = list(zip(*variants, strict=True))  # each with its scorers
    scorers = [[system.config.scorer for system in of_member] for of_member in members]
    tried = trial_folds(members[0][0], [scorer for of_member in scorers for scorer in of_member])
    if not tried:
        return _without_trials(run, [of_member[0] for of_member in members], show)
    scores = [
        trial_scores(of_member[0], settings, tried, show) for of_member, settings in zip(members, scorers, strict=True)
    ]
    candidates = compare(scores, changes, run.config.seed)
    names = tuple(of_member[0].member for of_member in members)
    reasons = {name: of_member[0].learned_little for name, of_member in zip(names, scores, strict=True)}
    return Choice(run.machine, names, len(scores[0][0].normal), candidates, _left_out(reasons))


def _without_trials(run: MachineRun, members: Sequence[MachineRun], show: Show) -> Choice | None:
    """The configured settings without the members that learn little from all clips; None if none is left out."""
    if len(members) == 1:
        return None
    reasons: dict[str, str | None] = {}
    for system in members:
        everything = Cache(system, "train").current().normal
        with show(f"{system.title} trial") as callbacks:
            reasons[system.member] = trials.train(system, Fold(everything, ()), callbacks).record["learned_little"]
    left_out = _left_out(reasons)
    configured = run.config.ensemble.weights or [1.0] * len(members)
    weights = [0.0 if name in left_out else weight for name, weight in zip(reasons, configured, strict=True)]
    if not left_out or not any(weights):
        return None
    chosen = Candidate({}, tuple(weights), {}, (math.nan, math.nan))
    return Choice(run.machine, tuple(reasons), 0, (chosen,), left_out)


def _left_out(reasons: Mapping[str, str | None]) -> dict[str, str]:
    """Members that have learned little, with the reasons; none if no member would remain."""
    little = {name: reason for name, reason in reasons.items() if reason}
    return little if len(little) < len(reasons) else {}


def compare(
    scores: Sequence[Sequence[TrialScores]], changes: Sequence[Mapping[str, Any]], seed: int
) -> tuple[Candidate, ...]:
    """Compares all mixtures of members, with each scorer; of members that have learned little only if all have.

    Args:
      scores: `[members][scorers]`.
      changes: Changes of the section `scorer`, one per scorer.
      seed: Seed of the standard errors.

    Returns:
      The candidates: the chosen one, then the others with the highest AUC first.
    """
    options = [(number, weights) for number in range(len(changes)) for weights in _mixtures(scores)]
    wins = evidence.at_chosen_strengths(
        [evidence.combined([of_member[number] for of_member in scores], weights).wins() for number, weights in options]
    )
    areas = wins.mean(axis=(2, 3))  # [candidates, kinds]
    best = int(areas.mean(axis=1).argmax())
    behind = zip((areas[best] - areas).mean(axis=1), evidence.standard_errors(wins, best, seed), strict=True)
    candidates = [
        Candidate(
            changes[number], weights, dict(zip(KINDS, of_kinds.tolist(), strict=True)), (float(far), float(error))
        )
        for (number, weights), of_kinds, (far, error) in zip(options, areas, behind, strict=True)
    ]
    chosen = candidates[simplest(wins, [number for number, _ in options], seed)]
    others = sorted((other for other in candidates if other is not chosen), key=lambda other: -other.area)
    return chosen, *others


def _mixtures(scores: Sequence[Sequence[TrialScores]]) -> list[tuple[float, ...]]:
    """Weights of the members, 0 for those that have learned little, unless none has learned more."""
    little = [number for number, (first, *_) in enumerate(scores) if first.learned_little]
    mixtures = list(evidence.mixtures(len(scores)))
    return [weights for weights in mixtures if not any(weights[number] for number in little)] or mixtures


def simplest(wins: np.ndarray, scorers: Sequence[int], seed: int) -> int:
    """Index of the simplest candidate that is not clearly worse than the best.

    The scorer is the configured one, number 0, unless another is clearly better, each with its best weights. Of the
    candidates with that scorer, it is the first that is not clearly worse than the best of them. Few clips have large
    standard errors, and little is clear.

    Args:
      wins: As from `evidence.at_chosen_strengths`; those of a scorer with the least weight on the first members first.
      scorers: Number of each candidate's scorer.
      seed: Seed of the standard errors.
    """
    areas = wins.mean(axis=(1, 2, 3))
    of_scorer = {number: np.flatnonzero(np.equal(scorers, number)) for number in scorers}
    best = {number: int(indices[areas[indices].argmax()]) for number, indices in of_scorer.items()}
    first = int(areas.argmax())
    gain = areas[first] - areas[best[0]]
    error = evidence.standard_errors(wins[[first, best[0]]], 0, seed)[1]
    scorer = scorers[first] if gain > max(SCORER_GAIN, SCORER_ERRORS * error) else 0
    errors = evidence.standard_errors(wins[of_scorer[scorer]], int(areas[of_scorer[scorer]].argmax()), seed)
    distances = areas[best[scorer]] - areas[of_scorer[scorer]]
    return int(of_scorer[scorer][np.argmax(distances <= WEIGHT_ERRORS * errors)])


def _variants(run: MachineRun) -> tuple[list[Mapping[str, Any]], list[tuple[MachineRun, ...]]]:
    """Changes of the scorer, and with each the runs of all members; those that change nothing further are left out."""
    changes: list[Mapping[str, Any]] = []
    variants: list[tuple[MachineRun, ...]] = []
    for change in ({}, *run.config.selection.changes()):
        systems = run.with_config(_changed(run.config, change)).systems()
        scorers = [system.config.scorer for system in systems]
        if scorers not in [[system.config.scorer for system in other] for other in variants]:
            changes.append(change)
            variants.append(systems)
    return changes, variants


def _changed(config: Config, change: Mapping[str, Any]) -> Config:
    """The configuration of all members with changes of the section `scorer`, which win over the members' sections."""
    mapping = layers.merge(to_dict(config), {"scorer": change, "ensemble": {"weights": None}})
    for member in mapping["ensemble"]["members"] if change else ():
        if isinstance(member, dict):
            member["scorer"] = layers.merge(member.get("scorer") or {}, change)
    return from_mapping(mapping, source="selection.scorers")
