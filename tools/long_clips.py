"""Peak memory of prepare, score and predict on long recordings, with as many threads as a machine of so many cores has.

    python tools/long_clips.py recordings FOLDER [CLIPS MINUTES]
    python tools/long_clips.py JOB THREADS FOLDER

Jobs, each in a process of its own and in this order: `train` (on short clips, and exports the model), `prepare`,
`score`, `predict`. They print seconds and the peak memory of the whole process; benchmark.py has them in a row.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from process_memory import megabytes

SAMPLE_RATE = 16000
SHORT_CLIPS, SHORT_SECONDS = 8, 10
MACHINE = "fan"
LONGEST_SECONDS = 4000.0  # of the exported model


def recordings(folder: Path, n_clips: int = 3, minutes: float = 60) -> None:
    """Makes short clips to train on and long ones to be scored: a hum in noise, 16 kHz, mono, 16 bits."""
    import soundfile

    rng = np.random.default_rng(0)
    minute = 0.1 * np.sin(2 * np.pi * 120 * np.arange(60 * SAMPLE_RATE) / SAMPLE_RATE)
    lengths = {"train": [SHORT_SECONDS / 60] * SHORT_CLIPS, "test": [minutes] * n_clips}
    for split, clips in lengths.items():
        directory = folder / "dev_data" / MACHINE / split
        directory.mkdir(parents=True)
        for number, length in enumerate(clips):
            with soundfile.SoundFile(
                directory / f"normal_id_00_{number:08d}.wav", "w", SAMPLE_RATE, 1, subtype="PCM_16"
            ) as file:
                for begin in np.arange(0, length, 1):
                    part = minute[: round(min(1, length - begin) * len(minute))]
                    file.write(part + 0.02 * rng.normal(size=len(part)))


def prepare(threads: int, folder: Path) -> None:
    """The long recordings to log-mels."""
    from ganad_tf.cache.prepare import prepare_cache

    prepare_cache(_run(folder), "test", fresh=True, threads=threads + 1)


def train(_: int, folder: Path) -> None:
    """A detector by the short recordings, exported."""
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.exporting import savedmodel
    from ganad_tf.training.train import train_detector

    run = _run(folder)
    prepare_cache(run, "train")
    train_detector(run)
    savedmodel.export(run, "long", longest_seconds=LONGEST_SECONDS)


def score(_: int, folder: Path) -> None:
    """The long recordings' log-mels to scores."""
    from ganad_tf.scoring.score import score_clips

    score_clips(_run(folder), fresh=True)


def predict(_: int, folder: Path) -> None:
    """The long recordings to scores, by the exported model."""
    from ganad_tf.serving.predict import local
    from ganad_tf.serving.predict.predictions import Prediction

    files = sorted((folder / "dev_data" / MACHINE / "test").iterdir())
    for outcome in local.predict(folder / "exported" / "long", files):
        if not isinstance(outcome, Prediction):
            raise outcome


def _run(folder: Path):
    """The machine's run: a scorer that sorts all of a clip's windows, and else what is the default."""
    from ganad_tf import config as configuration
    from ganad_tf import datasets, heap
    from ganad_tf.run import MachineRun

    heap.limit_arenas()
    directories = {f"{name}_directory": str(folder / name) for name in ("cache", "model", "result")}
    directories |= {"dev_directory": str(folder / "dev_data"), "export_directory": str(folder / "exported")}
    scorer = {"name": "density", "pooling": "lulls", "density": "knn"}
    mapping = {**directories, "feature": {"standardize": True}, "fit": {"epochs": 1}, "scorer": scorer}
    config = configuration.from_mapping(mapping, source="benchmark")
    (listing,) = datasets.list_clips(config, "dev")
    return MachineRun(config, listing, "dev")


JOBS: dict[str, Callable[[int, Path], None]] = {"train": train, "prepare": prepare, "score": score, "predict": predict}

if __name__ == "__main__":
    job, *given = sys.argv[1:]
    if job == "recordings":
        recordings(Path(given[0]), *map(int, given[1:]))
    else:
        os.environ["TF_NUM_INTEROP_THREADS"] = given[0]  # before TensorFlow is there
        os.environ["TF_NUM_INTRAOP_THREADS"] = "1" if job == "predict" else given[0]  # as `ganad predict` has it
        begin = time.perf_counter()
        JOBS[job](int(given[0]), Path(given[1]))
        seconds = time.perf_counter() - begin
        peak = megabytes()
        print(json.dumps({"seconds": seconds, "peak_mb": peak}))
