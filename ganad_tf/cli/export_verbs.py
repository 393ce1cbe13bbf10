"""The verbs that create and use exported models: `export`, `predict` and `serve`."""

import argparse
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cli import arguments, projects, remote, terminal
from ganad_tf.config import paths
from ganad_tf.errors import ConfigError, DataError, GanadError
from ganad_tf.results import decisions
from ganad_tf.run import MachineRun, machine_runs
from ganad_tf.serving.models import metadata
from ganad_tf.serving.models.versions import METADATA, newest
from ganad_tf.serving.predict import client, http_client, predictions

if TYPE_CHECKING:
    from ganad_tf.serving import access, server

_GRPC = ("grpc://", "grpcs://")

logger = logging.getLogger(__name__)


def export(options: argparse.Namespace) -> None:
    """Export one model per machine type that takes sound and returns anomaly scores."""
    config = configuration.load(options.config, options.set)
    _check_export(options)
    machines = options.machine if options.replace is None else [options.replace]
    runs = machine_runs(config, datasets.list_clips(config, options.mode, machines), options.mode)
    stem = Path(options.config).stem if options.name is None else options.name
    names = [stem if options.name and len(runs) == 1 else f"{stem}_{run.machine}" for run in runs]
    if options.fleet is not None:
        names = [options.fleet]
    for name in names:
        if not arguments.MODEL_NAME.fullmatch(name):
            raise ConfigError(f"Expected a model's name of letters, digits and `_.-`. Received: {name!r}; set --name.")
    terminal.import_tensorflow()
    if options.fleet is not None:
        print(config.storage.location(_export_fleet(runs, options)))
        return
    from ganad_tf.exporting import edge, savedmodel

    for name, run in zip(names, runs, strict=True):
        if options.format == "savedmodel":
            version = savedmodel.export(run, name, longest_seconds=options.longest or savedmodel.LONGEST_SECONDS)
        else:
            shape = {"batch": options.batch, "seconds": options.seconds}
            version = edge.export(run, name, options.format, **shape, quietly=terminal.silenced)
        print(config.storage.location(version))


def _check_export(options: argparse.Namespace) -> None:
    """Refuses options of `export` that do not go together."""
    if options.fleet is not None and (options.name is not None or options.format != "savedmodel"):
        raise ConfigError("Expected --fleet without --name and --format: it names one SavedModel.")
    if options.replace is not None and (options.fleet is None or options.machine or options.longest is not None):
        raise ConfigError("Expected --replace with --fleet, and without --machine and --longest.")
    if options.format == "savedmodel" and (options.batch, options.seconds) != (None, None):
        raise ConfigError(
            "Expected --batch and --seconds with another --format: a SavedModel takes clips of any length."
        )
    if options.format != "savedmodel" and options.longest is not None:
        raise ConfigError("Expected --longest without --format: a model for small boards takes clips of one length.")


def _export_fleet(runs: Sequence[MachineRun], options: argparse.Namespace) -> Path:
    """Folder of the new version of a fleet: of all machines, or with one of them replaced."""
    from ganad_tf.exporting import fleet, fleet_replacement, savedmodel

    if options.replace is not None:
        return fleet_replacement.replace(runs[0], options.fleet)
    return fleet.export(runs, options.fleet, longest_seconds=options.longest or savedmodel.LONGEST_SECONDS)


def predict(options: argparse.Namespace) -> None:
    """Score recordings, as files or folders, with an exported model, in this process or on a server."""
    given = [remote.local_path(location) for location in options.files]
    files, empty = _recordings(given)
    is_url = options.model.startswith((*http_client.SCHEMES, *_GRPC))
    if paths.is_url(options.model) and not is_url:
        options.model = remote.local_model(options.model)
    project = projects.Project(Path(options.model))
    if options.machine and not (is_url or project.exists() or _is_fleet(Path(options.model))):
        raise ConfigError(f"Expected the output of `ganad run FOLDER` with --machine. Received: {options.model}.")
    if is_url:
        if options.explain:
            raise _not_explained(options.model)
        asked = (options.false_alarms, options.machine_id, options.machine)
        outcomes = list(client.predict(_server(options), files, *asked))
    elif options.header or options.ca_cert:
        raise ConfigError(f"Expected the URL of a model with --header and --ca-cert. Received: {options.model}.")
    else:
        is_project = project.exists()
        model = project.choose_model(options.machine, given) if is_project else Path(options.model)
        outcomes = list(_predict_here(model, files, options, machine=None if is_project else options.machine))
    write = {"table": predictions.as_table, "json": predictions.as_json, "csv": predictions.as_csv}[options.form]
    predicted = [outcome for outcome in outcomes if isinstance(outcome, predictions.Prediction)]
    print(write(predicted))
    decisions.warn("recordings", [bool(prediction.is_anomaly) for prediction in predicted if not prediction.not_judged])
    faults = [*empty, *(str(outcome) for outcome in outcomes if isinstance(outcome, GanadError))]
    if faults:
        raise DataError("\n".join(faults))


def _recordings(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Replaces folders by the recordings in them; returns files, and an error message per folder without recordings.

    Raises:
      DataError: If there are no files at all.
    """
    files: list[Path] = []
    empty: list[str] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        recordings, others = datasets.recordings(path)
        for line in others:
            logger.warning("left out: %s", line)
        files.extend(recordings)
        if not recordings:
            empty.append(f"{path}: expected recordings (WAV, FLAC, OGG, ...) in this folder, but there are none.")
    if not files:
        raise DataError("\n".join(empty))
    return files, empty


def _is_fleet(model: Path) -> bool:
    """Whether a folder holds a model of several machines."""
    try:
        entries = metadata.read(newest(model) / METADATA, lambda entries: entries["input"])
    except DataError:
        return False
    return bool(entries["input"].get("machines"))


def _server(options: argparse.Namespace) -> http_client.Ask:
    """Connects to the server of the model's URL."""
    if options.model.startswith(http_client.SCHEMES):
        return http_client.connect(options.model, headers=options.header, ca_cert=options.ca_cert)
    terminal.import_tensorflow(for_serving=True)  # the gRPC messages use TensorFlow's
    try:
        from ganad_tf.serving.predict import grpc_client
    except ModuleNotFoundError as error:
        raise ConfigError(f"grpc:// needs {error.name}; install the extra: pip install 'ganad_tf[grpc]'.") from error
    return grpc_client.connect(options.model, headers=options.header, ca_cert=options.ca_cert)


def _not_explained(model: str) -> ConfigError:
    return ConfigError(
        f"Expected a SavedModel's folder, such as exported_models/demo, with --explain. Received: {model}; a server, a "
        "LiteRT and an ONNX model have scores only."
    )


def _predict_here(
    model: Path, files: Sequence[Path], options: argparse.Namespace, *, machine: str | None
) -> Iterator[predictions.Prediction | DataError]:
    """Scores in this process: a model for small boards in its own runtime, any other in TensorFlow."""
    from ganad_tf.serving.predict import edge

    file = edge.find(model)
    if file:
        if options.explain:
            raise _not_explained(str(file))
        with terminal.silenced():  # LiteRT logs its delegates
            loaded = edge.EdgeModel(file)
        return edge.predict(loaded, files, options.false_alarms)
    terminal.import_tensorflow(for_serving=True)
    from ganad_tf.serving.predict import local

    asked = {"false_alarms": options.false_alarms, "machine_id": options.machine_id, "machine": machine}
    return local.predict(model, files, explain=options.explain, **asked)


def serve(options: argparse.Namespace) -> None:
    """Serve the exported models of a folder with the APIs of TensorFlow Serving: HTTP and, optionally, gRPC."""
    terminal.import_tensorflow(for_serving=True)
    try:
        from ganad_tf.serving import access, limits, logs, server
        from ganad_tf.serving.models import repository
    except ModuleNotFoundError as error:
        if error.name == "resource":  # of the standard library, on Unix only
            raise ConfigError("`ganad serve` needs Linux or macOS.") from error
        raise ConfigError(
            f"`ganad serve` needs {error.name}; install the extra: pip install 'ganad_tf[serve]'."
        ) from error
    if options.tls_key and not options.tls_cert:
        raise ConfigError("Expected --tls-cert with --tls-key.")
    if options.log_format == "json":
        logs.write_json()
    given = vars(options).items()
    prefix = "limit_"
    who = access.Access(access.read_token(options.token_file) if options.token_file else None, options.cors)
    tls = access.tls(options.tls_cert, options.tls_key) if options.tls_cert else None
    chosen = {"name": options.model_name, "policy": options.versions, "most_loaded": options.loaded}
    project = projects.Project(options.folder)
    folder = project.exported if project.exists() else options.folder
    server.serve(
        repository.Repository(folder, **chosen),
        host=options.host,
        port=options.port,
        poll_seconds=options.poll,
        limits=limits.Limits(**{key.removeprefix(prefix): value for key, value in given if key.startswith(prefix)}),
        access=who,
        tls=tls,
        has_access_log=options.access_log,
        other_servers=[] if options.grpc_port is None else [_grpc(options, who)],
    )


def _grpc(options: argparse.Namespace, who: "access.Access") -> "server.MakeServer":
    """Constructor of TensorFlow Serving's gRPC API for a service."""
    try:
        from ganad_tf.serving.grpc import server as grpc_server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--grpc-port needs {error.name}; install the extra: pip install 'ganad_tf[grpc]'."
        ) from error
    tls = grpc_server.tls_credentials(options.tls_cert, options.tls_key) if options.tls_cert else None
    address = {"host": options.host, "port": options.grpc_port}
    watched = {"has_access_log": options.access_log}
    return partial(grpc_server.GrpcServer, **address, access=who, credentials=tls, **watched)
