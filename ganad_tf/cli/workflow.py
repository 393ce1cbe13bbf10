"""The stages of an experiment one after another, for the verbs that run several of them."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import terminal, wide
from ganad_tf.clips import SPLITS
from ganad_tf.config import Config, Mode
from ganad_tf.errors import ConfigError
from ganad_tf.results import decisions, official, official_files, official_table
from ganad_tf.results import evaluate as evaluation
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.run import MachineRun, machine_runs

logger = logging.getLogger(__name__)


def runs_of(options: argparse.Namespace, config: Config | None = None) -> list[MachineRun]:
    """Runs of a verb, one per machine type, or per machine type of --machine."""
    config = config or configuration.load(options.config, options.set)
    return machine_runs(config, datasets.list_clips(config, options.mode, options.machine), options.mode)


def systems(runs: Sequence[MachineRun]) -> list[MachineRun]:
    """Runs that are trained and scored: those of an ensemble's members; none if they are mere result directories."""
    return [system for run in runs for system in run.systems()]


def is_ensemble(runs: Sequence[MachineRun]) -> bool:
    """Whether the runs combine the scores of others."""
    return bool(runs[0].config.ensemble.members)


def run_all(
    runs: Sequence[MachineRun], options: argparse.Namespace, *, has_fresh_caches: bool = False
) -> dict[str, Exception]:
    """Runs all stages up to the scores; for an ensemble of mere result directories without TensorFlow.

    Args:
      runs: The machine types.
      options: Of the command line.
      has_fresh_caches: Whether --fresh has recomputed the caches already.

    Returns:
      Errors of machine types that were trained and scored on a cluster or in this process.

    Raises:
      DataError: If clips can't be used; on a cluster the other machine types go on.
    """
    if _has_labels(runs):
        official_files.refuse_unofficial(runs)  # before a training whose scores can't be evaluated
    trained = systems(runs)
    errors: dict[str, Exception] = {}
    if trained:
        terminal.import_tensorflow()
        from ganad_tf.cli import stages

        stages.check(trained)
        for run in runs:
            run.listing.require_clips("test")
        with wide.workers(options) as workers:
            fresh = options.fresh and not has_fresh_caches
            errors = stages.prepare_each(trained, SPLITS, fresh=fresh, workers=workers)
            if errors and not workers.are_elsewhere:
                wide.conclude(options, runs, errors)
            warn_of_oddities(wide.without(runs, errors))
            ready = wide.without(trained, errors)
            trainings = stages.train_units(ready, fresh=options.fresh)
            scorings = stages.score_units(ready, fresh=False, command=options.command, after=trainings)
            errors |= stages.on_workers([*trainings, *scorings], workers)
    finish_scores(wide.without(runs, errors), options.command)
    return errors


def score_all(runs: Sequence[MachineRun], options: argparse.Namespace) -> dict[str, Exception]:
    """Scores the test clips of the systems of all runs; returns errors by machine type.

    Raises:
      GanadError: If a machine type has no detector, or clips can't be used; on a cluster the others go on.
    """
    trained = systems(runs)
    if not trained:
        return {}
    terminal.import_tensorflow()
    from ganad_tf.cli import stages

    with wide.workers(options) as workers:
        errors = stages.without_detector(trained)
        if not errors or workers.are_elsewhere:
            errors |= stages.prepare_each(wide.without(trained, errors), ("test",), workers=workers)
        if errors and not workers.are_elsewhere:
            wide.conclude(options, runs, errors)
        ready = wide.without(trained, errors)
        units = stages.score_units(ready, fresh=options.fresh, command=options.command)
        errors |= stages.on_workers(units, workers)
    warn_of_oddities(wide.without(runs, errors))
    return errors


def finish_scores(runs: Sequence[MachineRun], command: str) -> None:
    """Combines the scores of an ensemble's members, and warns of too many alarms."""
    from ganad_tf.results import ensemble

    if runs and is_ensemble(runs):
        for run in runs:
            ensemble.score_ensemble(run, command=command)
    decisions.warn_of_scored(runs)


def warn_of_oddities(runs: Sequence[MachineRun]) -> None:
    """Warns of recordings that are silent, clipped, duplicated, or resampled beside others that are not."""
    from ganad_tf.datasets import oddities, sample_rates

    with_caches = [(*run.members(), run)[0] for run in runs]
    with terminal.bar("recordings") as progress:
        oddities.warn(with_caches, progress=progress)
    for run in with_caches:
        for line in sample_rates.lines(run):
            logger.warning("%s", line)


def make_synthetic(config: Config, mode: Mode) -> None:
    """Writes the recordings of the synthetic machines, if the configuration is of these."""
    if config.dataset.name != "synthetic":
        return
    if mode == "eval":
        raise ConfigError("Expected --dev: the synthetic machines have no evaluation data.")
    from ganad_tf.datasets import synthetic

    synthetic.write(config.data_directory(mode), config.dataset.synthetic)


def evaluate_labelled(runs: Sequence[MachineRun], *, keep: bool) -> None:
    """Prints and writes AUC and pAUC if there are labels."""
    if _has_labels(runs):
        evaluate(runs, keep=keep)


def _has_labels(runs: Sequence[MachineRun]) -> bool:
    return any(clip.label is not None for run in runs for clip in run.listing.clips_of("test"))


def evaluate(runs: Sequence[MachineRun], *, keep: bool) -> None:
    """Prints and writes AUC and pAUC."""
    results = areas(runs, keep=keep)
    beside = [run.with_config(run.config.with_paper_score()) for run in runs if evaluation.has_paper_scores(run)]
    paper = official_files.evaluate_runs(beside, keep=keep) if beside else []
    print(evaluation.table(results, paper))
    path, year = ResultDirectory.of(runs[0].config).table, official.year_of(runs[0].config.dataset.name)
    if year:
        print(f"\n{official_table.text(official_table.read(path), is_2021=year == 2021)}")
    logger.info("wrote %s", path)


def areas(runs: Sequence[MachineRun], *, keep: bool) -> list[evaluation.MachineResult]:
    """Writes AUC and pAUC of the runs and, for `ganad compare`, of an ensemble's members; returns those of the runs."""
    for name in dict.fromkeys(member.member for run in runs for member in run.members()):
        members = [member for run in runs for member in run.members() if member.member == name]
        official_files.evaluate_runs(members, keep=keep)
    return official_files.evaluate_runs(runs, keep=keep)


def write_report(results: Sequence[Path], out: Path, n_clips: int) -> Path:
    """Writes the report of result directories."""
    from ganad_tf.report import write

    with terminal.bar("report", "machine") as progress:
        return write.write(results, out, n_clips=n_clips, progress=progress)
