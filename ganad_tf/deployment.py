"""The verbs that make and use exported models: `export`, `predict`, `serve`. Prints, as only `cli` does."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from ganad_tf import arguments, console, datasets
from ganad_tf import config as configuration
from ganad_tf.errors import ConfigError, DataError, GanadError
from ganad_tf.serving import client, predictions


def export(options: argparse.Namespace) -> None:
    """Makes one model per machine type that takes sound and returns anomaly scores."""
    config = configuration.load(options.config, options.set)
    listings = datasets.list_clips(config, options.mode, options.machine)
    stem = Path(options.config).stem if options.name is None else options.name
    names = [stem if options.name and len(listings) == 1 else f"{stem}_{listing.machine}" for listing in listings]
    for name in names:
        if not arguments.MODEL_NAME.fullmatch(name):
            raise ConfigError(f"Expected a model's name of letters, digits and `_.-`. Received: {name!r}; set --name.")
    if options.format == "savedmodel" and (options.batch, options.seconds) != (None, None):
        raise ConfigError(
            "Expected --batch and --seconds with another --format: a SavedModel takes clips of any length."
        )
    console.import_tensorflow()
    from ganad_tf.exporting import edge, savedmodel

    for name, listing in zip(names, listings, strict=True):
        what = (config.for_machine(listing.machine), name, listing, options.mode)
        if options.format == "savedmodel":
            print(savedmodel.export(*what))
        else:
            print(edge.export(*what, options.format, batch=options.batch, seconds=options.seconds))


def predict(options: argparse.Namespace) -> None:
    """Scores files by an exported model, in this process or on a server."""
    if client.is_url(options.model):
        found = list(client.predict(options.model, options.files))
    else:
        found = list(_predict_here(Path(options.model), options.files))
    write = {"table": predictions.as_table, "json": predictions.as_json, "csv": predictions.as_csv}[options.form]
    print(write([each for each in found if isinstance(each, predictions.Prediction)]))
    faults = [str(each) for each in found if isinstance(each, GanadError)]
    if faults:
        raise DataError("\n".join(faults))


def _predict_here(model: Path, files: Sequence[Path]) -> Iterator[predictions.Prediction | DataError]:
    """By a model for small boards in its own runtime, by any other in TensorFlow."""
    from ganad_tf.serving import edge

    file = edge.find(model)
    if file:
        with console.silenced():  # LiteRT tells of its delegates
            loaded = edge.EdgeModel(file)
        return edge.predict(loaded, files)
    console.import_tensorflow(for_serving=True)
    from ganad_tf.serving import local

    return local.predict(model, files)


def serve(options: argparse.Namespace) -> None:
    """Serves the exported models of a folder over HTTP, as TensorFlow Serving does."""
    console.import_tensorflow(for_serving=True)
    try:
        from ganad_tf.serving import repository, server, service
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`ganad serve` needs {error.name}; install the extra: pip install 'ganad_tf[serve]'."
        ) from error
    limits = service.Limits(options.max_body_mb, options.queue, options.batch)
    place = {"host": options.host, "port": options.port, "poll_seconds": options.poll}
    chosen = {"name": options.model_name, "policy": options.versions, "most_loaded": options.loaded}
    models = repository.Repository(options.folder, **chosen)
    server.serve(models, **place, limits=limits)
