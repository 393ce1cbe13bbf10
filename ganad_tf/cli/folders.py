"""`ganad run FOLDER`: a folder of recordings → results, report and exported models, with the recommended settings."""

import argparse
import logging
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ganad_tf import __version__, datasets, splits
from ganad_tf import config as configuration
from ganad_tf.cli import projects, terminal, wide, workflow
from ganad_tf.cli.projects import Project
from ganad_tf.clips import SPLITS
from ganad_tf.config import Config, layers
from ganad_tf.datasets import folder_tree
from ganad_tf.errors import ConfigError, DataError, GanadError, ThresholdError
from ganad_tf.files import atomic
from ganad_tf.results import conformal, decisions
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)

N_CLIPS = 3  # of each kind, in the report
_OUTDATED = "set another `model_directory`"  # advice that the stages give
_ADVICE = "For a folder of recordings: --fresh begins again, --out DIR keeps both."


def run(options: argparse.Namespace) -> None:
    """Runs all stages for a folder of recordings, and writes report and exported models."""
    if options.only_failed:
        raise ConfigError(f"Expected a CONFIG.yaml with --only-failed. Received: {options.config}, a folder.")
    if options.mode == "eval":
        raise ConfigError(
            "Expected --dev with a folder of recordings; `ganad predict` judges new recordings by its exported model."
        )
    folder = Path(options.config)
    _refuse(folder)
    project = Project(options.out or projects.beside(folder))
    mapping = _settings(folder, project, options.set)
    runs = _runs(options, project, mapping)
    if options.fresh and mapping.get("selection"):
        _forget_selection(project, mapping, [run.machine for run in runs])
        runs = _runs(options, project, mapping)
    terminal.import_tensorflow()
    from ganad_tf.cli import stages

    with _advising():
        _check(runs, fresh=options.fresh)
        _write(project, folder, mapping)
        if options.fresh:
            stages.prepare_all(workflow.systems(runs), SPLITS, fresh=True)  # before anything is selected by them
        if _select(runs, project, folder, mapping, fresh=options.fresh):
            runs = _runs(options, project, mapping)
        errors = workflow.run_all(runs, options, has_fresh_caches=options.fresh)
        wide.conclude(options, runs, errors)
    results = workflow.areas(runs, keep=bool(options.machine))
    print(decisions.table(runs, results))
    page = workflow.write_report([Path(mapping["result_directory"])], project.report, N_CLIPS)
    print(f"report: {projects.shown(page)}")
    _export(runs, options)
    machines = list(project.models())
    which = f" --machine {shlex.quote(machines[0])}" if len(machines) > 1 else ""
    print(f"new recordings: ganad predict {shlex.quote(projects.shown(project.path))}{which} NEW_RECORDINGS")


def settings(options: argparse.Namespace) -> Config:
    """Settings of `ganad run FOLDER`, for verbs that write nothing."""
    folder = Path(options.config)
    _refuse(folder)
    project = Project(projects.beside(folder))
    return configuration.from_mapping(_settings(folder, project, options.set), source=str(project.config))


def _refuse(folder: Path) -> None:
    """Refuses a folder that can't be one of recordings.

    Raises:
      ConfigError: If it is the result of an earlier run.
      DataError: If there are no recordings in it.
    """
    project = Project(folder)
    if project.exists():
        raise ConfigError(
            f"Expected a folder of recordings. Received: {folder}, which `ganad run` has written; "
            f"`ganad run {projects.shown(project.config)}` repeats that run, `ganad predict {folder} NEW_RECORDINGS` "
            "judges new recordings."
        )
    files, others = datasets.recordings(folder)
    if not files:
        first = "".join(others[:1]).partition(": expected")[0]
        rest = f" Other files in it: {len(others)}, such as {first}." if others else ""
        raise DataError(f"Expected recordings (WAV, FLAC, OGG, ...) in {folder}, but there are none.{rest}")
    labels = {folder_tree.label_of(path): path.name for path in folder.iterdir()}
    if labels.get(1) and not labels.get(0) and not any(path.is_file() for path in folder.iterdir()):
        raise DataError(
            f"Expected recordings of the healthy machine in {folder / 'normal'}, but there are only those of the "
            f"broken one in {labels[1]}."
        )


def _settings(folder: Path, project: Project, overrides: Sequence[str]) -> dict[str, Any]:
    """Content of `config.yaml`: of an earlier run, or else the recommended settings, with overrides laid over it."""
    absolute = os.path.abspath(folder)  # noqa: PTH100 - `resolve` would follow links
    directories = {"dev_directory": absolute, **_absolute(project).directories()}
    if project.config.is_file():
        mapping = layers.read_yaml(project.config)
        earlier = Path(str(mapping.get("dev_directory", absolute)))
        if earlier.is_dir() and not earlier.samefile(folder):
            raise ConfigError(
                f"Expected a directory for the results of {folder}. Received: {project.path}, which has those of "
                f"{earlier}; set another --out DIR."
            )
        if not earlier.is_dir():  # moved, with the recordings
            mapping |= directories
    else:
        recommended = configuration.recommended()
        names = {Path(absolute).name, *(path.name for path in folder.iterdir())}
        machines = {name: changes for name, changes in recommended.get("machines", {}).items() if name in names}
        mapping = recommended | directories | {"dataset": {"name": "folder"}}
        mapping["machines"] = machines
    if any(map(_is_selected, overrides)):
        mapping["selection"] = None  # the command line selects
    return layers.overlaid(mapping, overrides, source=str(project.config))


def _absolute(project: Project) -> Project:
    return Project(Path(os.path.abspath(project.path)))  # noqa: PTH100


def _check(runs: Sequence[MachineRun], *, fresh: bool) -> None:
    """Refuses too few recordings, and other settings than those of earlier detectors, before anything is written."""
    from ganad_tf.scoring.model_directory import ModelDirectory

    for run in runs:
        run.listing.require_clips("train")
    for run in workflow.systems(runs):
        _check_clip_count(run)
    for run in runs:
        _check_rate(run)
    for run in workflow.systems(runs):
        directory = ModelDirectory.of(run)
        if directory.exists() and not fresh:
            directory.check_settings(run.config)


def _check_clip_count(run: MachineRun) -> None:
    """Refuses too few recordings for the density, naming those that were held out for the test."""
    from ganad_tf.datasets.folder import fewest_files
    from ganad_tf.scoring.densities import min_training_clips
    from ganad_tf.scoring.fit import check_clip_count

    try:
        check_clip_count(run, run.listing.clips_of("train"))
    except DataError as error:
        folder = run.config.dataset.folder
        normal = [clip for clip in run.listing.clips if clip.label == 0 and clip.split != "calibration"]
        n_test = sum(clip.split == "test" for clip in normal)
        fewest = fewest_files(min_training_clips(run.config.scorer), folder.test_split)
        parts = []
        if n_test:
            parts.append(f"{n_test} of the {len(normal)} normal clips {'is' if n_test == 1 else 'are'} for the test")
        if len(normal) < fewest:
            parts.append(f"{fewest} in all are enough")
        if not parts:
            raise
        raise DataError(f"{str(error).removesuffix('.')}; add recordings ({'; '.join(parts)}).") from error


def _check_rate(run: MachineRun) -> None:
    """Refuses a rate of false alarms that needs more normal recordings than there are."""
    settings = run.config.threshold
    normal = [clip for clip in run.listing.clips_of("train") if clip.label == 0]
    recordings = splits.shared([clip.recording for clip in run.listing.clips_of("calibration") or normal])
    if settings.method == "conformal" and settings.false_alarms is not None:
        try:
            conformal.threshold([0.0] * len(recordings), settings.false_alarms, settings.confidence, recordings)
        except ThresholdError as error:
            raise ThresholdError(f"{run.machine}: {error}") from error


def _runs(options: argparse.Namespace, project: Project, mapping: dict[str, Any]) -> list[MachineRun]:
    return workflow.runs_of(options, configuration.from_mapping(mapping, source=str(project.config)))


def _is_selected(override: str) -> bool:
    """Whether an override is of a setting that is selected, or of one for which no candidate is made."""
    section, _, rest = override.partition("=")[0].partition(".")
    return section in ("scorer", "model", "machines") or (section == "ensemble" and not rest.startswith("members."))


def _select(
    runs: Sequence[MachineRun], project: Project, folder: Path, mapping: dict[str, Any], *, fresh: bool
) -> bool:
    """Selects scorer and weights of the machine types that have none yet, and writes them; whether there were any."""
    if not mapping.get("selection") or runs[0].config.ensemble.combine != "mean":
        return False
    if not all(system.config.feature.is_in_decibels for system in workflow.systems(runs)):
        logger.info("nothing is selected, because only log-mels can be corrupted to select by; the settings stay")
        return False
    from ganad_tf.cli import selecting
    from ganad_tf.selection import words

    machines = mapping["machines"] = mapping.get("machines") or {}
    done = set() if fresh else words.selected(project.selection) & machines.keys()
    n_selected = 0
    undecided = [run for run in runs if run.machine not in done]
    for choice in selecting.select_all(undecided):
        print(words.in_words(choice))
        machines[choice.machine] = layers.merge(machines.get(choice.machine) or {}, choice.settings())
        _write(project, folder, mapping)
        words.write(project.selection, choice)
        n_selected += 1
    return bool(n_selected)


def _forget_selection(project: Project, mapping: dict[str, Any], machines: Sequence[str]) -> None:
    """Removes what was selected for machine types, which then have the recommended settings again."""
    from ganad_tf.selection import words

    recommended, sections = configuration.recommended().get("machines", {}), mapping.get("machines") or {}
    for machine in words.selected(project.selection) & sections.keys() & set(machines):
        kept = {key: value for key, value in sections[machine].items() if key not in ("scorer", "ensemble")}
        sections[machine] = layers.merge(recommended.get(machine, {}), kept)


def _write(project: Project, folder: Path, mapping: dict[str, Any]) -> None:
    """Writes `config.yaml`, unless it has these settings already; an edited file keeps its comments."""
    if project.config.is_file() and layers.read_yaml(project.config) == mapping:
        return
    head = (
        f"# ganad run {shlex.quote(str(project.config))}\n#\n"
        f"# The settings of `ganad run {shlex.quote(str(folder))}`, by ganad_tf {__version__}.\n\n"
    )
    text = yaml.safe_dump(mapping, sort_keys=False, allow_unicode=True, default_flow_style=None, width=110)
    try:
        project.path.mkdir(parents=True, exist_ok=True)
        atomic.write_text(project.config, head + text)
    except (OSError, DataError) as error:
        reason = getattr(error, "strerror", None) or getattr(error.__cause__, "strerror", None) or error
        raise ConfigError(f"Can't write {project.path} ({reason}); choose another directory with --out DIR.") from error


def _export(runs: Sequence[MachineRun], options: argparse.Namespace) -> None:
    """Exports a model per machine type, unless the newest version is that of the same detectors."""
    from ganad_tf.exporting import current, savedmodel

    listings = datasets.list_clips(runs[0].config, runs[0].mode) if options.machine else [run.listing for run in runs]
    names = projects.model_names([listing.machine for listing in listings])
    for run in runs:
        name = names[run.machine]
        if not options.fresh and current.is_exported(run, name):
            logger.info("%s: already exported to %s", run.machine, Path(run.config.export_directory, name))
        else:
            savedmodel.export(run, name)


@contextmanager
def _advising() -> Iterator[None]:
    """Adds to the advice of the stages that which fits a folder."""
    try:
        yield
    except GanadError as error:
        if _OUTDATED in str(error):
            raise type(error)(f"{error} {_ADVICE}") from error
        raise
