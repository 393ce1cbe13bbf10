"""The verb `search`: trials of settings for each machine type, one after another."""

import argparse
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ganad_tf import config as configuration
from ganad_tf import datasets, runtime
from ganad_tf.cli import sending, stages, terminal, wide, workflow
from ganad_tf.clips import SPLITS
from ganad_tf.config import Config, layers
from ganad_tf.engine import driver
from ganad_tf.engine.driver import Workers
from ganad_tf.engine.units import Unit
from ganad_tf.errors import ConfigError, DataError, GanadError, StageInterrupt
from ganad_tf.models import DETECTORS
from ganad_tf.run import MachineRun, machine_runs
from ganad_tf.search import forecast, objectives, outputs
from ganad_tf.search.records import Record, Records
from ganad_tf.search.search import Plan, Search, check_values
from ganad_tf.search.trial import Laboratory
from ganad_tf.search.trials import HandOut, Job, run_jobs
from ganad_tf.training.build import known_arguments

logger = logging.getLogger(__name__)


def search(options: argparse.Namespace) -> None:
    """Searches settings for each machine type; with --dry-run says how long that would take."""
    mapping = layers.overlaid(configuration.read_yaml(options.config), options.set, source=options.config)
    config = configuration.from_mapping(mapping, source=options.config)
    plan = Plan.of(config, model_keys(config))
    workflow.make_synthetic(config, options.mode)
    runs = workflow.runs_of(options, config)
    directory = directory_of(config)
    laboratories = [laboratory(run, mapping, directory, (plan.objective,)) for run in runs]
    stages.check(runs)
    check(laboratories, plan)
    if config.deterministic:
        runtime.deterministic()
    stages.prepare_all(runs, sorted({"train", *objectives.SPLITS[plan.objective]}))
    if options.dry_run:
        for place in laboratories:
            print(forecast.in_words(place, plan), flush=True)
        return
    with wide.workers(options) as workers:
        if workers.are_elsewhere:
            sending.publish_caches(runs)
        hand_out = partial(on_workers, workers) if workers.are_elsewhere else None
        failed = [
            place.base.machine for place in laboratories if not search_one(place, plan, directory, options, hand_out)
        ]
    trials = directory / outputs.TRIALS
    errors = {
        machine: DataError(f"No trial of {machine} has a value; {trials} says why each has failed.")
        for machine in failed
    }
    wide.conclude(options, runs, errors)


def on_workers(
    workers: Workers, laboratory: Laboratory, jobs: Sequence[Sequence[Job]], forgets: bool
) -> dict[int, str]:
    """Has groups of jobs run by workers; returns reasons by index of those that were lost."""
    machine, names = laboratory.base.machine, [_name(laboratory, group) for group in jobs]
    units = [
        Unit("trial", name, machine, run_jobs, (laboratory, group, forgets))
        for name, group in zip(names, jobs, strict=True)
    ]
    with terminal.units() as show:
        outcomes = driver.run([sending.sent_trial(unit) for unit in units], workers, show)
    for outcome in outcomes.values():
        if outcome.error is not None and not isinstance(outcome.error, GanadError):
            raise outcome.error
    return {number: str(error) for number, unit in enumerate(units) if (error := outcomes[unit.key].error)}


def _name(laboratory: Laboratory, group: Sequence[Job]) -> str:
    numbers = sorted({job.number for job in group})
    which = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{laboratory.base.machine} {which}, seed {group[0].seed}"


def search_one(
    place: Laboratory, plan: Plan, directory: Path, options: argparse.Namespace, hand_out: HandOut | None = None
) -> bool:
    """Searches settings for one machine type, prints the ranking and writes the files; whether a trial has a value."""
    machine = place.base.machine
    try:
        results, importances = Search(plan, place, hand_out).run(fresh=options.fresh)
    except KeyboardInterrupt as error:
        n_kept = sum(record.state != "paused" for record in Records(place.directory).all())
        total = plan.n_trials * len(plan.seeds)
        raise StageInterrupt(f"searching {machine}", f"{n_kept} of {total} trials are kept") from error
    print(outputs.table(machine, plan, results), flush=True)
    logs = place.base.config.tensorboard.directory
    if logs:
        outputs.write_rows(Path(logs), machine, results)
    found = outputs.comparable(directory, machine)
    outputs.write_trials(directory, plan, found, place.objectives)
    outputs.write_plots(directory, machine, plan, results, importances)
    best = outputs.write_best(directory, plan, place.mapping, found, options.config)
    if best:
        config = configuration.load(best)
        if config.cache_directory != place.base.config.cache_directory:  # so that `ganad train` finds log-mels there
            listings = datasets.list_clips(config, "dev", [machine])
            stages.prepare_all(machine_runs(config, listings, "dev"), SPLITS)
        print(f"settings: {best}", flush=True)
    return _has_value(results)


def _has_value(results: Sequence[Record]) -> bool:
    return any(record.state == "finished" for record in results)


def laboratory(run: MachineRun, mapping: dict[str, Any], directory: Path, measured: tuple[str, ...]) -> Laboratory:
    """The place of a machine type's trials in the directory of a search."""
    if run.config.ensemble.members:
        raise ConfigError("Expected one system to search settings for. Received: an ensemble; search its members.")
    folder = directory / outputs.MACHINES / run.machine
    return Laboratory(run, mapping, folder, directory / "cache", measured, stages.show_training)


def check(laboratories: Sequence[Laboratory], plan: Plan) -> None:
    """Checks all values of the space for all machine types, before the first trial.

    Raises:
      ConfigError: Names all values that can't be used, one sentence each.
    """
    faults: dict[str, str] = {}
    for place in laboratories:
        faults = check_values(place, plan) | faults
    if faults:
        raise ConfigError("\n".join(faults.values()))


def directory_of(config: Config) -> Path:
    """Directory of the search."""
    return Path(config.search.directory or Path(config.result_directory, "search"))


def model_keys(config: Config) -> list[str]:
    """Arguments of the detectors that the search may train."""
    named = config.search.space.get("model.name")
    sections = [config.model.name, *(named if isinstance(named, list) else [])]
    return list(dict.fromkeys(key for name in sections if name in DETECTORS for key in known_arguments(name)))
