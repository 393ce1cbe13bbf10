"""The verb `submission`: scores and decisions of the evaluation data → a folder as DCASE Challenge Task 2 takes it.

`<label>/` holds `anomaly_score_*.csv` and `decision_result_*.csv`, named as the year's baseline names them, and
`<label>.meta.yaml`, which is `submission_meta.py`'s. The form of the label is that of the submission pages' template.
The technical report, and what no configuration knows, are the participant's.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from ganad_tf.clips import DOMAINS, Clip, by_id
from ganad_tf.config import Config
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import atomic
from ganad_tf.results import decisions, evaluate, official, official_files, score_files, submission_meta
from ganad_tf.results.directory import MachineResults
from ganad_tf.run import MachineRun

LABEL = re.compile(r"[A-Za-z][A-Za-z-]*_[A-Za-z0-9-]+_task2_[1-4]")

Rows = list[tuple[str, object]]


def check_label(label: str) -> None:
    """Checks the form of a submission's label.

    Raises:
      ConfigError: If it has another.
    """
    if not LABEL.fullmatch(label):
        raise ConfigError(
            "Expected a label such as Muster_INST_task2_1 (last name of the corresponding author, abbreviation of the "
            f"institute, task2, number of the system from 1 to 4) for --label. Received: {label!r}."
        )


def year_of(config: Config) -> int:
    """The year of the challenge that a configuration's dataset is of.

    Raises:
      ConfigError: If it is of none.
    """
    name = config.dataset.name
    year = 2020 if name == "dcase2020" else official.year_of(name)
    if year is None:
        raise ConfigError(f"Expected `dataset.name` from dcase2020 to dcase2026 for a submission. Received: {name}.")
    return year


def write(runs: Sequence[MachineRun], label: str, out: Path, *, n_parameters: int | None = None) -> Path:
    """Writes the folder of a submission.

    Args:
      runs: One per machine type of the evaluation data, of one experiment.
      label: Name of the submission.
      out: Directory of the folder.
      n_parameters: Number of the system's parameters; None if unknown.

    Returns:
      The folder, `<out>/<label>`.

    Raises:
      ConfigError: If the label, the dataset or the settings of the scores don't fit, or the folder exists.
      DataError: If clips lack a score or a decision, or are parts of a file; names all files or machine types that do.
    """
    check_label(label)
    year, folder = year_of(runs[0].config), out / label
    if folder.exists():
        raise ConfigError(
            f"Expected no {folder} yet, so that nothing that was filled in there is lost; move it, or choose another "
            "--label or --out."
        )
    files = files_of(runs, year)
    meta = submission_meta.content([run.config for run in runs], year, label, n_parameters)
    content = yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)
    with atomic.new_directory(folder) as temporary:
        for name, rows in files.items():
            score_files.write_rows(temporary / name, rows)
        atomic.write_text(temporary / f"{label}.meta.yaml", content)
    return folder


def files_of(runs: Sequence[MachineRun], year: int) -> dict[str, Rows]:
    """Rows of the files of scores and, since 2021, of decisions, by their official names.

    Raises:
      ConfigError: If scores were made with other settings.
      DataError: If clips lack a score or a decision, or several are of one file.
    """
    official_files.refuse_parts(runs, "a submission")
    _check_files(runs, has_decisions=year > 2020)
    files: dict[str, Rows] = {}
    incomplete: list[str] = []
    without = [clip.file for run in runs for clip in run.listing.clips_of("test") if clip.domain not in DOMAINS]
    if year == 2021 and without:
        raise DataError(
            f"Expected test clips of the domains source and target, which have files of their own in 2021; "
            f"{len(without)} have none, such as {without[0]}."
        )
    for run in runs:
        evaluate.check_origin(run)
        called = dict(decisions.read(run))
        for machine_id, scored in evaluate.scored_clips(run).items():
            scores = dict(scored)
            clips = by_id(run.listing.clips_of("test"))[machine_id]
            if any(clip not in scores or (year > 2020 and clip not in called) for clip in clips):
                incomplete.append(f"{run.machine} {machine_id}")
                continue
            for group, own in _by_file(clips, year).items():
                name = f"{run.machine}_{group}.csv"
                files[f"anomaly_score_{name}"] = [(Path(clip.file).name, scores[clip]) for clip in own]
                if year > 2020:
                    files[f"decision_result_{name}"] = [(Path(clip.file).name, int(called[clip])) for clip in own]
    if incomplete:
        raise DataError(
            f"Expected a score and a decision of every clip. Some clips have none, of {', '.join(incomplete)}: they "
            "are not judged, or were left out; see not_judged_*.csv, and set `on_bad_clip: error`."
        )
    return files


def _check_files(runs: Sequence[MachineRun], *, has_decisions: bool) -> None:
    """Refuses runs whose files of scores or decisions are not there."""
    missing = []
    for run in runs:
        results = MachineResults.of(run)
        for machine_id in by_id(run.listing.require_clips("test")):
            paths = [results.scores(machine_id), results.decisions(machine_id)]
            missing += [path.name for path in paths[: 1 + has_decisions] if not path.exists()]
    if missing:
        raise DataError(
            f"Expected scores and decisions of all test clips in {runs[0].config.result_directory}; missing: "
            f"{', '.join(missing)}; run `ganad score` with --{runs[0].mode}."
        )


def _by_file(clips: Sequence[Clip], year: int) -> Mapping[str, list[Clip]]:
    """Clips of one machine ID by the part of the file's name that follows the machine type, sorted by name."""
    files: dict[str, list[Clip]] = {}
    for clip in sorted(clips, key=lambda clip: clip.file):
        domain = f"_{clip.domain}" if year == 2021 else ""
        name = f"id_{clip.machine_id}" if year == 2020 else f"section_{clip.machine_id}{domain}_test"
        files.setdefault(name, []).append(clip)
    return files
