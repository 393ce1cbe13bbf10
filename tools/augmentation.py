"""Measures what augmentation does for a network on few recordings: AUC with and without, trained on the same clips.

    python tools/augmentation.py OUT --npz toycar_id01_id02.npz [--kinds NAME ...] [--size 20] [--draws 3] [--seeds 1]
        [--set fit.epochs=30]
    python tools/augmentation.py OUT --machines fan slider valve [--kinds NAME ...] [--size 20] [--seeds 3]

With `--npz`, clips and systems are those of tools/small_data.py: training clips of each machine ID are drawn from the
normal clips of the ToyCars with a number below 250. They are there as log-mels, so that only windows are changed. With
`--machines`, the recordings are those of synthetic machines, one ID of each, and their waveforms are changed too. In
both cases GANomaly is trained and scored as in yaml/recommended.yaml. A line per kind, draw or machine, and seed goes
to OUT/areas.jsonl; those that are there are not measured again. The table has the mean AUC of GANomaly in %, and its
mean difference from the same training without augmentation, with an interval of 95 % (Student's t over all trainings).
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from small_data import RECOMMENDED, areas_of, measure, train_and_score

from ganad_tf import config as configuration
from ganad_tf.cli import terminal

NONE, SYSTEM = "none", "GANomaly"
WINDOWS: dict[str, tuple[str, ...]] = {
    "gain_db: 3": ("augmentation.gain_db=3",),
    "mixup: 0.2": ("augmentation.mixup=0.2",),
    "band_mask: 16": ("augmentation.band_mask=16",),
    "time_mask: 2": ("augmentation.time_mask=2",),
}
WINDOWS["all of these"] = tuple(setting for settings in WINDOWS.values() for setting in settings)
COPIES = "augmentation.waveform.copies=3"
WAVEFORMS: dict[str, tuple[str, ...]] = {
    "time_shift: 2": ("augmentation.time_shift=2",),
    "pitch_semitones: 0.5": (COPIES, "augmentation.waveform.pitch_semitones=0.5"),
    "speed: 0.05": (COPIES, "augmentation.waveform.speed=0.05"),
    "time_shift_seconds: 1": (COPIES, "augmentation.waveform.time_shift_seconds=1"),
    "filters": (COPIES, "augmentation.waveform.filters=[low_pass, high_pass, band_pass]"),
    "noise_snr_db: [0, 20]": (COPIES, "augmentation.waveform.noise_snr_db=[0, 20]"),
    "background": (COPIES, "augmentation.waveform.background={background}"),
    "gain_db: 6, of clips": (COPIES, "augmentation.waveform.gain_db=6"),
}
KINDS = {NONE: (), **WINDOWS, **WAVEFORMS}


def main() -> int:
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--npz", type=Path, help="log-mels of ToyCar 01 and 02")
    source.add_argument("--machines", nargs="+", help="synthetic machine types")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), metavar="NAME", help="by default all")
    parser.add_argument("--size", type=int, default=20, help="training clips per machine ID")
    parser.add_argument("--draws", type=int, default=3, help="random choices of training clips, with --npz")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per draw or machine")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of every training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "areas.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if any((row["set"], row["size"]) != (options.set, options.size) for row in rows):
        sys.exit(f"augmentation: {file} was measured with other settings; choose another OUT.")
    measured = {(row["kind"], row["draw"], row["seed"]) for row in rows}
    kinds = options.kinds or [*WINDOWS, *(WAVEFORMS if options.machines else ())]
    terminal.import_tensorflow()
    for draw in options.machines or range(options.draws):
        for kind in dict.fromkeys([NONE, *kinds]):
            seeds = [seed for seed in range(options.seeds) if (kind, draw, seed) not in measured]
            for areas in areas_of_kind(options, kind, draw, seeds):
                rows.append({"kind": kind, "draw": draw, "size": options.size, "set": options.set, **areas})
                with file.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
                print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    return 0


def areas_of_kind(
    options: argparse.Namespace, kind: str, draw: int | str, seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    """Yields, for each seed, the AUC in % with one kind of augmentation, on a draw of ToyCars or a machine."""
    if not seeds:
        return
    if isinstance(draw, int):
        changed = argparse.Namespace(**vars(options) | {"set": [*options.set, *KINDS[kind]], "selected": False})
        yield from measure(changed, options.size, draw, seeds)
        return
    from ganad_tf import datasets
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.datasets import synthetic
    from ganad_tf.run import machine_runs

    changes = [setting.format(background=background(options.out, draw)) for setting in KINDS[kind]]
    for seed in seeds:
        config = configuration.load(RECOMMENDED, [*common_settings(options), *options.set, *changes, f"seed={seed}"])
        synthetic.write(config.data_directory("dev"), config.dataset.synthetic)
        (run,) = machine_runs(config, datasets.list_clips(config, "dev", [draw]), "dev")
        for split in ("train", "test"):
            prepare_cache(run, split)
        yield {"seed": seed, **areas_of(train_and_score(run))}


def common_settings(options: argparse.Namespace) -> list[str]:
    """Settings of all trainings on synthetic machines: what `ganad run FOLDER` sets for few recordings."""
    counts = {"n_ids": 1, "n_train": options.size, "n_normal": 60, "n_anomaly": 60, "seconds": 4}
    settings = [f"{key}_directory={options.out / key}" for key in ("dev", "cache", "model", "result")]
    settings += ["dataset.name=synthetic", *(f"dataset.synthetic.{key}={value}" for key, value in counts.items())]
    return [*settings, "fit.min_steps=500", "fit.settle_batch_norm=true", "fit.validation_split=0", "fit.verbose=0"]


def background(out: Path, machine: str) -> Path:
    """Folder of recordings of another synthetic machine."""
    from ganad_tf.datasets.synthetic_machines import MACHINES

    return out / "dev" / next(name for name in MACHINES if name != machine) / "train"


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table: one line per kind of augmentation."""
    lines = [f"| augmentation | trainings | AUC of {SYSTEM} | minus none |", "|---|---|---|---|"]
    without = {(row["draw"], row["seed"]): row[SYSTEM] for row in rows if row["kind"] == NONE}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        areas = {(row["draw"], row["seed"]): row[SYSTEM] for row in rows if row["kind"] == kind}
        gains = np.array([area - without[key] for key, area in areas.items()])
        difference = ""
        if kind != NONE:
            difference = f"{gains.mean():+.1f}"
        if kind != NONE and len(gains) > 1:
            half = stats.t.ppf(0.975, len(gains) - 1) * gains.std(ddof=1) / np.sqrt(len(gains))
            difference += f" [{gains.mean() - half:+.1f}, {gains.mean() + half:+.1f}]"
        lines.append(f"| {kind} | {len(areas)} | {np.mean(list(areas.values())):.1f} | {difference} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
