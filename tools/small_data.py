"""Measures how few recordings a network needs, on ToyCar: AUC by the number of training clips, over seeds and draws.

    python tools/small_data.py OUT --npz toycar_id01_id02.npz [--sizes 5 20 60 250] [--seeds 5] [--draws 5]
        [--selected] [--set fit.min_steps=500 fit.settle_batch_norm=true]

Training clips of each machine ID are drawn from its normal clips with a number below 250; the test clips are always
the others. Systems are those of yaml/recommended.yaml: GANomaly, SpectrumDensity, which is no network, and the mean of
their z-scores. `--selected` adds the one that `ganad run FOLDER` selects by the drawn clips alone. A line per draw and
seed goes to OUT/areas.jsonl; those that are there are not measured again. The table has, per system, the mean AUC in %,
the mean over draws of the standard deviation over seeds, and the mean difference from no network.
"""

import argparse
import json
import random
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from import_logmel import Split, import_files

from ganad_tf import config as configuration
from ganad_tf.cli import terminal
from ganad_tf.clips import by_id
from ganad_tf.results.ensemble import combine
from ganad_tf.results.metrics import auc
from ganad_tf.run import MachineRun

ROOT = Path(__file__).resolve().parents[1]
RECOMMENDED = ROOT / "yaml" / "recommended.yaml"
SYSTEMS = {"ganomaly": "GANomaly", "spectrum_density": "SpectrumDensity"}
NO_NETWORK, ENSEMBLE, SELECTED = "SpectrumDensity", "ensemble", "selected"
MACHINE, FIRST_TEST_CLIP = "ToyCar", 250


def main() -> int:
    """Measures what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--npz", type=Path, required=True, help="log-mels of ToyCar 01 and 02")
    parser.add_argument("--sizes", type=int, nargs="+", default=[5, 20, 60, 250], help="training clips per machine ID")
    parser.add_argument("--seeds", type=int, default=5, help="trainings per draw")
    parser.add_argument("--draws", type=int, default=5, help="random choices of training clips")
    parser.add_argument("--selected", action="store_true", help="select scorer and weights too, for every training")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of every training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "areas.jsonl"
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if any((row["set"], SELECTED in row) != (options.set, options.selected) for row in done):
        sys.exit(f"small_data: {file} was measured with other settings; choose another OUT.")
    measured = {(row["size"], row["draw"], row["seed"]) for row in done}
    terminal.import_tensorflow()
    for size in options.sizes:
        for draw in range(options.draws):
            seeds = [seed for seed in range(options.seeds) if (size, draw, seed) not in measured]
            for areas in measure(options, size, draw, seeds) if seeds else ():
                row = {"size": size, "draw": draw, "set": options.set, **areas}
                done.append(row)
                with file.open("a") as stream:
                    stream.write(json.dumps(row) + "\n")
                print(row, file=sys.stderr, flush=True)
    print(table(done))
    return 0


def measure(options: argparse.Namespace, size: int, draw: int, seeds: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yields, for each seed, the AUC of each system on one draw of training clips, in %."""
    from ganad_tf import datasets
    from ganad_tf.run import machine_runs
    from ganad_tf.selection import select

    folder = options.out / f"{size}-{draw}"
    shutil.rmtree(folder, ignore_errors=True)
    common = ["dataset.name=imported", f"dev_directory={folder / 'cache/dev'}", f"cache_directory={folder / 'cache'}"]
    common += [f"model_directory={folder / 'model'}", f"result_directory={folder}", "fit.verbose=0", *options.set]
    drawn = drawn_clips(options.npz, folder, size, draw)
    import_files(configuration.load(RECOMMENDED, common), [drawn], MACHINE, Split(FIRST_TEST_CLIP, FIRST_TEST_CLIP))
    for seed in seeds:
        config = configuration.load(RECOMMENDED, [*common, f"seed={seed}"])
        (run,) = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
        scored = train_and_score(run)
        row = {"seed": seed, **areas_of(scored)}
        if options.selected:
            choice = select(run)
            sections = choice.settings() if choice else {}
            weights = sections.pop("ensemble", {}).get("weights")
            if sections:
                changes = [f"scorer.{key}={json.dumps(value)}" for key, value in sections["scorer"].items()]
                changed = configuration.load(RECOMMENDED, [*common, f"seed={seed}", *changes])
                scored = train_and_score(run.with_config(changed.for_machine(MACHINE)), fresh=False)
            row |= {SELECTED: areas_of(scored, weights)[ENSEMBLE], "weights": weights, **sections}
        yield row
    shutil.rmtree(folder)


def drawn_clips(npz: Path, folder: Path, size: int, draw: int) -> Path:
    """Writes the log-mels of a random choice of training clips, and of all test clips, to a file."""
    with np.load(npz, allow_pickle=False) as arrays:
        names, log_mels = arrays["names"], arrays["logmel_db"]
    candidates: dict[str, list[int]] = defaultdict(list)
    chosen = []
    for number, name in enumerate(names):
        label, _, machine_id, index = str(name).split("_")
        if label == "normal" and int(index) < FIRST_TEST_CLIP:
            candidates[machine_id].append(number)
        else:
            chosen.append(number)
    for machine_id, numbers in sorted(candidates.items()):
        chosen += random.Random(f"{draw}/{machine_id}").sample(numbers, min(size, len(numbers)))
    folder.mkdir(parents=True)
    np.savez(folder / "drawn.npz", names=names[chosen], logmel_db=log_mels[chosen])
    return folder / "drawn.npz"


def train_and_score(run: MachineRun, *, fresh: bool = True) -> dict[str, dict[str, Any]]:
    """Scores of the training clips, and scores and labels of the test clips by machine ID, of each system.

    Args:
      run: Run of the ensemble.
      fresh: Whether the systems are trained anew.
    """
    from ganad_tf import runtime
    from ganad_tf.cache.directory import Cache
    from ganad_tf.scoring import clip_values
    from ganad_tf.scoring.model_directory import ModelDirectory
    from ganad_tf.training.train import train_detector

    runtime.deterministic()
    scored = {}
    for system in run.systems():
        runtime.forget_models()
        train_detector(system, fresh=fresh)
        directory, test = ModelDirectory.of(system), Cache(system, "test")
        model, fitted = directory.load(), directory.load_scorer(system.config.scorer)
        function = clip_values.scorer_function(model, fitted)
        (scores,) = clip_values.apply_to_cache(model, [function], test, test.current().entries)
        by_machine = {
            machine_id: (np.array([float(scores[clip]) for clip in clips]), [clip.label for clip in clips])
            for machine_id, clips in by_id(run.listing.clips_of("test")).items()
        }
        training = np.array([clip.score for clip in fitted.train_scores])
        scored[SYSTEMS[system.member]] = {"training": training, "test": by_machine}
    return scored


def areas_of(scored: dict[str, dict[str, Any]], weights: Sequence[float] | None = None) -> dict[str, float]:
    """AUC of each system and of their ensemble in %, the mean over machine IDs; weights None for equal ones."""
    areas = defaultdict(list)
    training = [system["training"] for system in scored.values()]
    for machine_id, (_, labels) in scored[NO_NETWORK]["test"].items():
        members = {name: system["test"][machine_id][0] for name, system in scored.items()}
        members[ENSEMBLE] = combine(list(members.values()), training, "mean", shares=weights)
        for name, values in members.items():
            areas[name].append(100 * auc(labels, values))
    return {name: round(float(np.mean(values)), 2) for name, values in areas.items()}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown table: one line per number of training clips."""
    systems = [*SYSTEMS.values(), ENSEMBLE, *([SELECTED] if rows and SELECTED in rows[0] else [])]
    head = "| clips per machine | draws x seeds | " + " | ".join(systems) + " |"
    lines = [head, "|" + "---|" * (2 + len(systems))]
    for size in sorted({row["size"] for row in rows}):
        of_size = [row for row in rows if row["size"] == size]
        draws = sorted({row["draw"] for row in of_size})
        cells = []
        for name in systems:
            by_draw = [[row[name] for row in of_size if row["draw"] == draw] for draw in draws]
            spread = np.mean([np.std(values) for values in by_draw])
            difference = np.mean([row[name] - row[NO_NETWORK] for row in of_size])
            cells.append(f"{np.mean([row[name] for row in of_size]):.1f} ± {spread:.1f} ({difference:+.1f})")
        lines.append(f"| {size} | {len(draws)} x {len(of_size) // len(draws)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
