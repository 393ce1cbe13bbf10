"""Counts what the package is made of: rooms, imports between them, ranks, functions that pass a clump of arguments.

    python tools/rooms.py [--list] [PACKAGE_FOLDER]

A room is a file or folder directly in the package. An arrow is a pair of rooms of which one imports the other. A rank
is a line of the layers contract in `setup.cfg` beside the package. A clump is three or more of the parameters
`config`, `listing`, `mode` and `machine` in one function.
"""

import argparse
import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLUMP = {"config", "listing", "mode", "machine"}
LEAST = 3


def main() -> None:
    """Prints the counts, and with --list the arrows and the functions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path, default=ROOT / "ganad_tf")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    package = options.package.resolve()
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(package.rglob("*.py"))}
    rooms = {room_of(path, package) for path in trees} - {"__init__", "__main__"}
    arrows = {
        (room_of(path, package), target)
        for path, tree in trees.items()
        for target in imported_rooms(tree, package.name)
        if target in rooms and target != room_of(path, package)
    }
    clumps = sorted(name for path, tree in trees.items() for name in clumped(tree, path.relative_to(package)))
    folders = sum((package / room).is_dir() for room in rooms)
    print(f"rooms: {len(rooms)} ({folders} folders, {len(rooms) - folders} files)")
    print(f"arrows between rooms: {len(arrows)}")
    print(f"ranks: {len(ranks(package.parent / 'setup.cfg'))}")
    print(f"functions with {LEAST} or more of {', '.join(sorted(CLUMP))}: {len(clumps)}")
    if options.list:
        print("\n".join(f"{source} -> {target}" for source, target in sorted(arrows)))
        print("\n".join(clumps))


def room_of(path: Path, package: Path) -> str:
    """Name of the file or folder directly in the package that holds `path`."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module, package: str) -> Iterator[str]:
    """Names that a module imports from directly below the package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{package}."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith(f"{package}."))


def clumped(tree: ast.Module, file: Path) -> Iterator[str]:
    """Functions of a module with `LEAST` or more parameters of `CLUMP`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            if len(CLUMP.intersection(names)) >= LEAST:
                yield f"{file}:{node.lineno} {node.name}"


def ranks(settings: Path) -> list[str]:
    """Lines of the layers contract."""
    parser = configparser.ConfigParser()
    parser.read(settings, encoding="utf-8")
    section = "importlinter:contract:layers"
    return parser[section]["layers"].split("\n")[1:] if parser.has_section(section) else []


if __name__ == "__main__":
    main()
