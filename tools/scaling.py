"""Measures what a Ray cluster costs and gains here: time per empty unit, memory per worker, speed-up of `ganad train`.

    python tools/scaling.py OUT [--units 1000] [--machines 4] [--set fit.epochs=10]

OUT receives synthetic machines and their detectors, trained twice: in one process and by `--ray local`. Seconds of a
training are those of the whole command, with the import of TensorFlow and the start of Ray.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from ganad_tf.cli import environment, wide
from ganad_tf.engine import driver
from ganad_tf.engine.driver import HereWorkers, Workers
from ganad_tf.engine.units import Unit

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
    measure_cluster(options.units)
    measure_training(options)
    return 0


def measure_cluster(n_units: int) -> None:
    """Time and memory of workers that have imported TensorFlow."""
    from ganad_tf.engine import ray_workers

    environment.set_ray_defaults()
    begin = time.monotonic()
    with ray_workers.connected(ray_workers.LOCAL):
        print(f"start of Ray, s                  {time.monotonic() - begin:.1f}")
        workers = ray_workers.RayWorkers(ray_workers.WorkerSettings.here(wide.set_up))
        begin = time.monotonic()
        driver.run(empty_units(2 * (os.cpu_count() or 1)), workers)
        print(f"start of the workers, s          {time.monotonic() - begin:.1f}")
        print(f"on Ray, ms per unit              {1000 * seconds_per_unit(workers, n_units):.2f}")
        [outcome] = driver.run([Unit("measure", "memory", "", megabytes)], workers).values()
        print(f"memory of an idle worker, MB     {outcome.value:.0f}")


def seconds_per_unit(workers: Workers, n_units: int) -> float:
    """Duration of empty units, each."""
    begin = time.monotonic()
    driver.run(empty_units(n_units), workers)
    return (time.monotonic() - begin) / n_units


def empty_units(n_units: int) -> list[Unit]:
    """Units that do nothing."""
    return [Unit("measure", str(number), "", abs, (number,)) for number in range(n_units)]


def megabytes() -> float:
    """Largest memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_training(options: argparse.Namespace) -> None:
    """Seconds of `ganad train` for all machine types."""
    names = ("plain", "ray")
    for name in names:
        config = {
            "dev_directory": str(options.out / "data"),
            "cache_directory": str(options.out / "cache"),
            "model_directory": str(options.out / f"model_{name}"),
            "result_directory": str(options.out / f"result_{name}"),
            "dataset": {"name": "synthetic", "synthetic": SYNTHETIC},
            "feature": {"standardize": True},
            "model": {"name": "GANomaly", "hidden": [128, 128], "score": "reconstruction"},
            "fit": {"epochs": 30, "batch_size": 256, "verbose": 0},
        }
        (options.out / f"{name}.yaml").write_text(json.dumps(config))
    ganad(options, "prepare", "plain.yaml")
    plain = ganad(options, "train", "plain.yaml", "--fresh")
    wide_seconds = ganad(options, "train", "ray.yaml", "--fresh", "--ray", "local")
    print(f"training {options.machines} machines, s           {plain:.1f}")
    print(f"the same with --ray local, s     {wide_seconds:.1f}")
    print(f"speed-up                         {plain / wide_seconds:.2f}")


def ganad(options: argparse.Namespace, verb: str, config: str, *more: str) -> float:
    """Duration of a command."""
    machines = KINDS[: options.machines]
    words = [verb, str(options.out / config), "-q", "--machine", *machines, *more]
    words += ["--set", *options.set] if options.set else []
    begin = time.monotonic()
    subprocess.run([sys.executable, "-m", "ganad_tf", *words], check=True)
    return time.monotonic() - begin


if __name__ == "__main__":
    sys.exit(main())
