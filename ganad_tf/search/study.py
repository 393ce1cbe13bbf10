"""The course of a search: which parameters come next, by optuna's samplers and its journal of trials.

The parameters of a trial depend on `seed`, on its number and, with `tpe`, on the results of the trials before it, and
not on kills between them. The journal is read again when a search goes on.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.study import Study as OptunaStudy
from optuna.trial import FrozenTrial, TrialState

from ganad_tf.search.space import Range, Space

JOURNAL = "journal.log"


class Study:
    """Trials of one machine type's search, numbered from 0.

    Args:
      directory: Directory of the machine type's search, locked by the caller.
      space: The space.
      strategy: As in the section `search`.
      seed: Seed of random draws.
      minimizes: Whether low values are better.
    """

    def __init__(self, directory: Path, space: Space, strategy: str, seed: int, *, minimizes: bool) -> None:
        self._space, self._strategy, self._seed = space, strategy, seed
        self._distributions = {key: _distribution(values) for key, values in space.values.items()}
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / JOURNAL
        _repair(path)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(path))),
            study_name="search",
            direction="minimize" if minimizes else "maximize",
            load_if_exists=True,
        )
        # A process that was killed while it drew a trial leaves one without all values, which has no number here.
        trials = self._study.get_trials(deepcopy=False)
        self._numbers = [trial.number for trial in trials if trial.params.keys() == space.values.keys()]

    def parameters(self, number: int) -> dict[str, Any]:
        """Parameters of a trial; those before it have been asked for, in this process or an earlier one."""
        if number < len(self._numbers):
            return self._decoded(self._frozen(number).params)
        self._study.sampler = self._sampler(number)
        trial = self._study.ask(self._distributions)
        self._numbers.append(trial.number)
        return self._decoded(trial.params)

    def finish(self, number: int, value: float | None, *, is_pruned: bool = False) -> None:
        """Records the value of a trial, or None for one without; does nothing for a trial that has been finished."""
        if self._frozen(number).state.is_finished():
            return
        state = TrialState.PRUNED if is_pruned else TrialState.FAIL if value is None else TrialState.COMPLETE
        self._study.tell(self._numbers[number], value if state is TrialState.COMPLETE else None, state)

    def importances(self) -> dict[str, float]:
        """Share of the value's variance by key (fANOVA, Hutter et al. 2014), largest first; none for equal values."""
        values = [trial.value for trial in self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))]
        if len(set(values)) < 2:
            return {}
        evaluator = FanovaImportanceEvaluator(seed=self._seed % 2**32)
        return dict(get_param_importances(self._study, evaluator=evaluator))

    def _frozen(self, number: int) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._numbers[number]]

    def _sampler(self, number: int) -> BaseSampler:
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])
        if self._strategy == "grid":
            return _GridSampler(self._space.combination(number))
        return TPESampler(seed=seed) if self._strategy == "tpe" else RandomSampler(seed=seed)

    def _decoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        ranges = {key for key, values in self._space.values.items() if isinstance(values, Range)}
        return {key: params[key] if key in ranges else json.loads(params[key]) for key in self._space.values}


class _GridSampler(BaseSampler):
    """Given parameters; optuna's own grid holds all combinations and draws them in a random order."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        self._parameters = parameters

    def infer_relative_search_space(self, study: OptunaStudy, trial: FrozenTrial) -> dict[str, BaseDistribution]:  # noqa: ARG002
        return {}

    def sample_relative(
        self,
        study: OptunaStudy,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: OptunaStudy,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> str:
        return json.dumps(self._parameters[param_name])


def _distribution(values: tuple[Any, ...] | Range) -> BaseDistribution:
    """Optuna's distribution; values of a list as JSON, because optuna knows no lists among them."""
    if not isinstance(values, Range):
        return CategoricalDistribution([json.dumps(value) for value in values])
    if values.is_whole:
        return IntDistribution(int(values.low), int(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def _repair(path: Path) -> None:
    """Removes what a killed process has left: the journal's lock, and a line that was not written to its end."""
    for leftover in path.parent.glob(f"{path.name}.*"):
        leftover.unlink(missing_ok=True)
    if not path.exists():
        return
    with path.open("rb+") as stream:
        end = stream.read().rfind(b"\n") + 1
        if end < stream.seek(0, os.SEEK_END):
            stream.truncate(end)
