"""Compares the objectives of `ganad search` with the true AUC, over the trials of a search.

    python tools/search_objectives.py CONFIG.yaml OUT [--machine M ...] [--set key=value ...]

Runs the search of the section `search` in CONFIG.yaml and measures every objective for each trial, also `dev_auc`,
the true AUC, which is an oracle. Per machine type and objective: Spearman's rank correlation with the true AUC over the
trials, and the true AUC of the trial that the objective ranks first, beside that of the best. OUT keeps the trials;
those that are there are not run again. Labels choose nothing: they are only counted.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import terminal, workflow
from ganad_tf.config import layers
from ganad_tf.run import machine_runs
from ganad_tf.search.records import LABELLED, MINIMIZED, Record

COMPARED = ("val_loss", "pseudo_auc")
HEAD = "| machine | objective | trials | rank correlation | AUC of the choice | of the best |"


def main() -> int:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("out", metavar="OUT")
    parser.add_argument("--machine", nargs="+", default=[])
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    options = parser.parse_args()
    changes = [*options.set, f"search.objective={LABELLED}", f"search.directory={options.out}"]
    mapping = layers.overlaid(configuration.read_yaml(options.config), changes, source=options.config)
    config = configuration.from_mapping(mapping, source=options.config)
    terminal.import_tensorflow()
    import optuna

    from ganad_tf import runtime
    from ganad_tf.cli import searching, stages
    from ganad_tf.search.objectives import OBJECTIVES
    from ganad_tf.search.search import Plan, Search

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    runtime.deterministic()
    workflow.make_synthetic(config, "dev")
    runs = machine_runs(config, datasets.list_clips(config, "dev", options.machine), "dev")
    plan, directory = Plan.of(config, searching.model_keys(config)), searching.directory_of(config)
    places = [searching.laboratory(run, mapping, directory, tuple(OBJECTIVES)) for run in runs]
    searching.check(places, plan)
    stages.prepare_all(runs, ("train", "test"))
    print(f"{HEAD}\n|{'---|' * 6}")
    for place in places:
        results, _ = Search(plan, place).run()
        for line in rows(place.base.machine, results):
            print(line, flush=True)
    return 0


def rows(machine: str, results: Sequence[Record]) -> list[str]:
    """Lines of the table for one machine type; each trial and seed counts by itself."""
    finished = [record.values for record in results if record.state == "finished"]
    true = np.array([values[LABELLED] for values in finished])
    lines = []
    for name in COMPARED if finished else ():
        sign = -1 if name in MINIMIZED else 1
        evidence = sign * np.array([values[name] for values in finished])
        areas = (100 * true[int(evidence.argmax())], 100 * true.max())
        lines.append(
            f"| {machine} | {name} | {len(true)} | {rank_correlation(evidence, true):.2f} "
            f"| {areas[0]:.1f} | {areas[1]:.1f} |"
        )
    return lines


def rank_correlation(evidence: np.ndarray, true: np.ndarray) -> float:
    """Spearman's rank correlation; NaN where one of both does not vary."""
    if len(set(evidence)) < 2 or len(set(true)) < 2:
        return float("nan")
    return float(spearmanr(evidence, true).statistic)


if __name__ == "__main__":
    sys.exit(main())
