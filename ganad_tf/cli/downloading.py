"""The verb `download`: public data sets into the folders that a configuration names."""

import argparse
import json
import logging
from pathlib import Path
from urllib.parse import urlsplit

from ganad_tf.cli import interrupts, terminal
from ganad_tf.download import catalogue, plan, seven_zip
from ganad_tf.download.catalogue import Part
from ganad_tf.download.fetch import Source, fetch
from ganad_tf.download.manifest import NAME, Manifest
from ganad_tf.download.plan import Plan, Selection
from ganad_tf.download.record import Record
from ganad_tf.errors import ConfigError
from ganad_tf.files import lock

logger = logging.getLogger(__name__)


def download(options: argparse.Namespace) -> None:
    """Downloads the files of a data set that are not here yet, and prints settings for its recordings."""
    data_set = catalogue.find(options.name)
    _refuse_options(options)
    selection = Selection(options.mode, tuple(options.machine), tuple(options.snr))
    source = Source(options.source, options.mirror)
    known, read = Manifest(options.root), {}
    if not options.list:
        plan.refuse_mixed(data_set, known)

    def record(part: Part) -> Record:
        read[part.key] = known.record(part.key) or source.read(part)
        return read[part.key]

    chosen = plan.make(data_set, selection, record)
    if options.list:
        _print_list(chosen)
        return
    _refuse_impossible(chosen, known, options)
    with lock.exclusive(options.root / NAME):
        manifest = Manifest(options.root)
        for key in read.keys() - manifest.records.keys():
            manifest.add_record(key, read[key])
        _fetch(chosen, manifest, source, keep=options.keep)
    _print_settings(chosen, options.root)


def _refuse_options(options: argparse.Namespace) -> None:
    """Refuses folders that are none, and a mirror that is no address."""
    if options.root.exists() and not options.root.is_dir():
        raise ConfigError(f"Expected a folder after --root. Received: {options.root}, a file.")
    if options.source is not None and not options.source.is_dir():
        raise ConfigError(f"Expected a folder of downloaded files after --from. Received: {options.source}.")
    parts = urlsplit(options.mirror or "https://zenodo.org")
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
        raise ConfigError("Expected http[s]://HOST[:PORT][/PATH] after --mirror, without user, password or `?`.")


def _refuse_impossible(chosen: Plan, manifest: Manifest, options: argparse.Namespace) -> None:
    """Refuses work that would fail after hours: without py7zr, or on a disk without room."""
    left = chosen.left(manifest)
    if any(job.name.endswith(".7z") for job in left):
        seven_zip.refuse_missing_library()
    if left:
        plan.refuse_full_disk(options.root, left, keep=options.keep, has_archives=options.source is not None)


def _fetch(chosen: Plan, manifest: Manifest, source: Source, *, keep: bool) -> None:
    name, left = chosen.data_set.name, chosen.left(manifest)
    total = sum(job.size for job in left)
    if left:
        logger.info("%s: %d files, %s", name, sum(len(job.files) for job in left), plan.in_words(total))
    with terminal.byte_bar(name, total) as advance:
        fetch(chosen.jobs, manifest, source, keep=keep, advance=advance, check=interrupts.check)
    done = "verified and unpacked" if left else "everything is here already,"
    logger.info("%s: %s in %s", name, done, manifest.root)


def _print_list(chosen: Plan) -> None:
    files = [(job, file) for job in chosen.jobs for file in job.files]
    width = max([len("file"), *(len(file.name) for _, file in files)])
    print(f"{'part':<21}{'record':<11}{'file':<{width}}  {'size':>8}")
    for job, file in files:
        size = "unknown" if file.size is None else plan.in_words(file.size)
        print(f"{job.part.name:<21}{job.part.record or '-':<11}{file.name:<{width}}  {size:>8}")
    print(f"{len(files)} files, {plan.in_words(sum(job.size for job in chosen.jobs))}")
    licences = {name: licence or chosen.data_set.sheet.licence for name, licence in chosen.licences.items()}
    print("licence: " + "; ".join(f"{name} {licence or 'not stated'}" for name, licence in licences.items()))
    print(f"cite: {chosen.data_set.sheet.citation}")


def _print_settings(chosen: Plan, root: Path) -> None:
    """Prints a configuration for the recordings, with the next command as a comment."""
    name = chosen.data_set.name
    folders = {job.part.mode or "dev": job.part.folder or job.part.top for job in chosen.jobs if job.is_archive}
    print(f"# Save these lines as {name}.yaml, then: ganad list {name}.yaml")
    for mode, folder in folders.items():
        print(f"{mode}_directory: {json.dumps(str(root.absolute() / folder))}")
    for kind in ("cache", "model", "result"):  # other data sets have machine types of the same names
        print(f"{kind}_directory: ./{kind}/{name}")
    print(f"dataset: {{name: {name}}}")
