"""The origin of scores: paths of recordings, cache and detector, and checks that none has changed since."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ganad_tf import config as configuration
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Manifest
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.config.sections import Storage
from ganad_tf.errors import DataError
from ganad_tf.results.directory import SELECTION, MachineResults
from ganad_tf.run import MachineRun
from ganad_tf.scoring import training_record


def read(results: MachineResults) -> dict[str, Any]:
    """Provenance of the scores of one machine type.

    Raises:
      DataError: If the scores are incomplete, or were made by an earlier version.
    """
    origin = results.read_origin()
    if not origin or "config" not in origin:
        raise DataError(
            f"Expected the configuration in {results.origin}, but an earlier version wrote it; run `ganad score` again."
        )
    return _relocated(origin, results.directory)


def config_of(origin: dict[str, Any], results: Path) -> Config:
    """Configuration of the run, its relative paths resolved against the folder that the command ran in."""
    mapping = dict(origin["config"])
    for key in ("dev_directory", "eval_directory", "cache_directory", "model_directory", "export_directory"):
        mapping[key] = str(_resolve(origin, mapping[key]))
    if mapping["ensemble"]["members"]:
        members = [
            str(_resolve(origin, member)) if isinstance(member, str) else member
            for member in mapping["ensemble"]["members"]
        ]
        mapping["ensemble"] = {**mapping["ensemble"], "members": members}
    mapping["result_directory"] = str(results)
    return configuration.from_mapping(mapping, source=str(results))


def detector_of(origin: dict[str, Any]) -> Path | None:
    """Model directory; None for an ensemble."""
    return _resolve(origin, origin["detector"]) if "detector" in origin else None


def described_by(run: MachineRun, origin: dict[str, Any]) -> Path | None:
    """Directory of the detector whose training clips describe the healthy machine; an ensemble's first member's."""
    for _, _, member in _origins_of_members(run):  # `cache_of` takes this one's cache too
        return detector_of(member)
    return detector_of(origin)


def members_of(origin: dict[str, Any]) -> dict[str, str]:
    """Result directories of an ensemble's members, or their names, with the digests of the combined scores."""
    directories = [member for member in origin["config"]["ensemble"]["members"] if isinstance(member, str)]
    return {
        str(_resolve(origin, member)) if member in directories else member: digest
        for member, digest in origin.get("members", {}).items()
    }


def training_of(origin: dict[str, Any]) -> dict[str, Any] | None:
    """Training record of the detector; None for an ensemble.

    Raises:
      DataError: If it can't be read, or the detector is no longer the one that made the scores.
    """
    detector = detector_of(origin)
    if detector is None:
        return None
    path = detector / training_record.FILE
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        recorded = dict(record["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"Can't read the training record {path}: {error}.") from error
    scored = {key: value for key, value in origin["settings"].items() if not key.startswith("scorer.")}
    if "trained_on" in origin:
        scored |= {"recordings": origin["trained_on"]}
        recorded |= {"recordings": record.get("cache")}
    different = sorted(key for key in scored.keys() | recorded.keys() if scored.get(key) != recorded.get(key))
    if different:
        raise DataError(
            f"The detector in {detector} is not the one that made the scores, which had "
            f"`{different[0]}: {scored.get(different[0])}`; run `ganad score` again."
        )
    return record


def trainings_of_members(run: MachineRun) -> dict[str, dict[str, Any]]:
    """Training records of an ensemble's members, by name; of those whose detectors are there.

    Raises:
      DataError: As `training_of`.
    """
    trainings = {}
    for label, _, member in _origins_of_members(run):
        detector = detector_of(member)
        if detector and detector.is_dir() and (record := training_of(member)):
            name = Path(label).name
            trainings[label if name in trainings else name] = record
    return trainings


def selection_of(run: MachineRun) -> str:
    """Settings that `ganad run FOLDER` has chosen, and why, in words; empty if it has not.

    Raises:
      DataError: If its table of candidates can't be read.
    """
    path = Path(run.config.result_directory).parent / SELECTION
    if not path.is_file():
        return ""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            rows = [row for row in csv.DictReader(stream) if (row["machine"], row["chosen"]) == (run.machine, "yes")]
        return f"{rows[0]['candidate']}. {rows[0].get('why') or ''}".rstrip() if rows else ""
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        raise DataError(f"Can't read {path} ({error}); `ganad run FOLDER --fresh` writes it anew.") from error


def cache_of(run: MachineRun, origin: dict[str, Any]) -> tuple[Cache, Manifest]:
    """Cache of the test clips and its manifest; for an ensemble, those of the first member that names its cache.

    Raises:
      DataError: If there is no cache, or it has changed since the clips were scored.
    """
    for _, results, member in _origins_of_members(run):
        return cache_of(run.with_config(config_of(member, results)), member)
    cache = Cache(run, "test")
    cached = cache.load()
    if "cache" in origin and not cached.has_digest(origin["cache"]):
        raise DataError(f"The cache in {cache.path} has changed since the clips were scored; run `ganad score` again.")
    return cache, cached


def check_recordings(run: MachineRun, scored: Sequence[Clip], cached: Manifest) -> None:
    """Refuses recordings that have changed since they were scored.

    Raises:
      DataError: If any has; names one of them.
    """
    changed = sorted(clip.key for clip in set(scored) - {entry.clip for entry in cached.entries})
    if changed:
        has_directories = any(isinstance(member, str) for member in run.config.ensemble.members)
        which = "on its members, then on the ensemble" if has_directories else "again"
        raise DataError(
            f"The recordings of {run.machine} have changed since they were scored ({len(changed)} of {len(scored)}, "
            f"such as {changed[0]}); run `ganad score` {which}."
        )


def _origins_of_members(run: MachineRun) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    """Label, result directory and provenance of an ensemble's members, without those of scores from elsewhere."""
    for label, folder in zip(run.config.ensemble.labels(), run.config.member_directories(), strict=True):
        results = MachineResults(Path(folder), run.mode, run.machine)
        origin = results.read_origin()
        if origin and "config" in origin:
            yield label, results.directory, _relocated(origin, results.directory)


def _relocated(origin: dict[str, Any], results: Path) -> dict[str, Any]:
    """Provenance in a copied project: its working directory becomes the folder of the copy.

    A copy has its results and recordings at the relative paths of the configuration.
    """
    relative = Path(origin["config"]["result_directory"])
    data = [Path(origin["config"][key]) for key in ("dev_directory", "eval_directory")]
    here = results.resolve()
    is_original = (Path(origin["working_directory"]) / relative).resolve() == here
    if is_original or ".." in relative.parts or here.parts[-len(relative.parts) :] != relative.parts:
        return origin
    folder = here.parents[len(relative.parts) - 1]
    has_data = any((folder / path).is_dir() for path in data if not path.is_absolute())
    return {**origin, "working_directory": str(folder)} if has_data else origin


def _resolve(origin: dict[str, Any], path: str) -> Path:
    """A path relative to the folder that the command ran in; to the current one if that folder no longer exists."""
    storage = Storage(**origin["config"].get("storage", {}))
    directory, path = Path(origin["working_directory"]), storage.local(path)
    return directory / path if directory.is_dir() else Path(path)
