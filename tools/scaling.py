"""Measures what a Ray cluster costs and gains here: time per empty unit, memory per worker, speed-up of trainings.

    python tools/scaling.py OUT [--units 1000] [--machines 4] [--set fit.epochs=10]

OUT receives synthetic machines and their detectors, trained twice: in this process and by workers that have started.
"""

import argparse
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import environment, wide
from ganad_tf.datasets import synthetic
from ganad_tf.engine import driver
from ganad_tf.engine.driver import HereWorkers, Workers
from ganad_tf.engine.units import Unit
from ganad_tf.run import machine_runs

KINDS = ("fan", "pump", "slider", "ToyCar", "ToyConveyor", "valve")
SYNTHETIC = {"n_ids": 1, "n_train": 64, "n_normal": 4, "n_anomaly": 4, "seconds": 4}


def main() -> int:
    """Prints one line per quantity."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--units", type=int, default=1000, help="empty units (default: 1000)")
    parser.add_argument("--machines", type=int, default=4, choices=range(1, 7), help="machine types (default: 4)")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value", help="change a setting of every training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"cores                            {os.cpu_count()}")
    print(f"in this process, ms per unit     {1000 * seconds_per_unit(HereWorkers(), options.units):.3f}")
    environment.reset_keras_settings()
    environment.set_ray_defaults()
    from ganad_tf.engine import ray_workers

    begin = time.monotonic()
    with ray_workers.connected(ray_workers.LOCAL):
        print(f"start of Ray, s                  {time.monotonic() - begin:.1f}")
        workers = ray_workers.RayWorkers(ray_workers.WorkerSettings.here(wide.set_up))
        measure_workers(workers, options.units)
        measure_training(options, workers)
    return 0


def measure_workers(workers: Workers, n_units: int) -> None:
    """Time and memory of workers that have imported TensorFlow."""
    print(f"start of the workers, s          {seconds_of(empty_units(2 * (os.cpu_count() or 1)), workers):.1f}")
    print(f"on Ray, ms per unit              {1000 * seconds_per_unit(workers, n_units):.2f}")
    [outcome] = driver.run([Unit("measure", "memory", "", megabytes)], workers).values()
    print(f"memory of an idle worker, MB     {outcome.value:.0f}")


def seconds_per_unit(workers: Workers, n_units: int) -> float:
    """Duration of empty units, each."""
    return seconds_of(empty_units(n_units), workers) / n_units


def seconds_of(units: Sequence[Unit], workers: Workers) -> float:
    """Duration of units, all of which succeed."""
    begin = time.monotonic()
    outcomes = driver.run(units, workers)
    seconds = time.monotonic() - begin
    driver.refuse(driver.failures(outcomes), len(units))
    return seconds


def empty_units(n_units: int) -> list[Unit]:
    """Units that do nothing."""
    return [Unit("measure", str(number), "", abs, (number,)) for number in range(n_units)]


def megabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_training(options: argparse.Namespace, workers: Workers) -> None:
    """Seconds of the trainings of all machine types."""
    wide.set_up()
    from ganad_tf.cli import stages

    settings = {
        "dev_directory": str(options.out / "data"),
        "cache_directory": str(options.out / "cache"),
        "model_directory": str(options.out / "model"),
        "dataset": {"name": "synthetic", "synthetic": SYNTHETIC},
        "feature": {"standardize": True},
        "model": {"name": "GANomaly", "hidden": [128, 128], "score": "reconstruction"},
        "fit": {"epochs": 30, "batch_size": 256, "verbose": 0},
    }
    config = configuration.from_mapping(settings, source="tools/scaling.py", overrides=options.set)
    synthetic.write(config.data_directory("dev"), config.dataset.synthetic)
    runs = machine_runs(config, datasets.list_clips(config, "dev", KINDS[: options.machines]), "dev")
    stages.prepare_all(runs, ["train"])
    here = seconds_of(stages.train_units(runs, fresh=True), HereWorkers())
    there = seconds_of(stages.train_units(runs, fresh=True), workers)
    print(f"training {options.machines} machines, s           {here:.1f}")
    print(f"the same by workers, s           {there:.1f}")
    print(f"speed-up                         {here / there:.2f}")


if __name__ == "__main__":
    sys.exit(main())
