"""Results of trials: one small file per trial and seed, complete or absent, and the ranking of them."""

import csv
import io
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ganad_tf.files import atomic, checksummed

logger = logging.getLogger(__name__)

FOLDER = "trials"
BODY = "trial"
LABELLED = "dev_auc"  # the objective that reads test labels
MINIMIZED = ("val_loss",)  # objectives of which low values are better


@dataclass(frozen=True)
class Record:
    """Result of a trial with one seed.

    Attributes:
      number: Number of the trial, from 0.
      seed: The seed.
      parameters: Values by key of the space.
      state: `finished` with values; `failed` with an error; `pruned` after a few epochs; `paused` while others are on
        their way to the same epoch.
      values: Values by objective.
      seconds: Time that the trial took, without that of a training that it shares with an earlier trial.
      error: Reason why it failed; empty otherwise.
      curve: Validation loss by number of epochs, as a text, where trials are compared on the way.
    """

    number: int
    seed: int
    parameters: Mapping[str, Any]
    state: Literal["finished", "failed", "pruned", "paused"]
    values: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""
    curve: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Records:
    """The files of a machine type's search.

    Attributes:
      directory: Directory of the machine type's search.
    """

    directory: Path

    def read(self, number: int, seed: int) -> Record | None:
        """The result of a trial; None if there is none, or if its file is damaged."""
        path = self._path(number, seed)
        if not path.exists():
            return None
        try:
            return Record(**checksummed.load(BODY, path.read_text(encoding="utf-8")))
        except checksummed.READ_ERRORS as error:
            logger.warning("%s can't be read (%s); the trial is run again.", path, error)
            return None

    def write(self, record: Record) -> None:
        """Writes a result in one step."""
        atomic.write_text(self._path(record.number, record.seed), checksummed.dump(BODY, asdict(record)))

    def all(self) -> Iterator[Record]:
        """Yields the results that can be read, by number and seed."""
        names = [path.stem.split("-") for path in (self.directory / FOLDER).glob("*-*.json")]
        for number, seed in sorted((int(number), int(seed)) for number, seed in names):
            record = self.read(number, seed)
            if record is not None:
                yield record

    def _path(self, number: int, seed: int) -> Path:
        return self.directory / FOLDER / f"{number:06d}-{seed}.json"


@dataclass(frozen=True)
class Ranked:
    """A trial with all its seeds.

    Attributes:
      records: One per seed.
      value: Mean of the objective; NaN for a trial that has none.
      deviation: Standard deviation over the seeds; NaN for one seed.
    """

    records: tuple[Record, ...]
    value: float
    deviation: float


def ranked(records: Sequence[Record], objective: str, n_seeds: int, *, minimizes: bool) -> list[Ranked]:
    """Trials of which all seeds are finished, best first, the earlier first of equal ones."""
    by_number: dict[int, list[Record]] = {}
    for record in records:
        if record.state == "finished":
            by_number.setdefault(record.number, []).append(record)
    trials = []
    for group in by_number.values():
        values = [record.values[objective] for record in group]
        if len(values) == n_seeds:
            deviation = float(np.std(values, ddof=1)) if n_seeds > 1 else math.nan
            trials.append(Ranked(tuple(group), float(np.mean(values)), deviation))
    return sorted(trials, key=lambda trial: (trial.value if minimizes else -trial.value, trial.records[0].number))


def column(objective: str) -> str:
    """Name of an objective in tables; that of one that reads labels says so."""
    return f"oracle_{objective}" if objective == LABELLED else objective


def as_csv(by_machine: Mapping[str, Sequence[Record]], objectives: Sequence[str], keys: Sequence[str]) -> str:
    """Results as CSV, one row per trial and seed."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["machine", "trial", "seed", "state", *map(column, objectives), "seconds", "error", *keys])
    for machine, records in by_machine.items():
        for record in records:
            values = [f"{record.values[name]:.6g}" if name in record.values else "" for name in objectives]
            parameters = [shown(record.parameters.get(key)) for key in keys]
            head = [machine, record.number, record.seed, record.state]
            writer.writerow([*head, *values, f"{record.seconds:.1f}", record.error, *parameters])
    return stream.getvalue()


def shown(value: Any) -> str:
    """A value of a setting as text: strings as they are, all others as JSON, numbers of six digits at most."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value)
