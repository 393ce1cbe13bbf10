"""Measures what augmentation does for a network on few recordings, on ToyCar: AUC with and without, the same clips.

    python tools/augmentation.py OUT --npz toycar_id01_id02.npz [--kinds NAME ...] [--size 20] [--draws 3] [--seeds 1]
        [--set fit.epochs=30]

Clips and systems are those of tools/small_data.py: training clips of each machine ID are drawn from its normal clips
with a number below 250, and GANomaly is trained and scored as in yaml/recommended.yaml. A line per kind, draw and seed
goes to OUT/areas.jsonl; those that are there are not measured again. The table has the mean AUC of GANomaly in %, and
its mean difference from the same training without augmentation, with an interval of 95 % (Student's t over draws and
seeds).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from small_data import measure

from ganad_tf.cli import terminal

NONE, SYSTEM = "none", "GANomaly"
KINDS: dict[str, tuple[str, ...]] = {
    NONE: (),
    "gain_db: 3": ("augmentation.gain_db=3",),
    "mixup: 0.2": ("augmentation.mixup=0.2",),
    "band_mask: 16": ("augmentation.band_mask=16",),
    "time_mask: 2": ("augmentation.time_mask=2",),
}
KINDS["all of these"] = tuple(setting for settings in KINDS.values() for setting in settings)


def main() -> int:
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--npz", type=Path, required=True, help="log-mels of ToyCar 01 and 02")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), metavar="NAME")
    parser.add_argument("--size", type=int, default=20, help="training clips per machine ID")
    parser.add_argument("--draws", type=int, default=3, help="random choices of training clips")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per draw")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of every training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "areas.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if any((row["set"], row["size"]) != (options.set, options.size) for row in rows):
        sys.exit(f"augmentation: {file} was measured with other settings; choose another OUT.")
    measured = {(row["kind"], row["draw"], row["seed"]) for row in rows}
    terminal.import_tensorflow()
    for draw in range(options.draws):
        for kind in dict.fromkeys([NONE, *options.kinds]):
            seeds = [seed for seed in range(options.seeds) if (kind, draw, seed) not in measured]
            changed = argparse.Namespace(**vars(options) | {"set": [*options.set, *KINDS[kind]], "selected": False})
            for areas in measure(changed, options.size, draw, seeds) if seeds else ():
                rows.append({"kind": kind, "draw": draw, "size": options.size, "set": options.set, **areas})
                with file.open("a") as stream:
                    stream.write(json.dumps(rows[-1]) + "\n")
                print(rows[-1], file=sys.stderr, flush=True)
    print(table(rows))
    return 0


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
