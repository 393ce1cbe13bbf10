"""The verb `export`: a trained detector → `exported_models/<name>/<version>/`.

A version appears under its number when it has been verified; what is there is never overwritten.
"""

import json
import logging
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import atomic, audio, evaluation, preparation, records, trained
from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode, to_dict
from ganad_tf.errors import DataError
from ganad_tf.exporting import gathering, serving_files, verification
from ganad_tf.exporting.gathering import Gathered
from ganad_tf.exporting.graph import SoundScorer
from ganad_tf.exporting.verification import N_CLIPS, Example
from ganad_tf.serving.versions import METADATA, next_version

logger = logging.getLogger(__name__)


def export(config: Config, name: str, listing: Listing, mode: Mode) -> Path:
    """Exports one machine type's detector, or an ensemble of them.

    Args:
      config: The experiment, as it is for this machine type.
      name: What the model is called.
      listing: The machine type's clips; some are scored to verify the export.
      mode: `dev` or `eval`.

    Returns:
      The folder of the new version.

    Raises:
      DataError: If something is missing, can't be read, or the folder can't be written.
      ConfigError: If the detector was trained with other settings.
      ExportError: If members don't fit together, or the exported model scores otherwise than the live one.
    """
    model = Path(config.export_directory, name)
    atomic.check_writable(model / "1")
    gathered = gathering.gather(config, listing, mode)
    examples = _examples(gathered, listing, mode)
    version = next_version(model)
    with atomic.new_directory(model / str(version)) as temporary:
        _save(gathered.graph(), temporary)
        notes = _metadata(gathered, name, listing.machine, version)
        _write_notes(temporary, notes)
        with tempfile.TemporaryDirectory() as scratch:
            difference = verification.verify(temporary, gathered, examples, Path(scratch))
        _write_notes(temporary, notes | {"largest_difference_from_live": difference})
    serving_files.write(Path(config.export_directory))
    logger.info("%s: exported to %s, within %.1e of the live scores", listing.machine, model / str(version), difference)
    return model / str(version)


def _save(graph: SoundScorer, directory: Path) -> None:
    """Writes a SavedModel with the functions as they are traced, weights included."""
    functions = {name: function.get_concrete_function() for name, function in graph.functions.items()}
    tf.saved_model.save(tf.Module(), str(directory), {**functions, "serving_default": functions["score_waveform"]})


def _examples(gathered: Gathered, listing: Listing, mode: Mode) -> list[Example]:
    """Up to eight of the recordings, spread over all of them, repeated where there are fewer."""
    config = gathered.config
    split = "test" if listing.of("test") else "train"
    if config.dataset.name == "imported":
        entries = preparation.current_cache(config, listing, mode, split).entries
        log_mels = [
            values for _, values in records.read(config.cache_path(mode, listing.machine, split), _spread(entries))
        ]
        return verification.from_log_mels(gathered, _filled(log_mels))
    waveforms = []
    for clip in _spread(listing.need(split)):
        try:
            waveforms.append(audio.read(listing.directory / clip.file, config.audio))
        except DataError:
            if config.on_bad_clip == "error":
                raise
    if not waveforms:
        raise DataError(f"Expected {split} clips of {listing.machine} that can be read, to verify the export by.")
    return verification.from_waveforms(gathered, _filled(waveforms))


def _spread(items: Sequence[Any]) -> list[Any]:
    places = np.linspace(0, len(items) - 1, min(N_CLIPS, len(items))).round().astype(int)
    return [items[place] for place in places]


def _filled(clips: list[np.ndarray]) -> list[np.ndarray]:
    return [clips[number % len(clips)] for number in range(N_CLIPS)]


def _metadata(gathered: Gathered, name: str, machine: str, version: int) -> dict[str, Any]:
    """What one may want to know of an artifact years later."""
    config, model = gathered.config, gathered.members[0].model
    records_ = [member.model.record for member in gathered.members]
    return {
        "name": name,
        "version": version,
        "machine": machine,
        "exported": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": to_dict(config),
        "input": {
            "sample_rate_hz": config.audio.sample_rate,
            "fewest_samples": gathered.graph().fewest_samples,
            "mels": model.n_mels,
        },
        "threshold": {
            "value": gathered.threshold,
            "method": config.threshold.method,
            "quantile": config.threshold.quantile,
            "n_normal_training_scores": int(gathered.training.shape[1]),
        },
        "members": [
            {
                "detector": record["config"]["model"],
                "scorer": member.fitted.settings.in_use(),
                "config": record["config"],
                "training_data": record["cache"],
                "n_clips": record["n_clips"],
            }
            for record, member in zip(records_, gathered.members, strict=True)
        ],
        "results": _results(config, machine),
        "seeds": [record["config"]["seed"] for record in records_],
        "versions": trained.versions(),
        "git_commit": _git_commit(),
    }


def _results(config: Config, machine: str) -> dict[str, float] | None:
    """AUC and pAUC of the result file, if there is one."""
    try:
        areas = evaluation.read_areas(config.result_path)
    except DataError:
        return None
    found = areas.get(machine)
    return found and {"auc": found.auc, "pauc": found.pauc, "max_fpr": config.max_fpr}


def _git_commit() -> str | None:
    """Of this package, where it runs from a checkout."""
    package = Path(__file__).parents[2]
    if not (package / ".git").exists() or not shutil.which("git"):
        return None
    done = subprocess.run(["git", "-C", package, "rev-parse", "HEAD"], check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


def _write_notes(directory: Path, notes: dict[str, Any]) -> None:
    path = directory / METADATA
    path.parent.mkdir(exist_ok=True)
    atomic.write_text(path, json.dumps(notes, indent=1))
