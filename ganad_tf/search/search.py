"""The search of one machine type: every trial with every seed, once, however often the process is killed.

A trial is finished when its file says so (`records.py`). An interrupted one has its parameters in the journal
(`study.py`) and its training in a checkpoint, and goes on with these.
"""

import dataclasses
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ganad_tf.cache.directory import Cache
from ganad_tf.config import Config, reader
from ganad_tf.errors import DataError
from ganad_tf.files import atomic, checksummed, lock
from ganad_tf.search import halving, records
from ganad_tf.search.records import MINIMIZED, Record, Records, shown
from ganad_tf.search.space import Space, read_space
from ganad_tf.search.study import JOURNAL, Study
from ganad_tf.search.trial import Laboratory
from ganad_tf.search.trials import HandOut, Job, Trials

logger = logging.getLogger(__name__)

SETTINGS = "search.json"  # what the trials were made with


@dataclass(frozen=True)
class Plan:
    """A search as the section `search` describes it.

    Attributes:
      space: The space.
      strategy: As in the section.
      n_trials: Number of trials per machine type.
      seeds: Seeds of each trial.
      objective: Objective that trials are ranked by.
      seed: Seed of random draws.
    """

    space: Space
    strategy: str
    n_trials: int
    seeds: tuple[int, ...]
    objective: str
    seed: int

    @classmethod
    def of(cls, config: Config, model_keys: Sequence[str]) -> "Plan":
        """The plan of a configuration.

        Raises:
          ConfigError: If there is nothing to search among, or if the space does not fit the settings.
        """
        settings, space = config.search, read_space(config, model_keys)
        n_trials = settings.trials or space.size
        n_trials = min(n_trials, space.size) if settings.strategy == "grid" else n_trials
        seeds = tuple(settings.seeds) or (config.seed,)
        return cls(space, settings.strategy, n_trials, seeds, settings.objective, config.seed)

    @property
    def minimizes(self) -> bool:
        """Whether low values of the objective are better."""
        return self.objective in MINIMIZED

    @property
    def shares_trainings(self) -> bool:
        """Whether trials may have the detectors of others."""
        return bool(self.space.scoring_keys)


class Search:
    """The search of one machine type.

    Args:
      plan: The plan.
      laboratory: The place of the trials; the caches of the file's features are up to date.
      hand_out: Has jobs run by other processes, before their results are looked at here; None for this process. What
        is run ahead of its turn depends on no result that is not there.
    """

    def __init__(self, plan: Plan, laboratory: Laboratory, hand_out: HandOut | None = None) -> None:
        self.plan, self._laboratory, self._hand_out = plan, laboratory, hand_out
        self._records, self._trials = Records(laboratory.directory), Trials(laboratory)

    def run(self, *, fresh: bool = False) -> tuple[list[Record], dict[str, float]]:
        """Runs all trials that are not finished.

        Args:
          fresh: Whether those that are finished are dropped.

        Returns:
          The results by number and seed, and the importance of each key of the space.

        Raises:
          ConfigError: If the search was begun with other settings.
          DataError: If another process runs the same search.
          WriteError: If a file can't be written.
        """
        directory, plan = self._laboratory.directory, self.plan
        with lock.exclusive(directory):
            if fresh:
                remove(self._laboratory)
            self._check_same()
            study = Study(directory, plan.space, plan.strategy, plan.seed, minimizes=plan.minimizes)
            if plan.strategy == "halving":
                self._halve(study)
            else:
                self._try_all(study)
            return list(self._records.all()), study.importances()

    def _try_all(self, study: Study) -> None:
        known: dict[str, Record] = {}
        numbers = range(self.plan.n_trials)
        if self.plan.strategy != "tpe":
            self._run_ahead(study, numbers)
        for number in numbers:
            if self.plan.strategy == "tpe":
                self._run_ahead(study, [number])
            parameters = study.parameters(number)
            results = [self._trials.result(number, seed, parameters, known) for seed in self.plan.seeds]
            study.finish(number, _mean(results, self.plan.objective))
            if not self._is_needed(number):
                self._forget(results)

    def _run_ahead(self, study: Study, numbers: Sequence[int], epochs: int | None = None) -> None:
        """Hands out trials whose results are not there; those that share a training as one group."""
        if self._hand_out is None:
            return
        groups: dict[str, list[Job]] = {}
        for number in numbers:
            parameters = study.parameters(number)
            for seed in self.plan.seeds:
                job = Job(number, seed, parameters, epochs)
                if not self._trials.is_done(job):
                    training = json.dumps([seed, self.plan.space.trained_part(parameters)], sort_keys=True)
                    groups.setdefault(training, []).append(job)
        jobs = list(groups.values())
        forgets = self.plan.strategy == "grid" or (self.plan.strategy != "halving" and not self.plan.shares_trainings)
        for index, reason in self._hand_out(self._laboratory, jobs, forgets).items():
            for job in jobs[index]:
                self._trials.lose(job, reason)

    def _is_needed(self, number: int) -> bool:
        """Whether the detectors of a trial may serve a later one."""
        space, following = self.plan.space, number + 1
        if not self.plan.shares_trainings or self.plan.strategy != "grid":
            return self.plan.shares_trainings
        if following == self.plan.n_trials:
            return False
        parts = [space.trained_part(space.combination(each)) for each in (number, following)]
        return parts[0] == parts[1]

    def _halve(self, study: Study) -> None:
        parameters = [study.parameters(number) for number in range(self.plan.n_trials)]
        alive = list(range(self.plan.n_trials))
        steps = halving.rungs(self._laboratory.base.config.fit.epochs, self.plan.n_trials)
        for epochs in steps:
            self._run_ahead(study, alive, epochs)
            losses: dict[int, float] = {}
            for number in alive:
                curves = [
                    self._trials.advanced(number, seed, parameters[number], epochs).curve for seed in self.plan.seeds
                ]
                if all(str(epochs) in curve for curve in curves):
                    losses[number] = float(np.mean([curve[str(epochs)] for curve in curves]))
                else:
                    self._prune(number)
                    study.finish(number, None)
            best = sorted(losses, key=lambda number: (losses[number], number))
            alive = sorted(best[: halving.n_kept(len(best))] if epochs != steps[-1] else best)
            for number in sorted(set(best) - set(alive)):
                self._prune(number)
                study.finish(number, None, is_pruned=True)
        self._run_ahead(study, alive)
        for number in alive:
            results = [self._trials.completed(number, seed, parameters[number]) for seed in self.plan.seeds]
            study.finish(number, _mean(results, self.plan.objective))
            self._forget(results)

    def _prune(self, number: int) -> None:
        results = [record for seed in self.plan.seeds if (record := self._records.read(number, seed))]
        for record in results:
            if record.state == "paused":
                self._records.write(dataclasses.replace(record, state="pruned"))
        self._forget(results)

    def _forget(self, results: Sequence[Record]) -> None:
        """Removes the detectors of trials, but for what a failed one has left, of which its error may speak."""
        for record in results:
            if record.state != "failed":
                self._laboratory.forget(record.parameters, record.seed)

    def _check_same(self) -> None:
        """Refuses trials that were made with other settings or recordings; the number of trials may grow."""
        path, here = self._laboratory.directory / SETTINGS, self._made_with()
        if not path.exists():
            self._laboratory.directory.mkdir(parents=True, exist_ok=True)
            atomic.write_text(path, json.dumps(here, indent=1))
            return
        try:
            there = json.loads(path.read_text(encoding="utf-8"))
        except checksummed.READ_ERRORS as error:
            raise DataError(f"Can't read {path} ({error}); add --fresh to search again.") from error
        advice = "set another `search.directory`, or add --fresh to search again"
        reader.refuse_other_settings(f"The search in {self._laboratory.directory}", there, here, advice)

    def _made_with(self) -> dict[str, Any]:
        run, plan = self._laboratory.base, self.plan
        chosen: dict[str, Any] = {
            "space": dict(run.config.search.space),
            "strategy": plan.strategy,
            "seeds": list(plan.seeds),
        }
        chosen |= {"objective": plan.objective, "measured": list(self._laboratory.objectives)}
        chosen |= {"trials": plan.n_trials} if plan.strategy == "halving" else {}
        settings = {f"search.{key}": value for key, value in chosen.items()}
        return run.config.score_settings() | settings | {"training clips": Cache(run, "train").current().digest()}


def remove(laboratory: Laboratory) -> None:
    """Removes the results of an earlier search of a machine type, and nothing else that may lie there."""
    for folder in (records.FOLDER, "models"):
        shutil.rmtree(laboratory.directory / folder, ignore_errors=True)
    for name in (JOURNAL, SETTINGS):
        (laboratory.directory / name).unlink(missing_ok=True)


def check_values(laboratory: Laboratory, plan: Plan) -> dict[str, str]:
    """Faults of single values: sentences by key and value.

    A value is refused if it can be used neither with the settings of the file nor with the first values of the others.
    """
    faults = {}
    first = plan.space.first()
    for key, value in plan.space.single_values():
        fault = laboratory.fault({key: value}, plan.seeds[0], plan.objective, plan.strategy)
        if fault and laboratory.fault({**first, key: value}, plan.seeds[0], plan.objective, plan.strategy):
            named = f"{key}: {shown(value)}"
            faults[named] = f"`{named}` in `search.space`: {fault}"
    return faults


def _mean(results: Sequence[Record], objective: str) -> float | None:
    """Mean of an objective over seeds; None if one of them has none."""
    values = [record.values[objective] for record in results if record.state == "finished"]
    return float(np.mean(values)) if len(values) == len(results) else None
