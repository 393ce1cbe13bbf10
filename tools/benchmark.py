"""Measures what the project promises, on this machine, against the same work in plain code (tools/reference.py).

    python tools/benchmark.py [ROW ...] [--clips 1000] [--repetitions 3] [--json]
    python tools/benchmark.py growth --sizes 250 1000 4000 16000
    python tools/benchmark.py serve [--model exported_models/demo] [--seconds 60]
    python tools/benchmark.py serve-many [--model exported_models/demo] [--copies 1000] [--loaded 200]

Rows: `prepare`, `train`, `small-batches`, `score`, `end-to-end`, `start`, `floor`, `report`, `tensorboard`, `fleet`,
`caches`, `growth`, `serve`, `serve-many`, `long-clips` (peak memory on one-hour recordings, at 2 and at 8 threads);
without any, all but the last eight. Each measurement is a process of its own; ours and plain ones take turns, and
medians are shown with the lowest and the highest. Peak memory is the whole process's, with TensorFlow in it.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import serving_load
import serving_many
import speed_jobs

ROOT = Path(__file__).resolve().parents[1]
MACHINES = 12  # of the demo: two of each of six types
FLEET = 8  # machines
DTYPES = ("float32", "float16", "none")
GANS = ("EGBAD", "GANomaly", "SkipGANomaly")
TOOLS = ("tensorflow", "keras", "librosa", "numpy")
Job = tuple[str, ...]


def main() -> int:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(dict.fromkeys((*ROWS, *IF_ASKED_FOR))))
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000, 4000, 16000], help="clips, for growth")
    parser.add_argument("--model", type=Path, default=ROOT / "exported_models" / "demo")
    parser.add_argument("--copies", type=int, default=1000, help="of the model, for serve-many")
    parser.add_argument("--loaded", type=int, default=200, help="of them in memory")
    parser.add_argument("--seconds", type=float, default=60, help="with 8 clients")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    unknown = set(options.rows) - {*ROWS, *IF_ASKED_FOR}
    if unknown:
        parser.error(f"unknown row {', '.join(sorted(unknown))}")
    rows: dict[str, object] = {"processor": f"{os.cpu_count()} cores, {_processor()}"}
    rows["versions"] = ", ".join(f"{name} {version(name)}" for name in TOOLS) + f", Python {platform.python_version()}"
    for name in options.rows or [row for row in ROWS if row not in IF_ASKED_FOR]:
        measured = {}
        if name == "serve":
            measured = serving_load.measure(options.model, options.seconds)
        elif name == "serve-many":
            measured = serving_many.measure(options.model, options.copies, options.loaded)
        with tempfile.TemporaryDirectory() as directory:
            if name == "growth":
                measured = growth(Path(directory), options.sizes)
            elif name == "long-clips":
                measured = measure_long_clips(Path(directory))
            elif name in ROWS:
                speed_jobs.recordings(Path(directory), options.clips)
                measured = dict(ROWS[name](Path(directory), options))
        rows |= measured
        if not options.json:
            print("\n".join(f"{key:<56}{_shown(value)}" for key, value in rows.items()), flush=True)
            rows = {}
    if options.json:
        print(json.dumps(rows, indent=1))
    return 0


def prepare(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """WAV files to log-mels."""
    yield from _against("prepare, clips/s", directory, options, ("prepare",), options.clips)


def train(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Windows through the network: `fit` on an array, with Keras' arguments for speed, ours, and a bare loop."""
    _run(directory, ("prepare", "ours"))
    windows = options.clips * speed_jobs.WINDOWS_PER_CLIP
    for name in ("DenseAE", *GANS):
        sides = (*speed_jobs.KERAS, "ours", "bare", *(("streamed",) if name == "DenseAE" else ()))
        yield from _against(f"train {name}, windows/s", directory, options, ("train",), windows, sides, (name, "512"))


def small_batches(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Batches of 16, as the paper has them: `fit` calls the step once per batch there."""
    clips = min(options.clips, 200)
    speed_jobs.recordings(directory / "fewer", clips)
    _run(directory / "fewer", ("prepare", "ours"))
    for name in GANS:
        title, windows = f"train {name}, batch 16, windows/s", clips * speed_jobs.WINDOWS_PER_CLIP
        sides = (*speed_jobs.KERAS, "ours")
        yield from _against(title, directory / "fewer", options, ("train",), windows, sides, (name, "16"))


def score(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """WAV files to one number per clip."""
    yield from _against("score, clips/s", directory, options, ("score",), options.clips)


def end_to_end(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Recordings to a trained DenseAE and scores, four epochs."""
    yield from _against("end-to-end, clips/s", directory, options, ("end-to-end",), options.clips)


def floor(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The arithmetic alone, and our steps beside it, in milliseconds."""
    jobs: dict[str, Job] = {
        "FFTs of a clip, one core": ("fft", ""),
        "products of a step of DenseAE, NumPy": ("products", "numpy"),
        "products of a step of DenseAE, compiled": ("products", "compiled"),
        "step of DenseAE, batch 512": ("step", "ours", "DenseAE", "512"),
        **{f"step of {name}, batch 16": ("step", "ours", name, "16") for name in GANS},
        "step of GANomaly, batch 16, a single heap": ("step", "one-heap", "GANomaly", "16"),
    }
    for title, job in jobs.items():
        yield f"{title}, ms", [1000 * _run(directory, job)["seconds"] for _ in range(options.repetitions)]
    for title, side in (("one", "ours"), ("six in a process", "sixth")):
        done = _run(directory, ("step", side, "GANomaly", "16"))
        yield f"compiled trainings of GANomaly, {title}, peak MB", done["peak_mb"]


def tensorboard(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The section `tensorboard`, in the default training of at most 300 clips: what it takes more."""
    clips = min(options.clips, 300)
    speed_jobs.recordings(directory / "fewer", clips)
    sides = ("ours", "watched")
    yield from _against("train with tensorboard, clips/s", directory / "fewer", options, ("tensorboard",), clips, sides)
    logs = sum(path.stat().st_size for path in (directory / "fewer" / "logs").rglob("*") if path.is_file())
    yield "train with tensorboard: logs, MB", logs / 1e6


def fleet(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Machines with eight recordings each, one after another."""
    for name in ("DenseAE", "GANomaly"):
        title, sides = f"{FLEET} trainings of {name}, trainings/s", ("apart", "ours")
        yield from _against(title, directory, options, ("fleet",), FLEET, sides, (name, str(FLEET)))


def caches(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Kinds of caches, float32 being the default: epochs that are streamed, trainings in memory, and bytes."""
    jobs = {"an epoch of DenseAE, streamed": "epoch-from", "a training of DenseAE in memory": "training-from"}
    for title, job in jobs.items():
        results: dict[str, list[dict[str, float]]] = {dtype: [] for dtype in DTYPES}
        for _ in range(options.repetitions):
            for dtype in DTYPES:
                results[dtype].append(_run(directory, (job, dtype, "DenseAE", "512")))
        for dtype in DTYPES:
            yield f"{title}, seconds: {dtype}", [done["seconds"] for done in results[dtype]]
            yield f"{title}, peak MB: {dtype}", [done["peak_mb"] for done in results[dtype]]
    for dtype in DTYPES:
        yield f"cache, bytes: {dtype}", sum(file.stat().st_size for file in (directory / dtype).rglob("*.*"))


def report(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """The page about six machine types with so many test clips of 10 s in all."""
    count = options.clips // (2 * MACHINES)
    numbers = [f"dataset.synthetic.{name}" for name in (f"n_normal={count}", f"n_anomaly={count}", "seconds=10")]
    _ganad("demo", "--out", str(directory / "demo"), "--set", "fit.epochs=1", *numbers)
    n_clips = 2 * MACHINES * count
    yield (
        f"report on {n_clips} clips, seconds",
        _ganad("report", str(directory / "demo" / "result"), "--out", str(directory)),
    )
    yield f"report on {n_clips} clips, MB", (directory / "report.html").stat().st_size / 1e6


def start(directory: Path, options: argparse.Namespace) -> Iterator[tuple[str, object]]:
    """Commands that need no TensorFlow, on a small experiment that is done."""
    folders = {"dev": "data", "cache": "cache", "model": "model", "result": "result"}
    where = [f"{key}_directory={directory / 'demo' / folder}" for key, folder in folders.items()]
    small = [f"dataset.synthetic.{name}" for name in ("n_train=8", "n_normal=3", "n_anomaly=3", "seconds=1")]
    settings = ["--machine", "fan", "--set", "fit.epochs=1", *small]
    experiment = [str(ROOT / "yaml" / "demo.yaml"), *settings, *where]
    _ganad("demo", "--out", str(directory / "demo"), *settings)
    systems = [str(directory / "demo" / "result"), "--out", str(directory / "comparison")]
    for arguments in (["--help"], ["list", *experiment], ["evaluate", *experiment], ["compare", *systems]):
        yield f"ganad {arguments[0]}, seconds", [_ganad(*arguments) for _ in range(options.repetitions)]


ROWS: dict[str, Callable[[Path, argparse.Namespace], Iterator[tuple[str, object]]]] = {
    "prepare": prepare,
    "train": train,
    "small-batches": small_batches,
    "score": score,
    "end-to-end": end_to_end,
    "start": start,
    "floor": floor,
    "report": report,
    "tensorboard": tensorboard,
    "fleet": fleet,
    "caches": caches,
}
IF_ASKED_FOR = (
    "report",
    "tensorboard",
    "fleet",
    "caches",
    "growth",
    "serve",
    "serve-many",
    "long-clips",
)  # minutes to hours


def growth(directory: Path, sizes: list[int]) -> dict[str, object]:
    """Seconds and peak memory of ours for more and more clips."""
    rows: dict[str, object] = {}
    for n_clips in sizes:
        folder = directory / str(n_clips)
        speed_jobs.recordings(folder, n_clips)
        jobs: dict[str, Job] = {
            "prepare": ("prepare", "ours"),
            "score": ("score", "ours"),
            "train, streamed": ("train", "streamed", "DenseAE", "512"),
            "train, in memory": ("train", "ours", "DenseAE", "512"),
        }
        for name, job in jobs.items():
            done = _run(folder, job, EPOCHS="2")
            rows[f"{name}, {n_clips} clips: seconds, peak MB"] = [done["seconds"], done["peak_mb"]]
    return rows


def measure_long_clips(directory: Path) -> dict[str, object]:
    """Seconds and peak memory of prepare, score and predict on three recordings of one hour."""
    tool = [sys.executable, str(ROOT / "tools" / "long_clips.py")]
    settings = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    folder = str(directory / "long")
    rows: dict[str, object] = {}
    jobs = [("recordings", folder), ("train", "2", folder)]
    jobs += [(job, threads, folder) for job in ("prepare", "score", "predict") for threads in ("2", "8")]
    for job in jobs:
        done = subprocess.run([*tool, *job], capture_output=True, text=True, check=False, env=settings)
        if done.returncode:
            raise SystemExit(done.stderr)
        if job[0] not in ("recordings", "train"):
            took = json.loads(done.stdout.splitlines()[-1])
            rows[f"long clips, {job[0]}, {job[1]} threads: seconds, peak MB"] = [took["seconds"], took["peak_mb"]]
    return rows


def _against(
    title: str,
    directory: Path,
    options: argparse.Namespace,
    job: Job,
    count: int,
    sides: Job = ("plain", "ours"),
    more: Job = (),
) -> Iterator[tuple[str, object]]:
    """The sides in turn; rates, peaks and the ratios of ours to the others'."""
    results: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
    for _ in range(options.repetitions):
        for side in sides:
            results[side].append(_run(directory, (*job, side, *more)))
    for side in sides:
        yield f"{title}: {side}", [count / done["seconds"] for done in results[side]]
        yield f"{title.rsplit(',', 1)[0]}: {side}, peak MB", [done["peak_mb"] for done in results[side]]
    for side in set(sides) - {"ours", "streamed"}:
        pairs = zip(results["ours"], results[side], strict=True)
        yield f"{title}: ours / {side}", [theirs["seconds"] / ours["seconds"] for ours, theirs in pairs]


def _run(directory: Path, job: Job, **environment: str) -> dict[str, float]:
    """One job in a process of its own."""
    name, side, *more = job
    command = [sys.executable, str(ROOT / "tools" / "speed_jobs.py"), name, side, str(directory), *more]
    settings = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"} | environment
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def _ganad(*arguments: str) -> float:
    """Seconds of the command line."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "ganad_tf", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return time.perf_counter() - begin


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else "unknown"


def _shown(value: object) -> str:
    if isinstance(value, list) and len(value) > 2 and all(isinstance(item, float) for item in value):
        return f"{statistics.median(value):.4g} ({min(value):.4g} to {max(value):.4g})"
    if isinstance(value, list):
        return ", ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
