"""Arguments of the verbs: `ganad VERB CONFIG.yaml [--dev | --eval] [--machine M ...] [--set key=value ...]`."""

import argparse
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ganad_tf import __version__
from ganad_tf.config.paths import expand
from ganad_tf.download.catalogue import CATALOGUE
from ganad_tf.serving.models.versions import Policy

MODEL_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def parser(verbs: Mapping[str, Callable[[argparse.Namespace], None]]) -> argparse.ArgumentParser:
    """Builds the parser. Its result holds the verb's function as `verb`, whose docstring is the help line."""
    top = argparse.ArgumentParser(
        prog="ganad", description="Anomaly detection in machine sound with generative adversarial networks."
    )
    top.add_argument("--version", action="version", version=f"ganad {__version__}")
    group = top.add_subparsers(title="verbs", required=True, metavar="VERB")
    for name, verb in verbs.items():
        summary = (verb.__doc__ or "").strip()
        verb_parser = group.add_parser(name, help=summary, description=summary)
        _ARGUMENTS_OF_VERB.get(name, _add_experiment)(verb_parser)
        _add_verbosity(verb_parser)
        verb_parser.set_defaults(verb=verb)
    return top


def without_secrets(command_line: Sequence[str]) -> list[str]:
    """Removes passwords in URLs and values of headers from a command line that is to be displayed.

    >>> without_secrets(["predict", "http://me:secret@host/v1/models/demo", "--header", "Authorization: Bearer secret"])
    ['predict', 'http://...@host/v1/models/demo', '--header', 'Authorization: ...']
    """
    words = []
    for before, word in zip(["", *command_line], command_line, strict=False):
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        if _is_header(before) or (equals and _is_header(option)):
            word = f"{option}{equals}{value.partition(':')[0]}: ..."
        words.append(re.sub(r"^(\w+://)[^/?#]*@", r"\1...@", word))
    return words


def _is_header(option: str) -> bool:
    """Whether an option is --header or an abbreviation that argparse accepts."""
    return len(option) > 4 and "--header".startswith(option)


def _add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    out = Path("ganad-demo")
    parser.add_argument(
        "--out", type=_path, default=out, metavar="DIR", help="output directory (default: ./ganad-demo)"
    )
    parser.set_defaults(mode="dev", fresh=False, ray=None, only_failed=False)
    _add_overrides(parser)


def _add_experiment(
    parser: argparse.ArgumentParser, nargs: str | None = None, *, folder: bool = False, mode: str = "dev"
) -> None:
    what = "settings of an experiment, such as the challenge's baseline.yaml"
    metavar = "CONFIG.yaml|FOLDER" if folder else "CONFIG.yaml"
    what += "; or a folder of recordings, which gets the recommended settings" if folder else ""
    parser.add_argument("config", metavar=metavar, nargs=nargs, help=what)
    parser.set_defaults(mode=mode)
    modes = parser.add_mutually_exclusive_group()
    for name, meaning in (("dev", "the development data"), ("eval", "the evaluation data")):
        meaning += " (default)" if name == mode else ""
        modes.add_argument(f"-{name[0]}", f"--{name}", dest="mode", action="store_const", const=name, help=meaning)
    _add_overrides(parser)
    what = "leave out files that don't fit the layout or can't be read; the same as --set on_bad_clip=skip"
    parser.add_argument("--ignore-foreign", action="append_const", dest="set", const="on_bad_clip=skip", help=what)


def _add_download(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(CATALOGUE)}")
    parser.add_argument("--root", type=_path, required=True, metavar="DIR", help="folder for the data set")
    parser.set_defaults(mode=None)
    modes = parser.add_mutually_exclusive_group()
    for mode, meaning in (("dev", "development data only"), ("eval", "additional training and evaluation data only")):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, help=meaning)
    machines = "archives of these machine types only"
    parser.add_argument("--machine", nargs="+", action="extend", default=[], metavar="M", help=machines)
    ratios = "archives with this signal-to-noise ratio in dB only, for mimii: -6, 0, 6"
    parser.add_argument("--snr", nargs="+", action="extend", default=[], metavar="DB", help=ratios)
    parser.add_argument("--list", action="store_true", help="print names and sizes of the files and download nothing")
    parser.add_argument("--keep", action="store_true", help="keep the archives after they are unpacked")
    origins = parser.add_mutually_exclusive_group()
    mirror = "address to use instead of https://zenodo.org, with the same paths"
    origins.add_argument("--mirror", metavar="URL", help=mirror)
    folder = "folder of files that you have downloaded, and of <record>.json if there is no network"
    origins.add_argument("--from", type=_path, dest="source", metavar="DIR", help=folder)


def _add_evaluation(parser: argparse.ArgumentParser) -> None:
    _add_experiment(parser, nargs="?")
    group = parser.add_argument_group("scores of any system, without a configuration")
    what = "labels: a `file,label` list, or the challenge's ground truth of any year (a file or a folder); "
    what += "without it, those in the clips' names"
    group.add_argument("--truth", type=_path, metavar="TRUTH", help=what)
    what = "directory of anomaly_score_*.csv files, or of any CSV files with `file,score` lines"
    group.add_argument("--scores", type=_path, metavar="DIR", help=what)
    what = "year of the challenge whose official scores are computed (default: by the names of the score files)"
    group.add_argument("--year", type=int, choices=range(2021, 2027), metavar="YEAR", help=what)
    what = "also write the table to this file, in the layout of the year's challenge"
    group.add_argument("--out", type=_path, metavar="RESULT.csv", help=what)


def _add_submission(parser: argparse.ArgumentParser) -> None:
    _add_experiment(parser, mode="eval")
    what = "name of the submission, such as Muster_INST_task2_1"
    parser.add_argument("--label", required=True, metavar="LABEL", help=what)
    what = "directory for the folder LABEL (default: ./submission)"
    parser.add_argument("--out", type=_path, default=Path("submission"), metavar="DIR", help=what)


def _add_list(parser: argparse.ArgumentParser) -> None:
    _add_experiment(parser, folder=True)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_stage(parser, folder=True)
    what = "output directory for a FOLDER (default: FOLDER-ganad, beside it)"
    parser.add_argument("--out", type=_path, metavar="DIR", help=what)


def _add_stage(parser: argparse.ArgumentParser, *, folder: bool = False) -> None:
    _add_experiment(parser, folder=folder)
    parser.add_argument("--fresh", action="store_true", help="start from the beginning instead of reusing earlier work")
    what = "run on a Ray cluster of which this machine is a node, or, with `local`, on all cores of this machine"
    parser.add_argument("--ray", metavar="local|HOST:PORT", help=what)
    what = "only the machine types that failed when this command last ran"
    parser.add_argument("--only-failed", action="store_true", help=what)


def _add_search(parser: argparse.ArgumentParser) -> None:
    _add_stage(parser)
    what = "print the number of trials and the hours that they would take, from one measured trial"
    parser.add_argument("--dry-run", action="store_true", help=what)


def _add_export(parser: argparse.ArgumentParser) -> None:
    _add_experiment(parser)
    what = "name of the model, followed by _MACHINE if there are several (default: the configuration's name)"
    parser.add_argument("--name", help=what)
    what = "name of one model for all machines of the configuration"
    parser.add_argument("--fleet", metavar="NAME", help=what)
    what = "machine to replace in the newest version of --fleet; the models of the others are not needed"
    parser.add_argument("--replace", metavar="M", help=what)
    forms = ("savedmodel", "litert", "litert-int8", "onnx")
    batch = "clips per call, except for savedmodel (default: any number in onnx, 1 in litert)"
    parser.add_argument("--format", choices=forms, default="savedmodel", help="default: savedmodel")
    parser.add_argument("--batch", type=_count, metavar="N", help=batch)
    length = "length of a clip, except for savedmodel (default: that of the recordings)"
    parser.add_argument("--seconds", type=_positive, metavar="S", help=length)
    longest = "longest clip that a savedmodel accepts (default: 600)"
    parser.add_argument("--longest", type=_positive, metavar="SECONDS", help=longest)


def _add_files(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL_DIR|URL",
        help="exported_models/NAME, also NAME.onnx or NAME.litert, http://HOST:PORT/v1/models/NAME, "
        "grpc://HOST:PORT/NAME, or FOLDER-ganad of `ganad run FOLDER`",
    )
    what = "machine type, if FOLDER-ganad has models of several; machine, if the model is a fleet"
    parser.add_argument("--machine", metavar="M", help=what)
    parser.add_argument("files", metavar="WAV|DIR", nargs="+", help="recordings, and folders of them, also as URLs")
    what = "header to send to the URL, such as 'Authorization: Bearer ...'; may be repeated"
    parser.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help=what)
    what = "certificate authorities to trust (default: the system's)"
    parser.add_argument("--ca-cert", type=Path, metavar="FILE.pem", help=what)
    what = "say in words how each anomaly differs from the healthy machine; for a folder of `ganad export` only"
    parser.add_argument("--explain", action="store_true", help=what)
    what = "share of normal recordings that may be called anomalous (default: that of the export)"
    parser.add_argument("--false-alarms", type=_share, metavar="RATE", help=what)
    what = "machine ID of the files, for models that need it (default: from each file's name, such as id_00)"
    parser.add_argument("--machine-id", metavar="ID", help=what)
    forms = parser.add_mutually_exclusive_group()
    parser.set_defaults(form="table")
    for form in ("json", "csv"):
        forms.add_argument(
            f"--{form}", dest="form", action="store_const", const=form, help=f"print {form.upper()} instead of a table"
        )


def _add_server(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="exported models, such as exported_models")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only; :: for all)"
    )
    parser.add_argument("--port", type=_port, default=8501, help="default: 8501; 0 for any free port")
    what = "also serve TensorFlow Serving's gRPC API, such as on 8500; 0 for any free port (default: no gRPC)"
    parser.add_argument("--grpc-port", type=_port, metavar="PORT", help=what)
    parser.add_argument(
        "--model-name", type=_model_name, metavar="NAME", help="name of the model, if DIR is the folder of a single one"
    )
    policy = "versions to serve: all, latest:N or specific:N,N (default: all; the newest is loaded, others on demand)"
    parser.add_argument("--versions", type=_policy, default="all", metavar="POLICY", help=policy)
    most = "maximum number of models in memory; the least recently used is unloaded (default: 200)"
    parser.add_argument("--loaded", type=_count, default=200, metavar="N", help=most)
    parser.add_argument(
        "--poll",
        type=_positive,
        default=2.0,
        metavar="SECONDS",
        help="interval between checks for new versions (default: 2)",
    )
    parser.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="format of the log (default: text)"
    )
    parser.add_argument("--access-log", action="store_true", help="log a line for each request")
    _add_access(parser.add_argument_group("access"))
    _add_limits(parser.add_argument_group("limits"))


def _add_access(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--token-file", type=Path, metavar="FILE", help="require this bearer token, except for health checks"
    )
    group.add_argument("--tls-cert", type=Path, metavar="PEM", help="serve HTTPS with this certificate chain")
    group.add_argument("--tls-key", type=Path, metavar="PEM", help="its key, if not in the same file")
    origin = "allow requests of pages of this origin, such as https://example.org, or * for all; may be repeated"
    group.add_argument("--cors", action="append", default=[], metavar="ORIGIN", help=origin)


def _add_limits(group: argparse._ArgumentGroup) -> None:
    for option, attribute, is_count, default, what in (
        ("--queue", "queue", True, 64, "requests in progress or waiting"),
        ("--batch", "batch", True, 32, "clips in one call of a model"),
        ("--max-clips", "clips", True, 256, "clips in one request"),
        ("--max-clip-seconds", "clip_seconds", False, 600, "length of a clip"),
        ("--max-body-mb", "body_mb", False, 100, "size of a request, also when decompressed"),
        ("--max-answer-mb", "answer_mb", False, 200, "total size of the responses that wait to be read"),
        ("--max-head-kb", "head_kb", False, 64, "size of a request's headers"),
        ("--connections", "connections", True, 1000, "open connections"),
        (
            "--head-seconds",
            "head_seconds",
            False,
            10,
            "time for headers, for a piece of a body, or of an idle connection",
        ),
        ("--body-seconds", "body_seconds", False, 60, "time for a body"),
        ("--answer-seconds", "answer_seconds", False, 30, "time in which a response has to be read"),
        ("--drain-seconds", "drain_seconds", False, 30, "time to finish accepted requests when the server is stopped"),
    ):
        read, unit = (_count, "N") if is_count else (_positive, option.rpartition("-")[2].upper())
        shown = f"{what} (default: {default})"
        group.add_argument(option, dest=f"limit_{attribute}", type=read, default=default, metavar=unit, help=shown)


def _path(text: str) -> Path:
    """Expands a path: the shell does not expand `--out=~/x`, which would create a folder named `~`."""
    try:
        return Path(expand(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected a path, but {error}.") from error


def _machine_type(name: str) -> str:
    """The setting that the option stands for."""
    return f"dataset.folder.machine_type={json.dumps(name)}"


def _model_name(text: str) -> str:
    if not MODEL_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"expected letters, digits and `_.-`. Received: {text!r}.")
    return text


def _policy(text: str) -> Policy:
    try:
        return Policy.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number. Received: {text}.")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"expected a share between 0 and 1. Received: {text}.")
    return value


def _port(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**16:
        raise argparse.ArgumentTypeError(f"expected from 0 to 65535. Received: {text}.")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1. Received: {text}.")
    return value


def _add_systems(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "systems",
        metavar="RESULT_DIR",
        nargs="+",
        help="a result directory or its URL, or NAME=DIR,DIR,... for the seeds of one system",
    )
    parser.add_argument(
        "--out", type=_path, default=Path("comparison"), metavar="DIR", help="output directory (default: ./comparison)"
    )
    parser.add_argument("--bars", action="store_true", help="also draw comparison.png, like the paper's Figure 6")


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", metavar="RESULT_DIR", nargs="+", type=Path, help="a result directory")
    parser.add_argument(
        "--out", type=_path, metavar="DIR", help="output directory (default: report/ in the first result directory)"
    )
    what = "example clips of each kind, per machine type (default: 3)"
    parser.add_argument("--clips", type=_count, default=3, metavar="N", help=what)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--machine", nargs="+", action="extend", default=[], metavar="M", help="only these machine types"
    )
    what = "machine type of the only folder of recordings (default: the folder's name)"
    parser.add_argument(
        "--machine-type", type=_machine_type, action="append", dest="set", default=[], metavar="NAME", help=what
    )
    change = "change a setting, such as fit.epochs=10"
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="key=value", help=change)


def _add_verbosity(parser: argparse.ArgumentParser) -> None:
    verbosity = parser.add_mutually_exclusive_group()
    verbosity.add_argument("-q", "--quiet", action="store_true", help="show warnings and tables only")
    verbosity.add_argument("-v", "--verbose", action="store_true", help="show more details")


# Verbs that take other arguments than a configuration.
_ARGUMENTS_OF_VERB = {
    "compare": _add_systems,
    "demo": _add_demo_arguments,
    "download": _add_download,
    "evaluate": _add_evaluation,
    "export": _add_export,
    "list": _add_list,
    "predict": _add_files,
    "prepare": _add_stage,
    "report": _add_results,
    "run": _add_run,
    "score": _add_stage,
    "search": _add_search,
    "serve": _add_server,
    "submission": _add_submission,
    "train": _add_stage,
}
