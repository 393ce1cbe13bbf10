"""Runs the tests that matter most with the lowest or the newest versions of what the project needs.

    python tools/versions.py lowest|newest [--python 3.13] [--optional] [PYTEST ARGUMENT ...]

Lowest are the bounds in `setup.cfg`, newest is whatever pip takes. Each makes an environment of its own in a temporary
folder (some 2 GB, which goes afterwards) and ends with the versions that were run, as a row of the table in
docs/settings.md. The exit code is that of the tests. With `--optional`, a Python that isn't there is no error.
"""

import argparse
import configparser
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("tensorflow", "keras", "numpy", "librosa", "scipy", "scikit-learn", "matplotlib")

# Settings, features against librosa, every detector, every density, and the command line from recordings to reports.
TESTS = ("config", "features", "metrics", "densities", "detectors", "lock", "workflow", "environment")

# Old versions warn of one another, which is nobody's to mend; the gate has warnings as errors with those in use.
PYTEST = ("-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", "-o", "filterwarnings=default")


def main() -> int:
    """The exit code of the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=("lowest", "newest"))
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}", metavar="VERSION")
    parser.add_argument("--optional", action="store_true")
    options, pytest_arguments = parser.parse_known_args()
    python = interpreter(options.python)
    if python is None:
        print(f"There is no Python {options.python} here; nothing was run with it.", file=sys.stderr)
        return 0 if options.optional else 2
    with tempfile.TemporaryDirectory(prefix="ganad-versions-") as folder:
        installed = install(python, Path(folder), requirements() if options.which == "lowest" else [])
        tests = [ROOT / "tests" / f"test_{name}.py" for name in TESTS]
        command = [installed, "-m", "pytest", *PYTEST, *tests, *pytest_arguments]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        print(row(installed, options.which, code))
    return code


def interpreter(version: str) -> str | None:
    """A Python of that version, from the search path or from pyenv; None if there is none that runs."""
    candidates = [f"python{version}"]
    if shutil.which("pyenv"):
        names = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True, check=False).stdout
        for name in names.split():
            if name.startswith(f"{version}."):
                prefix = subprocess.run(["pyenv", "prefix", name], capture_output=True, text=True, check=False).stdout
                candidates.append(f"{prefix.strip()}/bin/python")
    for candidate in filter(shutil.which, candidates):
        if not subprocess.run([candidate, "-c", "import venv"], capture_output=True, check=False).returncode:
            return candidate
    return None


def requirements() -> list[str]:
    """Requirements of `setup.cfg` at their lower bounds."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = settings["options"]["install_requires"].splitlines()
    return [line.partition(";")[0].strip().replace(">=", "==") for line in lines if line.strip()]


def install(python: str, folder: Path, constraints: list[str]) -> Path:
    """The Python of a new environment that holds the project within these constraints."""
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    installed = folder / "venv" / "bin" / "python"
    (folder / "constraints.txt").write_text("\n".join(constraints))
    pip = [installed, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    what = ["--constraint", folder / "constraints.txt", "--editable", ROOT, "pytest", "pytest-xdist"]
    subprocess.run([*pip, *what], check=True)
    return installed


def row(python: Path, which: str, code: int) -> str:
    """The versions that were run, as a row of the table."""
    read = "import platform, sys; from importlib.metadata import version; "
    read += "print(platform.python_version(), *map(version, sys.argv[1:]))"
    versions = subprocess.run([python, "-c", read, *SHOWN], capture_output=True, text=True, check=True).stdout.split()
    return f"| {which} | {' | '.join(versions)} | {'passed' if code == 0 else 'FAILED'} |"


if __name__ == "__main__":
    sys.exit(main())
