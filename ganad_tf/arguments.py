"""The command line's grammar: `ganad VERB CONFIG.yaml [--dev | --eval] [--machine M ...] [--set key=value ...]`."""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from ganad_tf import __version__


def parser(verbs: Mapping[str, Callable[[argparse.Namespace], None]]) -> argparse.ArgumentParser:
    """A parser whose result has the chosen verb as `verb`; the verbs' docstrings are their help."""
    top = argparse.ArgumentParser(
        prog="ganad", description="Anomaly detection in machine sound with generative adversarial networks."
    )
    top.add_argument("--version", action="version", version=f"ganad {__version__}")
    group = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, verb in verbs.items():
        summary = (verb.__doc__ or "").strip()
        verb_parser = group.add_parser(name, help=summary, description=summary)
        if name == "compare":
            _add_systems(verb_parser)
        else:
            _add_place(verb_parser) if name == "demo" else _add_experiment(verb_parser)
            _add_changes(verb_parser)
        _add_loudness(verb_parser)
        verb_parser.set_defaults(verb=verb)
    return top


def _add_place(parser: argparse.ArgumentParser) -> None:
    out = Path("ganad-demo")
    parser.add_argument(
        "--out", type=Path, default=out, metavar="DIR", help="where everything goes (default: ./ganad-demo)"
    )
    parser.set_defaults(mode="dev")


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG.yaml", help="one experiment; the challenge's baseline.yaml is one")
    parser.set_defaults(mode="dev")
    modes = parser.add_mutually_exclusive_group()
    for mode, meaning in (("dev", "the development data (default)"), ("eval", "the evaluation data")):
        modes.add_argument(f"-{mode[0]}", f"--{mode}", dest="mode", action="store_const", const=mode, help=meaning)


def _add_systems(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "systems",
        metavar="RESULT_DIR",
        nargs="+",
        help="a result directory, or NAME=DIR,DIR,... for the seeds of one system",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("comparison"), metavar="DIR", help="where it goes (default: ./comparison)"
    )


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--machine", nargs="+", action="extend", default=[], metavar="M", help="only these machine types"
    )
    change = "change a setting, such as fit.epochs=10"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help=change)


def _add_loudness(parser: argparse.ArgumentParser) -> None:
    loudness = parser.add_mutually_exclusive_group()
    loudness.add_argument("-q", "--quiet", action="store_true", help="warnings and tables only")
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more")
