"""One piece of work in a process of its own, ours or plain: how long it took and how much memory. See benchmark.py.

    python tools/speed_jobs.py JOB SIDE FOLDER [DETECTOR NUMBER]

The number is that of a batch's windows, or of a fleet's machines.

The folder holds recordings as the challenge lays them out (`recordings` makes them). What is warm is not measured:
imports and the first traces come before the clock starts.
"""

import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import floor
import numpy as np
from process_memory import megabytes

SAMPLE_RATE, SECONDS = 16000, 10
DISTINCT = 100  # recordings; the others are links to them
WARM_UP = 8  # clips
EPOCHS = int(os.environ.get("EPOCHS", "4"))  # the first is not measured
OF_EPOCHS = 100  # what the challenge trains; what is chosen by the length of the training is chosen for that
WINDOWS_PER_CLIP = 309
ONCE = {"epochs": 1, "memory_budget_mb": 0}
KERAS = {  # arguments of `compile`; "fit" differs from "plain" only in the dataset
    "plain": {"jit_compile": False},
    "fit": {"jit_compile": False},
    "jit": {"jit_compile": True},
    "many": {"jit_compile": False, "steps_per_execution": 100},
    "jit-many": {"jit_compile": True, "steps_per_execution": 100},
}
ARGUMENTS = {"SkipGANomaly": {"hidden": [128, 128, 128], "latent": 8}}


def recordings(folder: Path, n_clips: int) -> None:
    """Makes `n_clips` training and as many test clips of 10 s: a hum in noise."""
    import soundfile

    distinct = [folder / "distinct" / f"{number}.wav" for number in range(min(n_clips, DISTINCT))]
    distinct[0].parent.mkdir(parents=True)
    time_axis = np.arange(SAMPLE_RATE * SECONDS) / SAMPLE_RATE
    for number, path in enumerate(distinct):
        noise = np.random.default_rng(number).normal(size=time_axis.size)
        soundfile.write(path, 0.1 * np.sin(2 * np.pi * 120 * time_axis) + 0.02 * noise, SAMPLE_RATE, subtype="PCM_16")
    for machine, count in (("fan", n_clips), ("warm", WARM_UP)):
        for split in ("train", "test"):
            directory = folder / "dev_data" / machine / split
            directory.mkdir(parents=True)
            for number in range(count):
                os.link(distinct[number % len(distinct)], directory / f"normal_id_00_{number:08d}.wav")


def files(folder: Path, machine: str, split: str) -> list[Path]:
    """The recordings of one machine."""
    return sorted((folder / "dev_data" / machine / split).iterdir())


def run_of(folder: Path, machine: str, **changes: object):
    """The run of one machine; everything else as the command line has it."""
    from ganad_tf import config as configuration
    from ganad_tf import datasets, runtime
    from ganad_tf.cli import terminal
    from ganad_tf.run import MachineRun

    terminal.import_tensorflow()
    runtime.deterministic()
    directories = {f"{name}_directory": str(folder / name) for name in ("cache", "model", "result")}
    mapping = {"dev_directory": str(folder / "dev_data"), **directories, **changes}
    config = configuration.from_mapping(mapping, source="benchmark")
    (listing,) = (item for item in datasets.list_clips(config, "dev") if item.machine == machine)
    return MachineRun(config, listing, "dev")


def prepare(side: str, folder: Path) -> float:
    """WAV files to log-mels: ours in the cache, the plain ones in an array. Seconds."""
    if side == "plain":
        import reference

        reference.load_all(files(folder, "warm", "train"))
        return _seconds(lambda: reference.load_all(files(folder, "fan", "train")))
    from ganad_tf.cache.prepare import prepare_cache

    prepare_cache(run_of(folder, "warm"), "train", fresh=True)
    return _seconds(lambda: prepare_cache(run_of(folder, "fan"), "train", fresh=True))


def score(side: str, folder: Path) -> float:
    """WAV files to one number per clip, by a trained autoencoder. Seconds."""
    if side == "plain":
        import reference

        model = reference.dense_ae()
        reference.scores(model, files(folder, "warm", "test"))
        return _seconds(lambda: reference.scores(model, files(folder, "fan", "test")))

    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.scoring.score import score_clips

    def ours(machine: str) -> None:
        run = run_of(folder, machine, fit=ONCE)
        prepare_cache(run, "test", fresh=True)
        score_clips(run, fresh=True)

    subprocess.run([sys.executable, __file__, "train-once", side, folder], check=True, stdout=subprocess.DEVNULL)
    ours("warm")
    return _seconds(lambda: ours("fan"))


def train_once(_: str, folder: Path) -> float:
    """The detectors that `score` needs, in a process whose memory is not scoring's. Seconds."""
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.training.train import train_detector

    def ours() -> None:
        for machine in ("warm", "fan"):
            run = run_of(folder, machine, fit=ONCE)
            prepare_cache(run, "train")
            train_detector(run)

    return _seconds(ours)


def end_to_end(side: str, folder: Path) -> float:
    """Recordings of one machine to trained detector and scores. Seconds, imports apart."""
    if side == "plain":
        import keras  # noqa: F401
        import reference

        reference.load_all(files(folder, "warm", "train"))

        def plain() -> None:
            windows = reference.load_all(files(folder, "fan", "train"))
            model = reference.dense_ae()
            model.fit(windows, windows, batch_size=512, epochs=EPOCHS, validation_split=0.1, verbose=0)
            reference.scores(model, files(folder, "fan", "test"))

        return _seconds(plain)

    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.scoring.score import score_clips
    from ganad_tf.training.train import train_detector

    def ours() -> None:
        run = run_of(folder, "fan", fit={"epochs": EPOCHS})
        for split in ("train", "test"):
            prepare_cache(run, split, fresh=True)
        train_detector(run, fresh=True)
        score_clips(run, fresh=True)

    return _seconds(ours)


def train(side: str, folder: Path, name: str, batch_size: int) -> float:
    """One epoch over the windows: `ours`, `streamed`, a `bare` loop, or a side of `KERAS`. Seconds."""
    if side in KERAS:
        return _keras_fit(side, folder, name, batch_size)
    machine_run, source = _prepared(folder, name, batch_size, budget=0 if side == "streamed" else 10**6)
    if side == "bare":
        return _bare_loop(machine_run.config, source, batch_size)
    return statistics.median(_trained(folder, machine_run.config, source)[1].times[1:])


def epoch_from(side: str, folder: Path, name: str, batch_size: int) -> float:
    """One epoch over windows that are streamed from a cache of the `cache.dtype` that the side names. Seconds."""
    kind = {"cache": {"dtype": side}, "cache_directory": str(folder / side)}
    machine_run, source = _prepared(folder, name, batch_size, budget=0, **kind)
    return statistics.median(_trained(folder, machine_run.config, source)[1].times[1:])


def training_from(side: str, folder: Path, name: str, batch_size: int) -> float:
    """A whole training in memory of `EPOCHS` epochs, with its scorer, from such a cache. Seconds."""
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.training.train import train_detector

    kind = {"cache": {"dtype": side}, "cache_directory": str(folder / side), "model": {"name": name}}
    run = run_of(folder, "fan", fit={"batch_size": batch_size, "epochs": EPOCHS}, **kind)
    prepare_cache(run, "train")
    return _seconds(lambda: train_detector(run, fresh=True))


def weights(_: str, folder: Path, name: str, batch_size: int) -> float:
    """A number that is another one for other weights, of a training as `train` times it."""
    machine_run, source = _prepared(folder, name, batch_size)
    detector, _ = _trained(folder, machine_run.config, source)
    return float(zlib.crc32(b"".join(weight.tobytes() for weight in detector.get_weights())))


def _trained(folder: Path, config, source):
    """The detector after `EPOCHS` epochs, and their times."""
    from ganad_tf.training import build, guards
    from ganad_tf.training import checkpoint as checkpoints
    from ganad_tf.training import train as training
    from ganad_tf.training.programs import Program

    training.seed_everything(config)
    detector = build.build(config)
    none = dataclasses.replace(source, entries=())
    clock = _clock()
    watched = (guards.StopAtNaN(folder / "last_good.keras"), clock)
    unfinished = checkpoints.Checkpoint(folder / "unfinished.npz", {}, None)
    training.fit(Program(detector), config, source, none, watched, unfinished)
    return detector, clock


def _prepared(folder: Path, name: str, batch_size: int, budget: int = 10**6, **changes: object):
    """The run of a training and the windows for it, which are in the cache by then."""
    from ganad_tf.cache import spectra
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.cache.windows import Source

    fit = {"batch_size": batch_size, "epochs": OF_EPOCHS, "memory_budget_mb": budget, "validation_split": 0.0}
    model = {"name": name, **ARGUMENTS.get(name, {})}
    run = run_of(folder, "fan", fit=fit, model=model, **changes)
    prepare_cache(run, "train")
    cache = Cache(run, "train")
    return run, Source(spectra.of(cache), cache.current().entries, 128, 5, None)


def tensorboard(side: str, folder: Path) -> float:
    """A whole training as it is by default, `ours` or `watched` by TensorBoard's callbacks. Seconds."""
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.training.train import train_detector

    logs = {"directory": str(folder / "logs")} if side == "watched" else {}
    run = run_of(folder, "fan", tensorboard=logs)
    prepare_cache(run, "train")
    return _seconds(lambda: train_detector(run, fresh=True))


def fleet(side: str, folder: Path, name: str, n_machines: int) -> float:
    """Small networks of one shape for so many machines, with steps traced once (`ours`) or each `apart`. Seconds."""
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.training import programs
    from ganad_tf.training.train import train_detector

    fit = {"epochs": 30, "batch_size": 16, "validation_split": 0.0}
    run = run_of(folder, "warm", fit=fit, model={"name": name, "hidden": [32, 32], "latent": 8})
    prepare_cache(run, "train")

    def ours() -> None:
        for _ in range(n_machines):
            if side == "apart":
                programs.take(None)
            train_detector(run, fresh=True)

    return _seconds(ours)


def step(side: str, folder: Path, name: str, batch_size: int) -> float:
    """A compiled step on windows at hand: `ours`, of the `sixth` training in a process, with `one-heap`. Seconds."""
    import tensorflow as tf

    from ganad_tf import heap, runtime
    from ganad_tf.training import build, fused_steps
    from ganad_tf.training import train as training

    if side == "one-heap":
        heap.ARENAS = 1
    config = run_of(folder, "fan", model={"name": name, **ARGUMENTS.get(name, {})}).config
    for _ in range(6 if side == "sixth" else 1):
        runtime.forget_models()
        training.seed_everything(config)
        detector = build.build(config)
        steps = fused_steps.FusedSteps(batch_size, max(1, 2**12 // batch_size), pairs=detector.takes_pairs)
        windows = tf.random.normal([steps.block_size, detector.input_dim])
        block = ((windows, windows),) if detector.takes_pairs else windows
        take_block = steps.train_function(detector)
        take_block(iter([block]))
    return floor.warm_seconds(lambda: take_block(iter([block]))) / steps.n_steps


def _keras_fit(side: str, folder: Path, name: str, batch_size: int) -> float:
    """`plain`: `fit` on an array of every window; the others with arguments of `compile` on our dataset."""
    import keras
    import reference

    from ganad_tf.models import DETECTORS

    if side == "plain" and name == "DenseAE":
        model = reference.dense_ae()
    else:
        model = DETECTORS[name](**ARGUMENTS.get(name, {}))
        optimizer = keras.optimizers.Adam(*((1e-3,) if name == "DenseAE" else (2e-4, 0.5)))
        loss = {"loss": "mean_squared_error"} if name == "DenseAE" else {}
        model.compile(optimizer=optimizer, **loss, **KERAS[side])
    clock = _clock()
    more = {"epochs": EPOCHS, "verbose": 0, "callbacks": [clock]}
    if side == "plain":
        windows = reference.load_all(files(folder, "fan", "train"))
        targets = windows if name == "DenseAE" else None
        model.fit(windows, targets, batch_size=batch_size, shuffle=True, **more)
    else:
        from ganad_tf.cache import windows as pipeline

        _, source = _prepared(folder, name, batch_size)
        batches = pipeline.window_batches(
            source, batch_size=batch_size, seed=0, memory_budget_mb=10**6, pairs=model.takes_pairs
        )
        model.fit(batches, shuffle=False, **more)
    return statistics.median(clock.times[1:])


def _bare_loop(config, source, batch_size: int) -> float:
    """The same step in a loop of TensorFlow's own, over windows that are gathered from memory in a new order."""
    import tensorflow as tf

    from ganad_tf.cache import windows as pipeline
    from ganad_tf.training import build
    from ganad_tf.training import train as training

    training.seed_everything(config)
    detector = build.build(config)
    held = pipeline.hold(source)
    n_batches = source.n_windows // batch_size

    def batch(chosen):
        return tf.reshape(held.batch_at(tf.gather(held.starts, chosen)), [batch_size, 640])

    @tf.function
    def epoch(seed):
        n_orders = 2 if detector.takes_pairs else 1
        numbers = tf.range(source.n_windows)
        orders = [tf.random.experimental.stateless_shuffle(numbers, [seed, number]) for number in range(n_orders)]
        for number in tf.range(n_batches):
            picked = [batch(order[number * batch_size : (number + 1) * batch_size]) for order in orders]
            detector.train_step((tuple(picked),) if detector.takes_pairs else picked[0])

    times = [_seconds(lambda number=number: epoch(tf.constant(number))) for number in range(EPOCHS)]
    return statistics.median(times[1:])


def _clock():
    import keras

    class Clock(keras.callbacks.Callback):
        """From each epoch's beginning to the next one's, with all that callbacks do in between."""

        def __init__(self):
            super().__init__()
            self.moments = []

        @property
        def times(self):
            return [end - begin for begin, end in itertools.pairwise(self.moments)]

        def on_epoch_begin(self, epoch, logs=None):  # noqa: ARG002
            self.moments.append(time.perf_counter())

        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            self.model.stop_training = len(self.moments) == EPOCHS

        def on_train_end(self, logs=None):  # noqa: ARG002
            self.moments.append(time.perf_counter())

    return Clock()


def _seconds(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


JOBS = {
    "prepare": prepare,
    "train-once": train_once,
    "score": score,
    "end-to-end": end_to_end,
    "tensorboard": tensorboard,
    "products": floor.products,
    "fft": floor.fft,
}

OF_DETECTORS = {
    "train": train,
    "epoch-from": epoch_from,
    "training-from": training_from,
    "step": step,
    "weights": weights,
    "fleet": fleet,
}

if __name__ == "__main__":
    job, where, directory, *more = sys.argv[1:]
    if more:
        took = OF_DETECTORS[job](where, Path(directory), more[0], int(more[1]))
    else:
        took = JOBS[job](where, Path(directory))
    peak = megabytes()
    print(json.dumps({"seconds": took, "peak_mb": peak}))
