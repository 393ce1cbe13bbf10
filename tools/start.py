"""Runs a command in a virtual environment that holds this project, and makes one where none is active.

    python3 tools/start.py COMMAND [ARGUMENT ...]

Needs nothing but Python 3.11 or newer and pip. The environment is `.venv` beside this checkout; in an
active environment the project is installed into that one. What is installed already is left alone.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEW_PIP = "pip>=25"  # versions of 2023 take ten times as long to choose the versions of what is to be installed


def main() -> int:
    """The exit code of the command."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file runs before anything is installed
        print(f"ganad_tf needs Python 3.11 or newer. Received: {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(sys.prefix) if sys.prefix != sys.base_prefix else Path(os.environ.get("VIRTUAL_ENV", ROOT / ".venv"))
    binaries = folder / ("Scripts" if os.name == "nt" else "bin")
    _install(folder, binaries / "python")
    environment = os.environ | {
        "VIRTUAL_ENV": str(folder),
        "PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    environment.pop("PYTHONHOME", None)
    name, *arguments = sys.argv[1:]
    program = binaries / name if (binaries / name).exists() else name
    return subprocess.run([program, *arguments], env=environment, check=False).returncode


def _install(folder: Path, python: Path) -> None:
    """Makes the environment and installs the project with its tools, unless this state of it is there."""
    wanted = hashlib.sha256((ROOT / "setup.cfg").read_bytes() + str(ROOT).encode()).hexdigest()
    mark = folder / "ganad_tf.installed"
    if mark.is_file() and mark.read_text() == wanted:
        return
    print(f"installing ganad_tf into {folder} (once, about a minute)", file=sys.stderr)
    if not python.exists():
        venv.create(folder, with_pip=False)  # some systems ship Python without what with_pip needs
    # Not compiled: Python compiles what is imported, a small part of the 20 000 files.
    install = ["install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    here = [sys.executable, "-m", "pip", "--python", str(python)]
    subprocess.run([*here, *install, NEW_PIP], check=True, stdout=sys.stderr)
    there = [str(python), "-m", "pip"]
    subprocess.run([*there, *install, "--editable", f"{ROOT}[dev]"], check=True, stdout=sys.stderr)
    mark.write_text(wanted)


if __name__ == "__main__":
    sys.exit(main())
