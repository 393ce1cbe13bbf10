"""Measures what each feature variant does without a network: AUC on synthetic machines, by the same density each time.

    python tools/feature_variants.py OUT [--machine M ...] [--variants NAME ...] [--set key=value ...]

The system is yaml/spectrum_density.yaml. The recordings of `dataset.synthetic` are made once, in OUT, and every variant
has a cache of its own there. Per variant and machine type: the mean AUC over machine IDs in %; per variant also the
mean over machine types, and its difference from the default features with an interval of 95 %, from paired bootstrap
samples of the test clips.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from networks import area, paired_interval, wins_by_id

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import terminal
from ganad_tf.run import MachineRun, machine_runs

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = "default"
VARIANTS: dict[str, tuple[str, ...]] = {
    DEFAULT: (),
    "n_mels: 32": ("feature.n_mels=32",),
    "n_mels: 64": ("feature.n_mels=64",),
    "n_fft: 4096": ("feature.n_fft=4096",),
    "n_mels: 256, n_fft: 4096": ("feature.n_mels=256", "feature.n_fft=4096"),
    "fmin: 200": ("feature.fmin=200",),
    "fmax: 4000, n_mels: 64": ("feature.fmax=4000", "feature.n_mels=64"),
    "win_length: 512": ("feature.win_length=512",),
    "hop_length: 256": ("feature.hop_length=256",),
    "power: 1": ("feature.power=1",),
    "log: relative_80db": ("feature.log=relative_80db",),
    "frames: 1": ("feature.frames=1",),
    "frames: 64": ("feature.frames=64",),
    "kind: linear": ("feature.kind=linear",),
    "kind: mfcc": ("feature.kind=mfcc",),
    "kind: mfcc, n_mfcc: 40": ("feature.kind=mfcc", "feature.n_mfcc=40"),
    "kind: pcen": ("feature.kind=pcen",),
    "kind: pcen, power: 1": ("feature.kind=pcen", "feature.power=1"),
}


def main() -> int:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--machine", nargs="+", default=[])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), metavar="NAME", choices=list(VARIANTS))
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    options = parser.parse_args()
    terminal.import_tensorflow()
    print(table({name: measured(options, name) for name in dict.fromkeys([DEFAULT, *options.variants])}))
    return 0


def measured(options: argparse.Namespace, variant: str) -> dict[str, dict[str, np.ndarray]]:
    """Scores, labels and machine IDs of the test clips by machine type."""
    from ganad_tf.datasets import synthetic

    of_variant = options.out / variant.translate(str.maketrans({" ": "_", ":": "", ",": ""}))
    settings = ["dataset.name=synthetic", "feature.standardize=true", "deterministic=false"]
    settings += [
        "fit.verbose=0",
        *options.set,
        f"dev_directory={options.out / 'data'}",
        f"cache_directory={of_variant}",
    ]
    settings += [*VARIANTS[variant]]
    config = configuration.load(ROOT / "yaml" / "spectrum_density.yaml", settings)
    synthetic.write(config.data_directory("dev"), config.dataset.synthetic)
    runs = machine_runs(config, datasets.list_clips(config, "dev", options.machine), "dev")
    scores = {run.machine: scores_of(run) for run in runs}
    print(f"{variant}: measured", file=sys.stderr, flush=True)
    return scores


def scores_of(run: MachineRun) -> dict[str, np.ndarray]:
    """Scores `[1, clips]`, labels and machine IDs of one machine type's test clips."""
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.scoring.folds import Fold
    from ganad_tf.selection import trials

    for split in ("train", "test"):
        prepare_cache(run, split)
    known, test = (Cache(run, split).current().entries for split in ("train", "test"))
    fold = Fold(tuple(entry for entry in known if entry.clip.label == 0), ())
    trial = trials.Trial(run, [run.config.scorer], trials.train(run, fold))
    read = sorted(spectra.read(Cache(run, "test"), test), key=lambda pair: pair[0].clip.key)
    return {
        "scores": np.stack(trial.score_log_mels(fold, (log_mel for _, log_mel in read))),
        "labels": np.array([entry.clip.label for entry, _ in read]),
        "machine_ids": np.array([entry.clip.machine_id for entry, _ in read]),
    }


def table(scores: dict[str, dict[str, dict[str, np.ndarray]]]) -> str:
    """Markdown table: one line per variant, one column per machine type."""
    machines = list(scores[DEFAULT])
    lines = [f"| feature | {' | '.join(machines)} | mean | minus default |", "|---" * (len(machines) + 3) + "|"]
    default = [wins for arrays in scores[DEFAULT].values() for wins in wins_by_id(arrays, 0)]
    for name, of_machines in scores.items():
        areas = [area(arrays, 0) for arrays in of_machines.values()]
        difference = ""
        if name != DEFAULT:
            wins = [wins for arrays in of_machines.values() for wins in wins_by_id(arrays, 0)]
            low, high = (100 * end for end in paired_interval(wins, default))
            gain = 100 * (np.mean([w.mean() for w in wins]) - np.mean([w.mean() for w in default]))
            difference = f"{gain:+.1f} [{low:+.1f}, {high:+.1f}]"
        cells = [f"{100 * value:.1f}" for value in (*areas, np.mean(areas))]
        lines.append(f"| {name} | {' | '.join(cells)} | {difference} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
