"""The entry point of `ganad VERB CONFIG.yaml`, its exit codes, and the verbs in `VERBS`.

Exit codes: 0 success, 1 a bug (traceback), 2 an error that the user can fix (one sentence), 130 interrupted, 141 the
reader of the output has closed it. Tables go to stdout, everything else to stderr. A verb imports what it needs when
it runs, so that `--help`, `list` and `evaluate` don't wait for TensorFlow. A verb's docstring is its help line.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import (
    arguments,
    export_verbs,
    folders,
    interrupts,
    listing,
    remote,
    streams,
    terminal,
    wide,
    workflow,
)
from ganad_tf.clips import SPLITS
from ganad_tf.config import Config
from ganad_tf.errors import ConfigError, GanadError
from ganad_tf.results import evaluate as evaluation
from ganad_tf.results import official, official_files, official_table, truth

logger = logging.getLogger(__name__)


def main(command_line: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit code."""
    streams.open_all()
    given = sys.argv[1:] if command_line is None else command_line
    options = arguments.parser(VERBS).parse_args(given)
    options.command = shlex.join(["ganad", *given])
    level = logging.WARNING if options.quiet else logging.DEBUG if options.verbose else logging.INFO
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("ganad_tf").setLevel(level)
    try:
        with interrupts.recorded(), remote.directories(options):
            options.verb(options)
        sys.stdout.flush()
    except GanadError as error:
        print(f"ganad: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # as in `ganad list CONFIG.yaml | head -1`
        streams.abandon_output()
        return 141
    except OSError as error:  # such as a folder without permission: the user can fix it, wherever it occurs
        if error.filename is None:
            streams.abandon_output()  # what is left in its buffer would fail again when Python ends
        if options.verbose:
            raise
        print(f"ganad: {error.filename or 'the output'}: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"ganad: {terminal.interruption_message(error, arguments.without_secrets(given))}", file=sys.stderr)
        return 130
    return 0


def download(options: argparse.Namespace) -> None:
    """Download a public data set, verify and unpack it; run again, it continues where it stopped."""
    from ganad_tf.cli import downloading

    downloading.download(options)


def list_(options: argparse.Namespace) -> None:
    """List machine types, IDs, domains, attributes and numbers of clips, and warn of suspicious recordings."""
    is_folder = Path(options.config).is_dir()
    runs = workflow.runs_of(options, folders.settings(options) if is_folder else None)
    datasets.refuse_foreign(runs)
    print(f"{options.mode}: {runs[0].config.storage.location(runs[0].config.data_directory(options.mode))}")
    config, listings = runs[0].config, [run.listing for run in runs]
    for line in (
        *listing.table(listings),
        *listing.properties(listings),
        *listing.facts(config.dataset.name, listings, options.mode, options.machine),
    ):
        print(line)
    sys.stdout.flush()
    workflow.warn_of_oddities(runs)


def prepare(options: argparse.Namespace) -> None:
    """Compute the log-mels of the recordings and store them in the cache."""
    if wide.nothing_failed(options):
        return
    terminal.import_tensorflow()
    from ganad_tf.cli import stages

    config = configuration.load(options.config, options.set)
    workflow.make_synthetic(config, options.mode)
    runs = workflow.runs_of(options, config)
    with wide.workers(options) as workers:
        prepared = workflow.systems(runs) or runs
        errors = stages.prepare_each(prepared, SPLITS, fresh=options.fresh, workers=workers)
    wide.conclude(options, runs, errors)
    workflow.warn_of_oddities(runs)


def train(options: argparse.Namespace) -> None:
    """Train one detector per machine type on its normal training clips."""
    if wide.nothing_failed(options):
        return
    runs = workflow.runs_of(options)
    systems = workflow.systems(runs)
    if not systems:
        raise ConfigError(
            f"Expected a detector to train in {options.config}. Received: an ensemble; train its members, "
            "then `ganad run` it."
        )
    has_workers = any(system.config.fit.distribute == "multi_worker" for system in systems)
    if has_workers and options.ray:
        raise ConfigError("Expected no --ray for `fit.distribute: multi_worker`, whose workers TF_CONFIG names.")
    terminal.import_tensorflow(with_workers=has_workers)
    from ganad_tf.cli import stages

    datasets.refuse_foreign(runs)
    stages.check(systems)
    with wide.workers(options) as workers:
        errors = stages.on_workers(stages.train_units(systems, fresh=options.fresh), workers)
    writes = stages.finish_together(errors)
    wide.conclude(options, runs, errors, writes=writes)


def select(options: argparse.Namespace) -> None:
    """Select scorer and weights of an ensemble for each machine type, without labels, and print them as YAML."""
    runs = workflow.runs_of(options)
    config = runs[0].config
    has_others = any(isinstance(member, str) for member in config.ensemble.members)
    if has_others or not (config.selection.scorers or config.ensemble.members):
        raise ConfigError(
            f"Expected something to select in {options.config}: `selection.scorers`, or `ensemble.members`, all of "
            "them configurations."
        )
    terminal.import_tensorflow()
    from ganad_tf.cli import selecting
    from ganad_tf.selection import words

    machines = {}
    for choice in selecting.select_all(runs):
        print(words.in_words(choice), file=sys.stderr)
        machines[choice.machine] = choice.settings()
    print(yaml.safe_dump({"machines": machines}), end="")


def search(options: argparse.Namespace) -> None:
    """Search settings for each machine type: try combinations of those in the section `search`, and rank them."""
    if wide.nothing_failed(options):
        return
    if options.mode == "eval":
        raise ConfigError("Expected --dev to search settings: evaluation data have no clips to train on and no labels.")
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`ganad search` needs {error.name}; install the extra: pip install 'ganad_tf[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    terminal.import_tensorflow()
    from ganad_tf.cli import searching

    searching.search(options)


def score(options: argparse.Namespace) -> None:
    """Write anomaly scores and decisions for the test clips."""
    if wide.nothing_failed(options):
        return
    runs = workflow.runs_of(options)
    errors = workflow.score_all(runs, options)
    workflow.finish_scores(wide.without(runs, errors), options.command)
    wide.conclude(options, runs, errors)


def evaluate(options: argparse.Namespace) -> None:
    """Compute AUC and pAUC from the score files and write the result file."""
    if options.truth or options.scores:
        _evaluate_others(options)
        return
    if not options.config or options.out or options.year:
        raise ConfigError(
            "Expected CONFIG.yaml alone, or --truth and --scores, with --out for a file of the table and --year."
        )
    runs = workflow.runs_of(options)
    datasets.refuse_foreign(runs)
    workflow.evaluate(runs, keep=bool(options.machine))


def submission(options: argparse.Namespace) -> None:
    """Write the challenge's submission: scores and decisions of the evaluation data, with a meta file."""
    from ganad_tf.results import submission as package

    package.check_label(options.label)
    runs = workflow.runs_of(options)
    package.files_of(runs, package.year_of(runs[0].config))  # before TensorFlow is imported
    n_parameters = None
    if workflow.systems(runs):
        terminal.import_tensorflow()
        from ganad_tf.cli import stages

        n_parameters = stages.parameters(runs)
    folder = package.write(runs, options.label, options.out, n_parameters=n_parameters)
    print(folder)
    logger.info("fill in what is null in %s", folder / f"{options.label}.meta.yaml")


def run(options: argparse.Namespace) -> None:
    """Run all stages: prepare, train, score and, if there are labels, evaluate; for a folder, report and export too."""
    if Path(options.config).is_dir():
        folders.run(options)
        return
    if wide.nothing_failed(options):
        return
    if options.out:
        raise ConfigError(f"Expected a folder of recordings with --out. Received: {options.config}.")
    _run(options, configuration.load(options.config, options.set))


def compare(options: argparse.Namespace) -> None:
    """Compare results with each other and with published ones, in tables and, optionally, a bar chart."""
    from ganad_tf.results import compare as comparison

    systems = comparison.read_systems(options.systems, remote.local_path)
    best = [comparison.best_system(systems)] if len(systems) > 1 else []
    rows = [*comparison.published_systems(), *systems, *best]
    print(f"{comparison.markdown(comparison.table(rows))}\n\n{comparison.NOTE}")
    comparison.write(options.out, rows)
    if options.bars:
        from ganad_tf.plotting import charts

        charts.plot_bars(options.out / "comparison.png", comparison.bars(rows))
    logger.info("wrote %s", options.out)


def report(options: argparse.Namespace) -> None:
    """Write an HTML page with pictures, sounds and tables of results."""
    terminal.import_tensorflow()
    out = options.out or options.results[0] / "report"
    print(f"report: {workflow.write_report(options.results, out, options.clips)}")


def demo(options: argparse.Namespace) -> None:
    """Create six toy machines, train a GANomaly on each, and show how well it detects their faults."""
    folders = {
        "dev_directory": "data",
        "cache_directory": "cache",
        "model_directory": "model",
        "result_directory": "result",
    }
    # JSON is YAML too.
    directories = [f"{key}={json.dumps(str(options.out / folder))}" for key, folder in folders.items()]
    config = configuration.load(configuration.shipped("demo.yaml"), [*directories, *options.set])
    _run(options, config)
    print(f"report: {workflow.write_report([Path(config.result_directory)], options.out / 'report', n_clips=2)}")


def _run(options: argparse.Namespace, config: Config) -> None:
    workflow.make_synthetic(config, options.mode)
    runs = workflow.runs_of(options, config)
    errors = workflow.run_all(runs, options)
    scored = wide.without(runs, errors)
    if scored:
        workflow.evaluate_labelled(scored, keep=bool(options.machine or errors))
    wide.conclude(options, runs, errors)


def _evaluate_others(options: argparse.Namespace) -> None:
    """Evaluates the scores of any system by labels from elsewhere."""
    if not options.scores or options.config or options.machine or options.set:
        raise ConfigError(
            "Expected --scores, and --truth unless the labels are in the clips' names. They take no CONFIG.yaml, "
            "--machine or --set; a configuration has its labels in the names of its recordings."
        )
    labels = truth.read(options.truth) if options.truth else truth.from_names(options.scores)
    groups, others = truth.scored_groups(labels, options.scores)
    for path in others:
        logger.warning("%s labels no clip of %s; it is left out.", options.truth, path)
    results = truth.evaluate_groups(groups)
    sections = official_files.sections_of(groups, labels)
    is_2021 = options.year == 2021 if options.year else official_files.is_2021(groups)
    official_results = official.evaluate(sections, is_2021=is_2021)
    print(evaluation.table(results))
    if official_results:
        print(f"\n{official_table.text(official_results, is_2021=is_2021)}")
    if options.out and official_results:
        official_table.write(options.out, official_results, is_2021=is_2021)
    elif options.out:
        evaluation.write_table(options.out, results)
    if options.out:
        logger.info("wrote %s", options.out)


VERBS = {
    "download": download,
    "list": list_,
    "prepare": prepare,
    "select": select,
    "search": search,
    "train": train,
    "score": score,
    "evaluate": evaluate,
    "submission": submission,
    "run": run,
    "export": export_verbs.export,
    "predict": export_verbs.predict,
    "serve": export_verbs.serve,
    "compare": compare,
    "report": report,
    "demo": demo,
}
