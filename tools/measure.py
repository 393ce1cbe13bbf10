"""Trains detectors over several seeds, and writes score files for every scorer.

    python tools/measure.py toycar OUT --npz toycar_id01_id02.npz [--sizes 5 20 60 250] [--seeds 0 1 2 3 4]
    python tools/measure.py synthetic OUT [--seeds 0]

Every job (one detector, one seed, one training set) is a process of its own with one thread; `--jobs` run
at a time. A job whose scores are there is left out, so the same command goes on where it was stopped.
tools/tables.py makes the tables.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import tensorflow as tf

    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.manifest import Entry
    from ganad_tf.run import MachineRun

ROOT = Path(__file__).resolve().parents[1]

# Which file of yaml/ describes each detector.
DETECTORS = {
    "AEGAN": "aegan",
    "SpectrumDensity": "spectrum_density",
    "GANomaly": "ganomaly_density",
    "DenseAE": "baseline",
    "SkipGANomaly": "skip_ganomaly",
    "GMADE": "gmade",
    "IDNN": "idnn",
    "MPDR": "mpdr",
    "DRINK": "drink",
    "SAGAN": "sagan",
    "TIAE": "tiae",
    "EGBAD": "egbad",
    "FAnoGAN": "fanogan",
    "IDClassifier": "id_classifier",
    "EmbeddingKNN": "embedding_knn",
    "GANomaly as in the paper": "ganomaly",
}

IMPORTED = ("feature.n_mels=128", "feature.n_fft=1024")  # as the log-mels were made, whatever a file of yaml/ has

DENSITIES = {
    "mahalanobis": {"density": "mahalanobis"},
    "gmm": {"density": "gmm", "regularization": 0.1},
    "knn": {"density": "knn", "whiten": True, "neighbors": 1},
    "knn2": {"density": "knn", "whiten": True, "neighbors": 2},
}
CONFIGURED = "configured"  # the scorer of the file in yaml/, which may be of embeddings
SCORERS = {"paper": {}} | {
    f"{pooling}-{name}": {"name": "density", "pooling": pooling, **settings}
    for pooling in ("mean", "gwrp", "lulls")
    for name, settings in DENSITIES.items()
}


Job = tuple[Path, str, list[str], list[str]]  # folder, detector, scorers, changed settings


def main() -> int:
    """Runs the jobs that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("toycar", "synthetic", "job"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--npz", type=Path, help="log-mels of ToyCar 01 and 02")
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 60, 20, 5], help="training clips per machine ID")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--detectors", nargs="+", default=list(DETECTORS), choices=list(DETECTORS))
    parser.add_argument("--scorers", nargs="+", default=list(SCORERS), choices=list(SCORERS), help="beside the file's")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of every job")
    options = parser.parse_args()
    if options.what == "job":
        run_job(options.out, options.detectors[0], options.scorers, options.set)
        return 0
    plan = _toycar(options) if options.what == "toycar" else _synthetic(options)
    with ThreadPoolExecutor(options.jobs) as pool:
        return int(any(list(pool.map(lambda job: _start(*job), plan))))


def run_job(out: Path, detector: str, scorers: list[str], overrides: list[str]) -> None:
    """Trains one detector on every machine type there is and writes score files for each scorer below `out`."""
    from ganad_tf.cli import terminal

    terminal.import_tensorflow()
    from ganad_tf import config as configuration
    from ganad_tf import datasets, runtime
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.run import machine_runs

    directories = [f"model_directory={out / 'model'}", f"result_directory={out}"]
    config = configuration.load(ROOT / "yaml" / f"{DETECTORS[detector]}.yaml", [*overrides, *directories])
    if config.deterministic:
        runtime.deterministic()
    costs = {}
    for run in machine_runs(config, datasets.list_clips(config, "dev"), "dev"):
        runtime.forget_models()
        for split in ("train", "test"):
            if run.config.dataset.name != "imported":
                prepare_cache(run, split)
        costs[run.machine] = _train_and_score(run, scorers, out)
    done = {
        "seconds": {machine: cost["seconds"] for machine, cost in costs.items()},
        "costs": costs,
        "made_with": made_with(detector, scorers, overrides),
    }
    (out / "seconds.json").write_text(json.dumps(done))


def _train_and_score(run: "MachineRun", scorers: list[str], out: Path) -> dict[str, float]:
    """Writes score files of one machine type; returns the seconds of processor time that it took, and sizes."""
    import dataclasses

    from ganad_tf.cache.directory import Cache
    from ganad_tf.clips import by_id
    from ganad_tf.config.sections import Scorer
    from ganad_tf.results import score_files
    from ganad_tf.results.directory import MachineResults
    from ganad_tf.results.score_files import ClipScore
    from ganad_tf.scoring import clip_values
    from ganad_tf.scoring.fit import fit_scorers
    from ganad_tf.scoring.model_directory import ModelDirectory
    from ganad_tf.training.train import train_detector

    begin = time.process_time()  # of the job's one thread, whatever else the machine does
    train_detector(run.with_config(dataclasses.replace(run.config, scorer=Scorer())))
    trained = time.process_time()
    directory, training, test = ModelDirectory.of(run), Cache(run, "train"), Cache(run, "test")
    model = directory.load()
    wanted = {CONFIGURED: run.config.scorer} | {
        name: Scorer(**SCORERS[name]) for name in scorers if name == "paper" or model.detector.reconstructs
    }
    by_path = {directory.scorer_path(scorer): scorer for scorer in wanted.values()}
    missing = [scorer for path, scorer in by_path.items() if not path.exists()]
    fit_scorers(directory, missing, training, training.current().entries, run.config.seed)
    fitted = [directory.load_scorer(scorer) for scorer in wanted.values()]
    functions = [clip_values.scorer_function(model, scorer) for scorer in fitted]
    entries = test.current().entries
    results = clip_values.apply_to_cache(model, functions, test, entries)
    for name, scorer, scores in zip(wanted, fitted, results, strict=True):
        files = MachineResults(out / name, run.mode, run.machine)
        score_files.write_scores(files.train_scores, scorer.train_scores)
        for machine_id, clips in by_id(run.listing.clips_of("test")).items():
            scored = [ClipScore(clip.name, float(scores[clip])) for clip in clips]
            score_files.write_scores(files.scores(machine_id), scored)
    end = time.process_time()
    return {
        "seconds": round(end - begin, 1),
        "training_seconds": round(trained - begin, 1),
        "parameters": model.detector.count_params(),
        "ms_per_clip": _ms_per_clip(clip_values.clip_function(model, functions[:1]), test, entries[:51]),
    }


def _ms_per_clip(compute: "Callable[[tf.Tensor], object]", cache: "Cache", entries: "Sequence[Entry]") -> float:
    """Milliseconds for the anomaly score of a cached clip by the configured scorer, the first clip left out."""
    from ganad_tf.cache import spectra
    from ganad_tf.features import memory

    log_mels = [memory.as_tensor(log_mel) for _, log_mel in spectra.read(cache, entries)]
    compute(log_mels[0])
    begin = time.process_time()
    for log_mel in log_mels[1:]:
        compute(log_mel)
    return round(1e3 * (time.process_time() - begin) / max(1, len(log_mels) - 1), 2)


def made_with(detector: str, scorers: list[str], overrides: list[str]) -> dict[str, object]:
    """Settings that a job's scores depend on, apart from the code and the recordings."""
    from ganad_tf import config as configuration

    config = configuration.load(ROOT / "yaml" / f"{DETECTORS[detector]}.yaml", overrides)
    machines = {name: config.for_machine(name).training_settings() for name in ("", *config.machines)}
    return json.loads(
        json.dumps({"settings": machines, "scorers": {name: SCORERS[name] for name in scorers}})
    )  # as it will be read back


def _toycar(options: argparse.Namespace) -> list[Job]:
    if options.npz is None:
        sys.exit("measure: expected --npz with the log-mels of ToyCar 01 and 02.")
    plan = []
    for size in options.sizes:
        for detector in options.detectors:
            common = [*IMPORTED, *_cache_of(detector, size, options), *options.set]
            plan += [
                (options.out / str(size) / detector / str(seed), detector, options.scorers, [*common, f"seed={seed}"])
                for seed in options.seeds
            ]
    return plan


def _cache_of(detector: str, size: int, options: argparse.Namespace) -> list[str]:
    """Settings of the cache for a detector's number of spectra per window, which is made if there is none."""
    from ganad_tf import config as configuration

    frames = configuration.load(ROOT / "yaml" / f"{DETECTORS[detector]}.yaml", options.set).feature.frames
    cache = options.out / str(size) / ("cache" if frames == 5 else f"cache-{frames}")
    settings = ["dataset.name=imported", f"cache_directory={cache}", f"dev_directory={cache / 'dev'}"]
    if not cache.exists():
        command = [sys.executable, str(ROOT / "tools" / "import_logmel.py"), str(ROOT / "yaml/toycar_logmel.yaml")]
        bounds = ["--machine", "ToyCar", "--train-below", str(size), "--test-from", "250"]
        changed = [*settings, *IMPORTED, f"feature.frames={frames}"]
        subprocess.run([*command, *bounds, str(options.npz), "--set", *changed], check=True)
    return settings


def _synthetic(options: argparse.Namespace) -> list[Job]:
    from ganad_tf import config as configuration
    from ganad_tf.datasets import synthetic

    data = options.out / "data"
    common = ["dataset.name=synthetic", f"dev_directory={data}", *options.set]
    config = configuration.load(ROOT / "yaml" / "baseline.yaml", common)
    synthetic.write(data, config.dataset.synthetic)
    plan = []
    for seed in options.seeds:
        for detector in options.detectors:
            out = options.out / detector / str(seed)  # with a cache of its own: two jobs can't write to one
            plan.append((out, detector, options.scorers, [*common, f"cache_directory={out / 'cache'}", f"seed={seed}"]))
    return plan


def _start(out: Path, detector: str, scorers: list[str], overrides: list[str]) -> int:
    if (out / "seconds.json").exists():
        if json.loads((out / "seconds.json").read_text()).get("made_with") == made_with(detector, scorers, overrides):
            return 0
        print(f"{out}: made with other settings; remove it to measure again", flush=True)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    chosen = ["--detectors", detector, "--scorers", *scorers, "--set", *overrides]
    command = [sys.executable, __file__, "job", str(out), *chosen]
    with (out / "log.txt").open("w") as log:
        done = subprocess.run(command, check=False, stdout=log, stderr=log, env=os.environ | threads)
    print(f"{out}: {'done' if done.returncode == 0 else f'failed, see {out}/log.txt'}", flush=True)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
