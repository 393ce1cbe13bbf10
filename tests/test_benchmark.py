import json
import subprocess
import sys

import pytest
from conftest import ROOT


def test_rows_compare_ours_with_plain_code():
    command = [sys.executable, ROOT / "tools" / "benchmark.py", "prepare", "start"]
    command += ["--clips", "4", "--repetitions", "1", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    plain, ours = (rows[f"prepare, clips/s: {side}"][0] for side in ("plain", "ours"))
    assert rows["prepare, clips/s: ours / plain"] == [pytest.approx(ours / plain)]
    assert rows["ganad --help, seconds"][0] < 5
    assert "tensorflow" in rows["versions"]
