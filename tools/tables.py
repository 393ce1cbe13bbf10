"""The tables of docs/results.md from the score files that tools/measure.py wrote; needs no TensorFlow.

    python tools/tables.py toycar OUT [--scores mlperf_tiny_scores.csv]
    python tools/tables.py synthetic OUT

AUC and pAUC in percent: the mean over machine IDs, then mean ± standard deviation over seeds, with the
95 % bootstrap interval over test clips in brackets where there is room. Labels come from the file names.
"""

import argparse
import functools
import json
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from measure import CONFIGURED, ROOT, SCORERS
from networks import paired_interval

from ganad_tf import config as configuration
from ganad_tf.config.sections import Scorer
from ganad_tf.results import ensemble, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.metrics import auc, bootstrap_interval, pauc

COLUMNS = ["paper", CONFIGURED, "default", *(name for name in SCORERS if name != "paper")]
WITHOUT_NETWORK = "SpectrumDensity"

ENSEMBLES = {
    "GANomaly + SpectrumDensity": (("GANomaly", "SpectrumDensity"), "mean"),
    "the same, max": (("GANomaly", "SpectrumDensity"), "max"),
    "the same, rank": (("GANomaly", "SpectrumDensity"), "rank"),
    "all six": (("GANomaly", "SpectrumDensity", "DenseAE", "SkipGANomaly", "IDNN", "EGBAD"), "mean"),
}
Runs = dict[str, tuple[list[int], list[np.ndarray]]]  # machine ID → labels, and scores of every seed


def main() -> int:
    """Prints the tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("toycar", "synthetic"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--scores", type=Path, help="another system's scores of the same clips")
    parser.add_argument("--costs", action="store_true", help="ToyCar: also gains over no network, and what they cost")
    parser.add_argument("--scorers", nargs="+", default=COLUMNS, choices=COLUMNS)
    options = parser.parse_args()
    toycar(options) if options.what == "toycar" else synthetic(options)
    return 0


def toycar(options: argparse.Namespace) -> None:
    """One table per number of training clips: a row per system, a column per scorer."""
    for size in sorted((int(path.name) for path in options.out.iterdir() if path.name.isdigit()), reverse=True):
        print(f"\n### {size} training clips per machine\n")
        systems = _systems(options.out / str(size))
        rows = []
        for name, runs in systems:
            cells = [_cell(runs(scorer, "ToyCar")) for scorer in options.scorers]
            rows.append([name, str(len(_areas(runs("paper", "ToyCar")))), *cells])
        if options.scores:
            cells = [_cell(_elsewhere(options.scores)) if scorer == "paper" else "" for scorer in options.scorers]
            rows.append(["MLPerf Tiny's autoencoder", "", *cells])
        _print(["system", "seeds", *options.scorers], rows)
        if options.costs:
            print(f"\n#### {CONFIGURED}, {size} training clips\n")
            costs(options.out / str(size))


def costs(root: Path) -> None:
    """One table: a row per detector with its gain over no network by the scorer of its file, and what it takes."""
    jobs = {path.name: sorted(path.glob("*/seconds.json")) for path in sorted(root.iterdir())}
    without = _read(root, [WITHOUT_NETWORK], CONFIGURED, "ToyCar") if jobs.get(WITHOUT_NETWORK) else {}
    rows = []
    for name, files in jobs.items():
        measured = [json.loads(file.read_text()).get("costs", {}).get("ToyCar") for file in files]
        if measured and all(measured):
            runs = _read(root, [name], CONFIGURED, "ToyCar")
            means = {key: statistics.mean(cost[key] for cost in measured) for key in measured[0]}
            cells = [f"{means['parameters']:.0f}", f"{means['training_seconds']:.0f}", f"{means['ms_per_clip']:.1f}"]
            gain = "" if name == WITHOUT_NETWORK or not without else _gain(runs, without)
            rows.append([name, str(len(files)), _cell(runs), gain, *cells])
    head = ["system", "seeds", "AUC / pAUC", "AUC minus no network"]
    _print([*head, "parameters", "seconds of training", "ms per clip"], rows)


def _gain(runs: Runs, without: Runs) -> str:
    """Difference of mean AUCs with its interval over paired samples of test clips."""
    ours, theirs = ([_wins(*of_id) for of_id in system.values()] for system in (runs, without))
    gain = np.mean([mine.mean() - yours.mean() for mine, yours in zip(ours, theirs, strict=True)])
    low, high = paired_interval(ours, theirs)
    return f"{100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def _wins(labels: list[int], scores: list[np.ndarray]) -> np.ndarray:
    """Share of seeds in which an anomaly scores higher than a normal clip, `[anomalies, normals]`."""
    is_anomaly = np.array(labels, bool)
    wins = [np.sign(of_seed[is_anomaly][:, np.newaxis] - of_seed[~is_anomaly]) + 1 for of_seed in scores]
    return np.mean(wins, axis=0) / 2


def synthetic(options: argparse.Namespace) -> None:
    """One table per scorer: a row per system, a column per machine type."""
    systems = _systems(options.out)
    machines = sorted(path.name for path in (options.out / "data").iterdir() if path.is_dir())
    for scorer in options.scorers:
        print(f"\n### {scorer}\n")
        rows = []
        for name, runs in systems:
            areas = [_areas(runs(scorer, machine)) for machine in machines]
            means = [np.mean(area, axis=0) if area else None for area in areas]
            whole = _text(np.mean(means, axis=0)) if all(areas) else ""
            rows.append([name, *("" if mean is None else _text(mean) for mean in means), whole])
        _print(["system", *machines, "mean"], rows)


def _systems(root: Path) -> list[tuple[str, Callable[[str, str], Runs]]]:
    names = [path.name for path in sorted(root.iterdir()) if any(path.glob("*/seconds.json"))]
    systems: list[tuple[str, Callable[[str, str], Runs]]] = [
        (name, functools.partial(_read, root, [name])) for name in names
    ]
    for title, (members, how) in ENSEMBLES.items():
        if set(members) <= set(names):
            read = functools.partial(_read, root, members, how=how)
            systems.append((title, read))
    return systems


def default_scorer(machine: str) -> str:
    """Name, as in tools/measure.py, of the scorer that yaml/ recommends for a machine type."""
    wanted = configuration.load(ROOT / "yaml" / "ganomaly_density.yaml").for_machine(machine).scorer.relevant_settings()
    return next(name for name, settings in SCORERS.items() if Scorer(**settings).relevant_settings() == wanted)


def _read(root: Path, members: Sequence[str], scorer: str, machine: str, *, how: str = "mean") -> Runs:
    """Scores by machine ID, those of several members combined."""
    scorer = default_scorer(machine) if scorer == "default" else scorer
    seeds = set.intersection(*({path.parent.name for path in (root / name).glob("*/seconds.json")} for name in members))
    runs: Runs = {}
    for seed in sorted(seeds, key=int):
        files = [MachineResults(root / name / seed / scorer, "dev", machine) for name in members]
        training = ensemble.aligned([member.train_scores for member in files])[1]
        for machine_id in files[0].scored_ids():
            names, scores = ensemble.aligned([member.scores(machine_id) for member in files])
            combined = scores[0] if len(members) == 1 else ensemble.combine(scores, training, how)
            labels = [int(name.startswith("anomaly")) for name in names]
            runs.setdefault(machine_id, (labels, []))[1].append(combined)
    return runs


def _elsewhere(path: Path) -> Runs:
    """Another system's scores of the test clips: all anomalies, and the normal clips from number 250 on."""
    scores = {score.name: score.score for score in score_files.read_scores(path)}
    names = [name for name in scores if name.startswith("anomaly") or int(name[-12:-4]) >= 250]
    runs: Runs = {}
    for machine_id in ("01", "02"):
        of_id = [name for name in names if f"_id_{machine_id}_" in name]
        labels = [int(name.startswith("anomaly")) for name in of_id]
        runs[machine_id] = (labels, [np.array([scores[name] for name in of_id])])
    return runs


def _areas(runs: Runs) -> list[tuple[float, float]]:
    """AUC and pAUC of every seed, the mean over machine IDs."""
    return [
        tuple(100 * float(np.mean([area(labels, scores) for labels, scores in of_seed])) for area in (auc, pauc))
        for of_seed in _by_seed(runs)
    ]  # type: ignore[misc]


def _by_seed(runs: Runs) -> Iterator[list[tuple[list[int], np.ndarray]]]:
    for seed in range(min((len(scores) for _, scores in runs.values()), default=0)):
        yield [(labels, scores[seed]) for labels, scores in runs.values()]


def _cell(runs: Runs) -> str:
    areas = _areas(runs)
    if not areas:
        return ""
    texts = []
    for column, area in enumerate((auc, pauc)):
        values = [pair[column] for pair in areas]
        groups = [(labels, np.array(scores)) for labels, scores in runs.values()]
        low, high = (100 * edge for edge in bootstrap_interval(groups, area, n_resamples=200))
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        texts.append(f"{statistics.mean(values):.1f}{spread} [{low:.1f}, {high:.1f}]")
    return " / ".join(texts)


def _text(pair: np.ndarray) -> str:
    return f"{pair[0]:.1f} / {pair[1]:.1f}"


def _print(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for line in (head, ["---"] * len(head), *rows):
        print("| " + " | ".join(line) + " |")


if __name__ == "__main__":
    sys.exit(main())
