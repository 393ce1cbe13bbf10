"""The owner of a result directory: names of its files, and writing of scores with their provenance."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from ganad_tf.config import PAPER_DIRECTORY, Config, Mode
from ganad_tf.errors import DataError
from ganad_tf.files import atomic
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import NormalScores
from ganad_tf.run import MachineRun

SELECTION = "selection.csv"  # of `ganad run FOLDER`, beside the result directory
RESULT_FILE = "result.csv"  # unless `result_file` says otherwise


@dataclass(frozen=True)
class ResultDirectory:
    """A directory of scores, decisions and the table of areas in the challenge's layout; paper's scores in `paper/`.

    Attributes:
      path: The directory.
      table_name: File name of the table of AUC and pAUC.
    """

    path: Path
    table_name: str = RESULT_FILE

    @classmethod
    def of(cls, config: Config) -> "ResultDirectory":
        """The result directory of a configuration."""
        return cls(Path(config.result_directory), config.result_file)

    @property
    def table(self) -> Path:
        """File of the table of AUC and pAUC."""
        return self.path / self.table_name

    @property
    def paper(self) -> "ResultDirectory":
        """Directory of the scores by the detectors' own equations, if this directory holds those of another scorer."""
        return ResultDirectory(self.path / PAPER_DIRECTORY, self.table_name)

    @property
    def modes(self) -> Path:
        """File of the mode, `dev` or `eval`, that the table is of, by machine type."""
        return self.path / f"{Path(self.table_name).stem}_modes.json"

    def read_modes(self) -> dict[str, str]:
        """Reads the mode that the table is of, by machine type; empty without a record, as of tables from elsewhere.

        Raises:
          DataError: If the record can't be read.
        """
        if not self.modes.exists():
            return {}
        try:
            return dict(json.loads(self.modes.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{self.modes} can't be read ({error}); run `ganad evaluate` again.") from error

    @contextmanager
    def recording_modes(self, modes: Mapping[str, str], *, keep: bool) -> Iterator[None]:
        """Context in which the table is written; there is no record of its modes until that is done.

        Args:
          modes: Mode by machine type.
          keep: Whether the table keeps its other machine types.
        """
        kept = self.read_modes() if keep else {}
        self.modes.unlink(missing_ok=True)
        yield
        atomic.write_text(self.modes, json.dumps({**kept, **modes}, indent=1))

    def machines(self) -> list["MachineResults"]:
        """Files of the machine types that the directory has scores of, development data first."""
        modes: tuple[Mode, ...] = get_args(Mode)
        return [
            MachineResults(self.path, mode, path.stem.removeprefix(f"score_origin_{mode}_"))
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
        """File of the provenance of the scores: the settings and files that they were made with."""
        return self.directory / f"score_origin_{self.mode}_{self.machine}.json"

    @property
    def train_scores(self) -> Path:
        """File of the scores of the normal training clips."""
        return self.directory / f"train_score_{self.mode}_{self.machine}.csv"

    @property
    def calibration_scores(self) -> Path:
        """File of the scores of normal clips that the detector has not seen."""
        return self.directory / f"calibration_score_{self.mode}_{self.machine}.csv"

    @property
    def unfinished(self) -> Path:
        """File of the scores of an interrupted pass."""
        return self.directory / f".unfinished_{self.mode}_{self.machine}.json"

    @property
    def lock(self) -> Path:
        """Path that is locked while this machine type's files are written."""
        return self.directory / self.machine

    def scores(self, machine_id: str) -> Path:
        """Score file of one machine ID, in the challenge's layout."""
        return self.directory / f"anomaly_score_{self.machine}_id_{machine_id}.csv"

    def scored_ids(self) -> list[str]:
        """Machine IDs that have a score file, ascending."""
        prefix = f"anomaly_score_{self.machine}_id_"
        return sorted(path.stem.removeprefix(prefix) for path in self.directory.glob(f"{prefix}*.csv"))

    def decisions(self, machine_id: str) -> Path:
        """File of the decisions, 0 or 1, of one machine ID."""
        return self.directory / f"decision_result_{self.machine}_id_{machine_id}.csv"

    def recording_scores(self, machine_id: str) -> Path:
        """File of the scores of one machine ID's recordings; missing if none of them was cut into clips."""
        return self.directory / f"recording_score_{self.machine}_id_{machine_id}.csv"

    @property
    def not_judged(self) -> Path:
        """File of the test clips that are not judged; missing if there are none."""
        return self.directory / f"not_judged_{self.mode}_{self.machine}.csv"

    def p_values(self, machine_id: str) -> Path:
        """File of the p-values of one machine ID, laid out as the scores."""
        return self.directory / f"p_value_{self.machine}_id_{machine_id}.csv"

    def files(self, machine_ids: Sequence[str]) -> list[Path]:
        """Files that are written for these machine IDs."""
        paths = (self.scores, self.decisions, self.p_values, self.recording_scores)
        by_id = [path(machine_id) for path in paths for machine_id in machine_ids]
        return [self.unfinished, self.origin, self.train_scores, self.calibration_scores, self.not_judged, *by_id]

    def normal_scores(self) -> NormalScores:
        """Reads the scores of the normal clips.

        Raises:
          DataError: If a file can't be read.
        """
        path = self.calibration_scores
        calibration = score_files.read_calibration(path) if path.exists() else ()
        return NormalScores(score_files.read_scores(self.train_scores), calibration)

    def read_origin(self) -> dict[str, Any] | None:
        """Reads the provenance of the scores; None if there is none, as with scores from elsewhere.

        Raises:
          DataError: If it can't be read, or not all scores were written.
        """
        return score_files.read_origin(self.origin)

    def read_not_judged(self) -> dict[str, str]:
        """Reads the reasons why test clips have no score, by clip name.

        Raises:
          DataError: If the file can't be read.
        """
        return score_files.read_reasons(self.not_judged) if self.not_judged.exists() else {}

    def write(
        self,
        scores: Mapping[str, Sequence[ClipScore]],
        normal: NormalScores,
        origin: Mapping[str, Any],
        *,
        threshold: float | None = None,
        not_judged: Mapping[str, str] | None = None,
        without_score: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Writes scores, p-values and decisions; the provenance is written last and marks them as complete.

        Args:
          scores: Scores of the test clips, by machine ID.
          normal: Scores of the normal training clips and, for p-values, of those for calibration.
          origin: Settings and files that the scores were made with.
          threshold: Score above which a clip counts as anomalous; None for no decisions, which deletes earlier ones.
          not_judged: Reasons why test clips have no score, by clip name.
          without_score: Names of the test clips without a score, also of those that can't be read, by machine ID.

        Raises:
          DataError: If a score is NaN or infinite.
        """
        score_files.write_origin(self.origin, origin, is_complete=False)
        not_always = (self.decisions, self.p_values, self.recording_scores)
        of_ids = [path(machine_id) for path in not_always for machine_id in scores]
        for path in (self.calibration_scores, *of_ids):
            path.unlink(missing_ok=True)
        for machine_id, clips in scores.items():
            score_files.write_scores(self.scores(machine_id), clips)
            missing = (without_score or {}).get(machine_id, ())
            score_files.write_recordings(self.recording_scores(machine_id), clips, threshold, missing)
        score_files.write_scores(self.train_scores, normal.training)
        if normal.calibration:
            score_files.write_calibration(self.calibration_scores, normal.calibration)
            for machine_id, clips in scores.items():
                values = normal.p_values([clip.score for clip in clips])
                rows = [(clip.name, float(value)) for clip, value in zip(clips, values, strict=True)]
                score_files.write_rows(self.p_values(machine_id), rows)
        if not_judged:
            score_files.write_rows(self.not_judged, sorted(not_judged.items()))
        else:
            self.not_judged.unlink(missing_ok=True)
        if threshold is not None:
            for machine_id, clips in scores.items():
                decisions = [(clip.name, int(clip.score > threshold)) for clip in clips]
                score_files.write_rows(self.decisions(machine_id), decisions)
        score_files.write_origin(self.origin, origin)
