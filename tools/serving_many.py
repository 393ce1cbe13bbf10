"""Many copies of an exported model in one repository: time and memory. Part of tools/benchmark.py, row `serve-many`.

python tools/serving_many.py exported_models/demo --copies 1000 --loaded 200
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from process_memory import PEAK, RESIDENT, megabytes


def measure(model: Path, copies: int, most_loaded: int) -> dict[str, object]:
    """The rows, measured in a separate process."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "1"}
    command = [sys.executable, __file__, str(model), "--copies", str(copies), "--loaded", str(most_loaded)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Loads as many as may be loaded, then asks as many others for a score, each of which takes the place of one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--copies", type=int, default=1000)
    parser.add_argument("--loaded", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        for number in range(options.copies):
            shutil.copytree(options.model, Path(directory, f"m{number:04d}"), copy_function=os.link)
        print(json.dumps(_rows(Path(directory), options.loaded), indent=1))


def _rows(folder: Path, most_loaded: int) -> dict[str, object]:
    from ganad_tf.serving.models.repository import Repository

    begin, before = time.perf_counter(), megabytes(RESIDENT)
    repository = Repository(folder, most_loaded=most_loaded)
    repository.refresh()
    n_loaded = min(most_loaded, len(repository.names()))
    title = f"serve-many, {len(repository.names())} models, {n_loaded} in memory"
    rows: dict[str, object] = {
        f"{title}: seconds until these are loaded": time.perf_counter() - begin,
        f"{title}: MB before, then": [before, megabytes(RESIDENT)],
    }
    clip = {"waveform": np.random.default_rng(0).normal(0, 0.05, [1, 160000]).astype(np.float32)}
    begin, scores = time.perf_counter(), set()
    others = repository.names()[-n_loaded:]
    for name in others:
        scores.add(float(repository.get(name)[1]("score_waveform", clip)["anomaly_score"][0]))
    if max(scores) - min(scores) > 1e-5 * max(scores):
        raise SystemExit(f"Expected the same score from every copy. Received: {sorted(scores)}.")
    rows[f"{title}: seconds per request that loads another"] = (time.perf_counter() - begin) / len(others)
    rows[f"{title}: MB after that, at most"] = [megabytes(RESIDENT), megabytes(PEAK)]
    begin = time.perf_counter()
    repository.refresh()
    rows[f"{title}: seconds per look at the folder"] = time.perf_counter() - begin
    return rows


if __name__ == "__main__":
    main()
