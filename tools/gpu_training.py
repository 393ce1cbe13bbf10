"""Measures training on the device that TensorFlow finds, a GPU or else the processor; docs/performance.md shows it.

    python tools/gpu_training.py [--clips 400] [--epochs 4] [--rows DenseAE-512 EGBAD-16 streamed weights ...]

Windows per second of ours and of plain `fit`, each in a process of its own: four detectors at batch 512 and the GANs
at batch 16; DenseAE streamed against in memory; whether two trainings with `deterministic: true` give equal weights.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import speed_jobs

GANS = ("GANomaly", "SkipGANomaly", "EGBAD")
PAIRS = [("DenseAE", "512"), *((name, "512") for name in GANS), *((name, "16") for name in GANS)]
ROWS = (*("-".join(pair) for pair in PAIRS), "streamed", "weights")


def main() -> int:
    """Measures and prints a row at a time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400, help="of 10 s")
    parser.add_argument("--epochs", type=int, default=4, help="the first of which does not count")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=", ".join(ROWS))
    options = parser.parse_args()
    n_windows = options.clips * speed_jobs.WINDOWS_PER_CLIP
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        speed_jobs.recordings(folder, options.clips)
        _job(folder, options.epochs, "prepare", "ours")
        for row in options.rows:
            if row == "weights":
                digests = {_job(folder, 2, "weights", "ours", "GANomaly", "512")["seconds"] for _ in range(2)}
                print(f"two deterministic trainings of GANomaly: {'equal' if len(digests) == 1 else 'OTHER'} weights")
                continue
            name, size = ("DenseAE", "512") if row == "streamed" else row.split("-")
            sides = ("streamed", "ours") if row == "streamed" else ("ours", "plain")
            rates = [n_windows / _job(folder, options.epochs, "train", side, name, size)["seconds"] for side in sides]
            shown = ", ".join(f"{side} {rate:.0f}" for side, rate in zip(sides, rates, strict=True))
            print(f"{name}, batch {size}, windows/s: {shown}, ratio {rates[0] / rates[1]:.2f}", flush=True)
    return 0


def _job(folder: Path, epochs: int, name: str, side: str, *more: str) -> dict[str, float]:
    """A job of speed_jobs.py in a process of its own."""
    command = [sys.executable, str(Path(speed_jobs.__file__)), name, side, str(folder), *more]
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ | {"EPOCHS": str(epochs)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    sys.exit(main())
