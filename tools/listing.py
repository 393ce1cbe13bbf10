"""Measures listing, merging and reading the caches of many tiny clips: CPU time, and memory on top of the start's.

    python tools/listing.py OUT [--clips 1000 10000] [--machines 1] [--set cache.dtype=float16]

OUT receives recordings of 0.1 s and their cache. Every step runs in a process and in memory of its own.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from process_memory import megabytes

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.audio.sound_checks import Examination
from ganad_tf.cache import blocks, prepare
from ganad_tf.cache.blocks import Block
from ganad_tf.cache.directory import Cache
from ganad_tf.run import MachineRun, machine_runs

FEATURE = {"n_mels": 16, "n_fft": 256, "hop_length": 128}
SAMPLES = 1600  # 0.1 s
SHAPE = (13, 16)  # of its log-mel
STEPS = ("write", "list", "list one", "blocks", "merge", "read", "check", "list again", "prepare again")


def main() -> int:
    """Prints a table: a row for each number of clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=int, nargs="+", default=[1000, 10000], help="numbers of clips")
    parser.add_argument(
        "--machines", type=int, default=1, help="machine types among which they are divided (default: 1)"
    )
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting")
    options = parser.parse_args()
    print(f"| clips | {' | '.join(STEPS)} | manifest |")
    print(f"|{'---|' * (len(STEPS) + 2)}", flush=True)
    for n_clips in options.clips:
        folder = options.out / f"{n_clips}"
        cells = []
        for step in STEPS:
            seconds, megabytes = alone(measured, step, folder, n_clips, options.machines, options.set)
            cells.append(f"{seconds:.2f} s, {megabytes:.0f} MB")
        size = sum(path.stat().st_size for path in manifest_files(folder)) / 2**20
        print(f"| {n_clips} | {' | '.join(cells)} | {size:.3f} MB |", flush=True)
    return 0


def alone(work: Callable[..., Any], *arguments: Any) -> Any:
    """The value of a function that runs in a new process, which has imported what this one has."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        return pool.submit(work, *arguments).result()


def measured(step: str, folder: Path, n_clips: int, n_machines: int, changes: list[str]) -> tuple[float, float]:
    """Seconds of CPU time of a step, and the MB that it takes above what its imports, settings and listing do."""
    settings = {
        "dev_directory": str(folder / "data"),
        "cache_directory": str(folder / "cache"),
        "feature": FEATURE,
    }
    config = configuration.from_mapping(settings, source="tools/listing.py", overrides=changes)
    is_listed = step != "write" and not step.startswith("list")
    runs = machine_runs(config, datasets.list_clips(config, "dev"), "dev") if is_listed else []
    before, begin = megabytes(), time.process_time()
    if step == "write":
        write(folder / "data", n_clips, n_machines)
    elif not is_listed:
        datasets.list_clips(config, "dev", ["machine0"] if step == "list one" else [])
    for run in runs:
        of_run(step, run)
    return time.process_time() - begin, megabytes() - before


def of_run(step: str, run: MachineRun) -> None:
    """A step of one machine type."""
    if step == "read":
        Cache(run, "train").load()
    elif step == "check":
        Cache(run, "train").current()
    elif step == "prepare again":
        prepare.prepare_cache(run, "train")
    else:
        with closing(prepare.preparing(run, "train")) as steps:
            missing = next(steps)
            parts = list(blocks.of_clips(missing.block))
            if step == "blocks":
                for block in parts:
                    write_block(block)
            else:
                missing.take_over(parts)
                next(steps, None)


def write_block(block: Block) -> None:
    """Writes a block as a worker does, of made-up log-mels: computing them is measured elsewhere."""
    rng = np.random.default_rng(0)
    log_mels = ((clip, rng.normal(-40, 7, SHAPE).astype(np.float32)) for clip in block.clips)
    sound = (0.25, 0.0, 1e-3, -20.5)
    examinations = {clip.key: Examination(f"{n:064x}", (), sound) for n, clip in enumerate(block.clips)}
    blocks.write(block, log_mels, examinations)


def write(directory: Path, n_clips: int, n_machines: int) -> None:
    """Writes recordings of noise, all different, in the layout `dcase2020`."""
    for number in range(n_clips):
        path = directory / f"machine{number % n_machines}" / "train" / f"normal_id_00_{number:08d}.wav"
        if path.exists():  # of an earlier call
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, SAMPLES), 16000)


def manifest_files(folder: Path) -> list[Path]:
    """Files of the caches other than shards of log-mels."""
    return [path for path in (folder / "cache").rglob("*") if path.is_file() and path.suffix != ".tfrecord"]


if __name__ == "__main__":
    sys.exit(main())
