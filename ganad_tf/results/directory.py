"""The owner of a result directory: names of its files, and how scores get there with what made them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ganad_tf.config import PAPER_DIRECTORY, Config, Mode
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun

RESULT_FILE = "result.csv"  # unless `result_file` says otherwise


@dataclass(frozen=True)
class ResultDirectory:
    """Scores, decisions and the table of areas, in the challenge's layout; the paper's scores in `paper/`.

    Attributes:
      path: The directory.
      table_name: File name of the table of AUC and pAUC.
    """

    path: Path
    table_name: str = RESULT_FILE

    @classmethod
    def of(cls, config: Config) -> "ResultDirectory":
        """The directory that a configuration names."""
        return cls(Path(config.result_directory), config.result_file)

    @property
    def table(self) -> Path:
        """The table of AUC and pAUC."""
        return self.path / self.table_name

    @property
    def paper(self) -> "ResultDirectory":
        """Results by the detectors' own score equations, where another scorer's are in this directory."""
        return ResultDirectory(self.path / PAPER_DIRECTORY, self.table_name)

    def machines(self) -> list["MachineResults"]:
        """The machine types that the directory has scores of, development data first."""
        modes: tuple[Mode, ...] = get_args(Mode)
        return [
            MachineResults(self.path, mode, re.sub(f"^score_origin_{mode}_", "", path.stem))
            for mode in modes
            for path in sorted(self.path.glob(f"score_origin_{mode}_*.json"))
        ]


@dataclass(frozen=True)
class MachineResults:
    """The files of one machine type in a result directory.

    Attributes:
      directory: The result directory.
      mode: `dev` or `eval`.
      machine: Machine type.
    """

    directory: Path
    mode: Mode
    machine: str

    @classmethod
    def of(cls, run: MachineRun) -> "MachineResults":
        """The files of a run."""
        return cls(Path(run.config.result_directory), run.mode, run.machine)

    @property
    def origin(self) -> Path:
        """Settings and files that the scores were made with."""
        return self.directory / f"score_origin_{self.mode}_{self.machine}.json"

    @property
    def train_scores(self) -> Path:
        """Scores of the normal training clips."""
        return self.directory / f"train_score_{self.mode}_{self.machine}.csv"

    @property
    def unfinished(self) -> Path:
        """Scores of a pass that was interrupted."""
        return self.directory / f".unfinished_{self.mode}_{self.machine}.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that writes this machine type's files."""
        return self.directory / self.machine

    def scores(self, machine_id: str) -> Path:
        """The challenge's score file of one machine ID."""
        return self.directory / f"anomaly_score_{self.machine}_id_{machine_id}.csv"

    def decisions(self, machine_id: str) -> Path:
        """Decisions, 0 or 1, of one machine ID."""
        return self.directory / f"decision_result_{self.machine}_id_{machine_id}.csv"

    def files(self, machine_ids: Sequence[str]) -> list[Path]:
        """Every file that is written for these machine IDs."""
        by_id = [path(machine_id) for path in (self.scores, self.decisions) for machine_id in machine_ids]
        return [self.unfinished, self.origin, self.train_scores, *by_id]

    def read_origin(self) -> dict[str, Any] | None:
        """Settings and files that the scores were made with; None beside scores from elsewhere.

        Raises:
          DataError: If it can't be read, or the scores were not all written.
        """
        return score_files.read_origin(self.origin)

    def write(
        self,
        scores: Mapping[str, Sequence[ClipScore]],
        train_scores: Sequence[ClipScore],
        origin: Mapping[str, Any],
        *,
        threshold: float | None = None,
    ) -> None:
        """Writes scores and decisions; the origin comes last and says that they are all there.

        Args:
          scores: By machine ID, of the test clips.
          train_scores: Of the normal training clips.
          origin: Settings and files that they were made with.
          threshold: Score above which a clip is called anomalous; None for no decisions, and earlier ones go.

        Raises:
          DataError: If a score is not a finite number.
        """
        score_files.write_origin(self.origin, origin, is_complete=False)
        for machine_id in scores:
            self.decisions(machine_id).unlink(missing_ok=True)
        for machine_id, clips in scores.items():
            score_files.write_scores(self.scores(machine_id), clips)
        score_files.write_scores(self.train_scores, train_scores)
        if threshold is not None:
            for machine_id, clips in scores.items():
                decisions = [(clip.name, int(clip.score > threshold)) for clip in clips]
                score_files.write_rows(self.decisions(machine_id), decisions)
        score_files.write_origin(self.origin, origin)
