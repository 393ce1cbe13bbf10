"""What is kept beside scores: where recordings, cache and detector were, and whether they still are what was scored."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ganad_tf import config as configuration
from ganad_tf.cache import manifest
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Manifest
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.results.directory import MachineResults
from ganad_tf.run import MachineRun
from ganad_tf.scoring import training_record


def read(results: MachineResults) -> dict[str, Any]:
    """What is kept beside the scores of one machine type.

    Raises:
      DataError: If the scores are not complete, or an earlier version made them.
    """
    origin = results.read_origin()
    if not origin or "config" not in origin:
        raise DataError(
            f"Expected the configuration in {results.origin}, but an earlier version wrote it; run `ganad score` again."
        )
    return _here(origin, results.directory)


def config_of(origin: dict[str, Any], results: Path) -> Config:
    """The configuration with its directories where they were when the scores were made."""
    mapping = dict(origin["config"])
    for key in ("dev_directory", "eval_directory", "cache_directory", "model_directory", "export_directory"):
        mapping[key] = str(_from(origin, mapping[key]))
    if mapping["ensemble"]["members"]:
        members = [str(_from(origin, member)) for member in mapping["ensemble"]["members"]]
        mapping["ensemble"] = {**mapping["ensemble"], "members": members}
    mapping["result_directory"] = str(results)
    return configuration.from_mapping(mapping, source=str(results))


def detector_of(origin: dict[str, Any]) -> Path | None:
    """Where the detector is; None for an ensemble."""
    return _from(origin, origin["detector"]) if "detector" in origin else None


def members_of(origin: dict[str, Any]) -> dict[str, str]:
    """Where the members of an ensemble are, and the digests of the scores that were combined."""
    return {str(_from(origin, member)): digest for member, digest in origin.get("members", {}).items()}


def training_of(origin: dict[str, Any]) -> dict[str, Any] | None:
    """What is kept beside the detector; None for an ensemble.

    Raises:
      DataError: If it can't be read, or the detector is another by now than the one that made the scores.
    """
    detector = detector_of(origin)
    if detector is None:
        return None
    path = detector / training_record.FILE
    try:
        record = dict(json.loads(path.read_text(encoding="utf-8")))
        there = dict(record["settings"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"Can't read what is kept of the training in {path}: {error}.") from error
    ours = {key: value for key, value in origin["settings"].items() if not key.startswith("scorer.")}
    if "trained_on" in origin:
        ours, there = ours | {"recordings": origin["trained_on"]}, there | {"recordings": record.get("cache")}
    different = sorted(key for key in ours.keys() | there.keys() if ours.get(key) != there.get(key))
    if different:
        raise DataError(
            f"The detector in {detector} is not the one that made the scores, which had "
            f"`{different[0]}: {ours.get(different[0])}`; run `ganad score` again."
        )
    return record


def cache_of(run: MachineRun, origin: dict[str, Any]) -> tuple[Path, Manifest]:
    """The cache of the test clips, and what is in it; of an ensemble, that of its first member that says where it is.

    Raises:
      DataError: If there is none, or it has changed.
    """
    for member in run.config.ensemble.members:
        results = MachineResults(Path(member), run.mode, run.machine)
        there = results.read_origin()
        if there and "config" in there:
            there = _here(there, results.directory)
            return cache_of(run.with_config(config_of(there, results.directory)), there)
    cache = Cache(run, "test").path
    cached = manifest.load(cache)
    if "cache" in origin and not cached.has_digest(origin["cache"]):
        raise DataError(f"The cache in {cache} has changed since the clips were scored; run `ganad score` again.")
    return cache, cached


def check_recordings(run: MachineRun, scored: Sequence[Clip], cached: Manifest) -> None:
    """Refuses recordings that are others by now than those whose log-mels were scored.

    Raises:
      DataError: Names one of them.
    """
    changed = sorted(clip.file for clip in set(scored) - {entry.clip for entry in cached.entries})
    if changed:
        which = "on its members, then on the ensemble" if run.config.ensemble.members else "again"
        raise DataError(
            f"The recordings of {run.machine} have changed since they were scored ({len(changed)} of {len(scored)}, "
            f"such as {changed[0]}); run `ganad score` {which}."
        )


def _here(origin: dict[str, Any], results: Path) -> dict[str, Any]:
    """What is kept beside scores, in a copy of a project: with the copy's folder for that where the command ran.

    A copy has results and recordings where the configuration says, seen from its own folder.
    """
    below = Path(origin["config"]["result_directory"])
    data = [Path(origin["config"][key]) for key in ("dev_directory", "eval_directory")]
    here = results.resolve()
    is_original = (Path(origin["working_directory"]) / below).resolve() == here
    if is_original or ".." in below.parts or here.parts[-len(below.parts) :] != below.parts:
        return origin
    folder = here.parents[len(below.parts) - 1]
    has_data = any((folder / place).is_dir() for place in data if not place.is_absolute())
    return {**origin, "working_directory": str(folder)} if has_data else origin


def _from(origin: dict[str, Any], path: str) -> Path:
    """A path as it was meant where the command ran; as it is meant here, if that place is gone."""
    there = Path(origin["working_directory"])
    return there / path if there.is_dir() else Path(path)
