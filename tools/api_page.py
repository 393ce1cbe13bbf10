"""Builds the pages of the Python API from the docstrings and checks them.

    python tools/api_page.py [FOLDER]

The pages hold the names in `ganad_tf.API` and no others. Writes HTML to FOLDER (default: build/api); begin with
`index.html`. The exit code is 1 if a module can't be imported, a docstring or an annotation can't be read, or a page
shows a section of a docstring as plain text.
"""

import argparse
import importlib
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

import pdoc

import ganad_tf
from ganad_tf.cli import terminal

os.environ["PDOC_ALLOW_EXEC"] = "1"  # TensorFlow's modules ask the system what it is when they are imported

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")


def main() -> int:
    """0 if the pages are there and nothing is wrong with them, 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "build" / "api", metavar="FOLDER")
    folder = parser.parse_args().folder
    terminal.import_tensorflow()
    with terminal.silenced():  # what other packages warn of when they are imported
        modules = _declared()
    pdoc.render.configure(docformat="google", footer_text="ganad_tf")
    shutil.rmtree(folder, ignore_errors=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pdoc.pdoc("ganad_tf", f"!(?!({'|'.join(map(re.escape, modules))})$)", output_directory=folder)
    faults = [str(warning.message) for warning in caught]
    pages = sorted(folder.rglob("*.html"))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for section in re.findall(rf"<p>(?:{'|'.join(SECTIONS)}):", text):
            faults.append(f"{page.relative_to(folder)}: `{section[3:]}` is shown as text, not as a section.")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(pages)} pages in {folder}")
    return 1 if faults else 0


def _declared() -> list[str]:
    """Imports the modules of the API and the packages around them; each offers what is declared and no more."""
    offered: dict[str, list[str]] = {"ganad_tf": []}
    for module, names in ganad_tf.API.items():
        parts = ("ganad_tf", *module.split("."))
        for end in range(1, len(parts)):
            children = offered.setdefault(".".join(parts[:end]), [])
            if parts[end] not in children:
                children.append(parts[end])
        offered.setdefault(".".join(parts), []).extend(names)
    for name, names in offered.items():
        importlib.import_module(name).__all__ = names  # pdoc shows these, in this order
    return list(offered)


if __name__ == "__main__":
    sys.exit(main())
