"""Trains a tiny detector of each kind and packs what `ganad train` wrote, for tests/test_keras_scripts.py to load.

    python tools/golden_detectors.py tests/goldens/detectors_VERSION.zip

Beside each `NAME.keras`, `expected.json` holds what this version makes of it: the scores of some windows, the state of
the optimizer, and the scores after another three steps of training. A file that is there is not replaced: it says what
an earlier version wrote, which every later one must read.
"""

import argparse
import inspect
import json
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
FRAMES, N_MELS = 3, 4
STEPS = 3
SMALL = {"n_train": 8, "n_normal": 2, "n_anomaly": 2, "seconds": 1}


def main() -> int:
    """Writes the archive; 2 if it is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, metavar="OUT.zip")
    parser.add_argument("--detectors", nargs="+", metavar="NAME", help="default: all")
    options = parser.parse_args()
    if options.out.exists():
        print(f"golden_detectors: expected no file in {options.out}.", file=sys.stderr)
        return 2

    from ganad_tf.cli import terminal

    terminal.import_tensorflow()
    from ganad_tf.models import DETECTORS
    from ganad_tf.scoring.model_directory import versions

    windows = np.random.default_rng(0).normal(size=[5, FRAMES * N_MELS]).astype(np.float32)
    expected: dict[str, object] = {"versions": versions(), "windows": windows.tolist()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory, zipfile.ZipFile(options.out, "x", zipfile.ZIP_DEFLATED) as archive:
        for name in options.detectors or [
            name for name, kind in DETECTORS.items() if not kind.takes_machine_ids and name != "Encoder"
        ]:
            file = train(Path(directory), name)
            archive.write(file, f"{name}.keras")
            expected[name] = facts(file, windows)
        archive.writestr("expected.json", json.dumps(expected, indent=1))
    return 0


def train(directory: Path, name: str) -> Path:
    """Trains a detector as the command line does; its file."""
    from ganad_tf import config as configuration
    from ganad_tf import datasets
    from ganad_tf.cli import stages
    from ganad_tf.datasets import synthetic
    from ganad_tf.engine import driver
    from ganad_tf.models import DETECTORS
    from ganad_tf.run import machine_runs
    from ganad_tf.scoring.model_directory import ModelDirectory

    known = inspect.signature(DETECTORS[name]).parameters
    sizes = {"hidden": [4], "latent": 2, "units": 4, "base": 2, "levels": 2, "discriminator_base": 2}
    model = {"name": name} | {key: value for key, value in sizes.items() if key in known}
    folders = {
        "dev_directory": "data",
        "cache_directory": "cache",
        "model_directory": name,
        "result_directory": "result",
    }
    mapping = {
        **{key: str(directory / folder) for key, folder in folders.items()},
        "dataset": {"name": "synthetic", "synthetic": SMALL},
        "feature": {"standardize": True, "frames": FRAMES, "n_mels": N_MELS},
        "model": model,
        "fit": {"epochs": 3, "batch_size": 32, "compile": {"learning_rate": 0.0003, "beta_1": 0.5}},
    }
    config = configuration.from_mapping(mapping, source="golden_detectors")
    synthetic.write(config.data_directory("dev"), config.dataset.synthetic)
    runs = machine_runs(config, datasets.list_clips(config, "dev", ["fan"]), "dev")
    stages.prepare_all(runs, ("train",))
    driver.refuse(stages.on_workers(stages.train_units(runs), driver.HereWorkers()), len(runs))
    return ModelDirectory.of(runs[0]).detector


def facts(file: Path, windows: np.ndarray) -> dict[str, object]:
    """Scores of windows by the detector in a file, before and after some more steps, and its optimizer's state."""
    import keras

    detector = keras.models.load_model(file)
    results = {
        "scores": detector.anomaly_score(windows).numpy().tolist(),
        "iterations": int(detector.optimizer.iterations),
        "learning_rate": float(detector.optimizer.learning_rate),
    }
    for _ in range(STEPS):
        detector.train_on_batch(windows)
    return results | {"scores after": detector.anomaly_score(windows).numpy().tolist()}


if __name__ == "__main__":
    sys.exit(main())
