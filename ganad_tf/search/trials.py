"""Trials of a search that any process can run: each result is one file, and one that is there is not made again."""

import dataclasses
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ganad_tf import runtime
from ganad_tf.search import halving, records
from ganad_tf.search.records import Record, Records, shown
from ganad_tf.search.space import Parameters
from ganad_tf.search.trial import Laboratory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A trial with one seed.

    Attributes:
      number: Number of the trial.
      seed: The seed.
      parameters: Values by key of the space.
      epochs: Epochs to train, after which it is paused; None for a whole trial.
    """

    number: int
    seed: int
    parameters: Parameters
    epochs: int | None = None


# Called with groups of jobs, each to be run in its order, and whether detectors are removed after them; returns reasons
# by index of the groups that were lost.
HandOut = Callable[[Laboratory, Sequence[Sequence[Job]], bool], Mapping[int, str]]


class Trials:
    """Runs trials of one machine type and keeps their results.

    Args:
      laboratory: The place of the trials.
    """

    def __init__(self, laboratory: Laboratory) -> None:
        self._laboratory, self._records = laboratory, Records(laboratory.directory)

    def result(self, number: int, seed: int, parameters: Parameters, known: dict[str, Record]) -> Record:
        """The result of a trial with a seed: the one that is there, that of an equal trial, or else a new one."""
        content = json.dumps([seed, parameters], sort_keys=True)
        record = self._records.read(number, seed)
        if record is None and content in known:
            record = dataclasses.replace(known[content], number=number, seconds=0.0)
            self._records.write(record)
        if record is None:
            record = self._laboratory.run_trial(number, seed, parameters)
            self._keep(record)
        known.setdefault(content, record)
        return record

    def advanced(self, number: int, seed: int, parameters: Parameters, epochs: int) -> Record:
        """The record of a trial with its loss after some epochs, or without if it has failed."""
        record = self._records.read(number, seed) or Record(number, seed, parameters, "paused")
        if record.state != "paused" or str(epochs) in record.curve:
            return record
        record = halving.go_on(self._laboratory, record, epochs)
        logger.info("%s: trial %d, seed %d, after %d epochs: %s", *self._named(record), epochs, _outcome(record))
        self._records.write(record)
        return record

    def completed(self, number: int, seed: int, parameters: Parameters) -> Record:
        """The result of a trial that may have been paused."""
        record = self._records.read(number, seed)
        if record is None or record.state == "paused":
            before = record or Record(number, seed, parameters, "paused")
            record = self._laboratory.run_trial(number, seed, parameters)
            record = dataclasses.replace(record, curve=before.curve, seconds=before.seconds + record.seconds)
            self._keep(record)
        return record

    def is_done(self, job: Job) -> bool:
        """Whether the result of a job is there."""
        record = self._records.read(job.number, job.seed)
        if record is None or record.state != "paused":
            return record is not None
        return job.epochs is not None and str(job.epochs) in record.curve

    def lose(self, job: Job, reason: str) -> None:
        """Notes that a trial has failed because its worker was lost again and again."""
        if not self.is_done(job):
            self._keep(Record(job.number, job.seed, job.parameters, "failed", error=reason))

    def _keep(self, record: Record) -> None:
        """Writes a new result and names it in the log."""
        self._records.write(record)
        log = logger.warning if record.state == "failed" else logger.info
        settings = ", ".join(f"{key}={shown(value)}" for key, value in record.parameters.items())
        log("%s: trial %d, seed %d (%s): %s", *self._named(record), settings, _outcome(record))

    def _named(self, record: Record) -> tuple[str, int, int]:
        return self._laboratory.base.machine, record.number, record.seed


def run_jobs(laboratory: Laboratory, jobs: Sequence[Job], forgets: bool) -> None:
    """Runs jobs that share a training, one after another, unless their results are there.

    Args:
      laboratory: The place of the trials.
      jobs: The jobs.
      forgets: Whether their detector is removed at the end, because no later trial has the same.

    Raises:
      WriteError: If a file can't be written.
    """
    if laboratory.base.config.deterministic:
        runtime.deterministic()
    trials, known = Trials(laboratory), dict[str, Record]()
    for job in jobs:
        if job.epochs is not None:
            trials.advanced(job.number, job.seed, job.parameters, job.epochs)
        elif laboratory.base.config.search.strategy == "halving":
            trials.completed(job.number, job.seed, job.parameters)
        else:
            trials.result(job.number, job.seed, job.parameters, known)
    if forgets and all(record.state != "failed" for record in known.values()):
        laboratory.forget(jobs[-1].parameters, jobs[-1].seed)


def _outcome(record: Record) -> str:
    if record.state == "failed":
        return f"failed: {record.error}"
    values = {records.column(name): value for name, value in record.values.items()}
    if not values and record.curve:
        values = {"val_loss": list(record.curve.values())[-1]}
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items()) + f", {record.seconds:.1f} s"
