import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT


@pytest.mark.slow
def test_rows_compare_ours_with_plain_code():
    command = [sys.executable, ROOT / "tools" / "benchmark.py", "prepare"]
    command += ["--clips", "4", "--repetitions", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    plain, ours = (rows[f"prepare, clips/s: {side}"][0] for side in ("plain", "ours"))
    assert 0 < plain < 4000  # four clips in more than a millisecond
    assert 0 < ours < 4000
    assert "tensorflow" in rows["versions"]


@pytest.mark.slow
def test_a_cache_without_log_mels_takes_little_of_the_disk():
    command = [sys.executable, ROOT / "tools" / "benchmark.py", "caches"]
    command += ["--clips", "4", "--repetitions", "1", "--json"]
    environment = os.environ | {"EPOCHS": "2"}
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    sizes = [rows[f"cache, bytes: {dtype}"] for dtype in ("float32", "float16", "none")]
    assert sizes[0] > 1.9 * sizes[1] > 10 * sizes[2] > 0
    assert 0 < rows["an epoch of DenseAE, streamed, seconds: none"][0] < 10


@pytest.mark.slow
def test_the_start_of_commands_is_timed():
    command = [sys.executable, ROOT / "tools" / "benchmark.py", "start", "--repetitions", "1", "--json"]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert rows["ganad --help, seconds"][0] > 0.01


@pytest.mark.slow
def test_of_many_models_only_so_many_are_in_memory():
    command = [
        sys.executable,
        ROOT / "tools" / "benchmark.py",
        "serve-many",
        "--copies",
        "12",
        "--loaded",
        "3",
        "--json",
    ]
    rows = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    title = "serve-many, 12 models, 3 in memory"
    before, loaded = rows[f"{title}: MB before, then"]
    _, most = rows[f"{title}: MB after that, at most"]
    assert most < loaded + 3 * (loaded - before)  # six models were loaded; 12 in memory would be more
    assert rows[f"{title}: seconds per look at the folder"] < 5
