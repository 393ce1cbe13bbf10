"""The one gate: style, types, who may import whom, the pages of the API, and the tests.

    python tools/check.py [PYTEST ARGUMENT ...]

Everything is run, also after something has failed; the exit code is 0 only if all went well.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BINARIES = Path(sys.executable).parent

GATES = {
    "style": [BINARIES / "ruff", "check", "."],
    "layout": [BINARIES / "ruff", "format", "--check", "."],
    "types": [BINARIES / "mypy"],
    "imports": [BINARIES / "lint-imports"],
    "api": [sys.executable, ROOT / "tools" / "api_page.py"],
    "tests": [sys.executable, "-m", "pytest", "-n", "2", "--durations=20"],
}


def main() -> int:
    """0 if every gate is passed, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    _, arguments = parser.parse_known_args()
    failed = []
    for name, command in GATES.items():
        begin = time.monotonic()
        print(f"== {name}", flush=True)
        if subprocess.run([*command, *(arguments if name == "tests" else [])], cwd=ROOT, check=False).returncode:
            failed.append(name)
        print(f"== {name}: {'FAILED' if name in failed else 'passed'} in {time.monotonic() - begin:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
