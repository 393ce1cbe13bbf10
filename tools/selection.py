"""Compares the evidence that selects settings without labels with the true AUC, over detectors, scorers and machines.

    python tools/selection.py CONFIG.yaml OUT [--machine M ...] [--detectors NAME ...] [--set key=value ...]

CONFIG.yaml says which recordings; `dataset.name: imported` takes the caches of tools/import_logmel.py. Each detector is
trained once per machine type, without the clips of one fold, and scores these, corrupted copies of them, and the test
clips, by each of 17 scorers. Then each detector with each scorer is a candidate. Per machine type: Spearman's rank
correlation of evidence and true AUC over all candidates, and the true AUC of the one with the best evidence, of the
best, and of the fixed recommendation. A file per detector and machine type goes to OUT; those that are there are not
measured again. Labels choose nothing: they are only counted.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import terminal, workflow
from ganad_tf.clips import by_id
from ganad_tf.config.sections import Scorer
from ganad_tf.results.metrics import auc
from ganad_tf.run import MachineRun, machine_runs

ROOT = Path(__file__).resolve().parents[1]
DETECTORS = (
    "baseline",
    "drink",
    "idnn",
    "egbad",
    "fanogan",
    "ganomaly_density",
    "gmade",
    "mpdr",
    "sagan",
    "skip_ganomaly",
    "spectrum_density",
    "tiae",
)
# As a folder of recordings has them, so that every detector learns something from few clips.
SETTINGS = (
    "feature.standardize=true",
    "fit.min_steps=500",
    "fit.settle_batch_norm=true",
    "fit.validation_split=0",
    "fit.epochs=20",
    "fit.verbose=0",
    "threshold.method=quantile",
)
DENSITIES: dict[str, dict[str, Any]] = {
    "knn, whitened": {"density": "knn", "whiten": True, "neighbors": 2},
    "knn": {"density": "knn", "neighbors": 2},
    "mahalanobis": {"density": "mahalanobis"},
    "gmm": {"density": "gmm"},
}
SCORERS = {"paper": Scorer()} | {
    f"{pooling}, {name}": Scorer(name="density", pooling=pooling, **density)
    for pooling in ("mean", "max", "gwrp", "lulls")
    for name, density in DENSITIES.items()
}
WITHOUT_NETWORK = "spectrum_density"  # its equation is not the paper's
FIXED = (("ganomaly_density", "lulls, knn, whitened"), ("spectrum_density", "lulls, knn, whitened"))


def main() -> int:
    """Measures what is missing and prints the table."""
    print(table(measured_files(parser_of(__doc__).parse_args(), measure)))
    return 0


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Arguments of a measurement of detectors on recordings."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml")
    parser.add_argument("out", type=Path)
    parser.add_argument("--machine", nargs="+", default=[])
    parser.add_argument("--detectors", nargs="+", default=DETECTORS, metavar="NAME", help="files of yaml/")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    return parser


def measured_files(
    options: argparse.Namespace, measure_one: Callable[[MachineRun, str], dict[str, np.ndarray]]
) -> dict[str, dict[str, Path]]:
    """Files of measured detectors by machine type and detector; measures those that are missing."""
    options.out.mkdir(parents=True, exist_ok=True)
    terminal.import_tensorflow()
    from ganad_tf import runtime

    runtime.deterministic()
    recordings = configuration.to_dict(configuration.load(options.config, options.set))
    kept = {key: recordings[key] for key in ("dataset", "audio", "dev_directory", "cache_directory", "deterministic")}
    measured: dict[str, dict[str, Path]] = {}
    for name in options.detectors:
        mapping = configuration.read_yaml(ROOT / "yaml" / f"{name}.yaml") | kept
        config = configuration.from_mapping(mapping, source=name, overrides=[*SETTINGS, *options.set])
        workflow.make_synthetic(config, "dev")
        for run in machine_runs(config, datasets.list_clips(config, "dev", options.machine), "dev"):
            if not run.listing.clips_of("train"):
                continue
            path = options.out / f"{run.machine}-{name}.npz"
            if not path.exists():
                np.savez(path, **measure_one(run, name))
                print(f"{run.machine} {name}: measured", file=sys.stderr, flush=True)
            measured.setdefault(run.machine, {})[name] = path
    return measured


def measure(run: MachineRun, detector: str) -> dict[str, np.ndarray]:
    """Trial scores and true AUC of one detector with each scorer."""
    from ganad_tf import runtime
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.selection import trials

    runtime.forget_models()
    if run.config.dataset.name != "imported":
        for split in ("train", "test"):
            prepare_cache(run, split)
    scorers = {name: scorer for name, scorer in SCORERS.items() if name != "paper" or detector != WITHOUT_NETWORK}
    fold = trials.trial_folds(run, list(scorers.values()))[0]
    trial = trials.Trial(run, list(scorers.values()), trials.train(run, fold))
    scores = trial.score(fold)
    areas = true_areas(run, trial, fold)
    return {
        "scorers": np.array(list(scorers)),
        "true": np.array(areas),
        "normal": np.stack([of_scorer.normal for of_scorer in scores]),
        "corrupted": np.stack([of_scorer.corrupted for of_scorer in scores]),
    }


def true_areas(run: MachineRun, trial: Any, fold: Any) -> list[float]:
    """AUC on the test clips by each scorer, fitted to the fold's training clips, the mean over machine IDs."""
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache

    machine_ids = {entry.clip.machine_id for entry in fold.training}
    test = [entry for entry in Cache(run, "test").current().entries if entry.clip.machine_id in machine_ids]
    read = list(spectra.read(Cache(run, "test"), test))
    areas = []
    for scores in trial.score_log_mels(fold, (log_mel for _, log_mel in read)):
        by_clip = {entry.clip: float(score) for (entry, _), score in zip(read, scores, strict=True)}
        of_ids = [
            auc([clip.label or 0 for clip in clips], [by_clip[clip] for clip in clips])
            for clips in by_id(by_clip).values()
        ]
        areas.append(float(np.mean(of_ids)))
    return areas


def table(measured: dict[str, dict[str, Path]]) -> str:
    """Markdown table: one line per machine type."""
    from scipy.stats import spearmanr

    lines = [
        "| machine | candidates | rank correlation | true AUC % of the choice | of the best | regret | fixed |",
        "|---|---|---|---|---|---|---|",
    ]
    for machine, files in measured.items():
        names, true, evidence = candidates(files)
        chosen = int(np.argmax(evidence))
        rank = spearmanr(evidence, true).statistic
        fixed = "/".join(f"{100 * true[names.index(name)]:.1f}" for name in FIXED if name in names)
        best = max(true)
        cells = [machine, str(len(names)), f"{rank:.2f}", f"{100 * true[chosen]:.1f} ({', '.join(names[chosen])})"]
        cells += [f"{100 * best:.1f}", f"{100 * (best - true[chosen]):.1f}", fixed]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def candidates(files: dict[str, Path]) -> tuple[list[tuple[str, str]], list[float], list[float]]:
    """Name, true AUC and evidence of each candidate."""
    from ganad_tf.selection import evidence
    from ganad_tf.selection.evidence import TrialScores

    names, true, scores = [], [], []
    for detector, path in files.items():
        with np.load(path, allow_pickle=False) as arrays:
            names += [(detector, str(scorer)) for scorer in arrays["scorers"]]
            true += arrays["true"].tolist()
            scores += [TrialScores(*pair) for pair in zip(arrays["normal"], arrays["corrupted"], strict=True)]
    wins = evidence.at_chosen_strengths([of_candidate.wins() for of_candidate in scores])
    return names, true, wins.mean(axis=(1, 2, 3)).tolist()


if __name__ == "__main__":
    sys.exit(main())
