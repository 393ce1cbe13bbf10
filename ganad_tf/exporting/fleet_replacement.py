"""The verb `export --fleet --replace`: one trained machine → its rows in the newest version of a fleet.

The graph stays as it is, and the models of the other machines are not needed.
"""

import logging
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import config as configuration
from ganad_tf.config import reader
from ganad_tf.errors import DataError, ExportError
from ganad_tf.exporting import examples, fleet_arrays, fleet_settings, metadata, publishing, trained_system, verify
from ganad_tf.exporting.fleet import arrays_of, facts_of
from ganad_tf.exporting.portable import strip_private_paths
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.files import atomic, tensorflow_errors
from ganad_tf.run import MachineRun
from ganad_tf.serving.models import metadata as exported
from ganad_tf.serving.models.versions import METADATA, newest

logger = logging.getLogger(__name__)

_VARIABLES = "variables"  # folder and name of a SavedModel's arrays
_CHECKSUMS = "fingerprint.pb"  # of those arrays; not needed to load a SavedModel


def replace(run: MachineRun, name: str) -> Path:
    """Exports a fleet in which one machine is replaced.

    Args:
      run: Run of the machine; some of its clips verify the export.
      name: Name of the fleet.

    Returns:
      Folder of the new version.

    Raises:
      DataError: If there is no fleet of that name, a file is missing or can't be read, or the folder can't be written.
      ConfigError: If the fleet, or the detector, was exported or trained with different settings.
      ExportError: If the fleet lacks the machine or a member of its ensemble, the arrays have other shapes, or the
        exported scores differ from the live ones.
    """
    model = Path(run.config.export_directory, name)
    present = newest(model)
    entries = exported.read(present / METADATA, lambda entries: (entries["input"]["members"], entries["fleet"]))
    _refuse_others(run, present, entries)
    atomic.check_writable(model / "1")
    system = trained_system.gather(run)
    fleet_settings.refuse_unsuitable(system)
    arrays = arrays_of(system, entries["input"]["members"])
    row = entries["input"]["machines"].index(run.machine)
    clips = examples.example_clips(system, entries["input"]["longest_samples"])
    with atomic.temporary_directory(model / "new") as draft:
        _write(present, draft, row, arrays, run.machine)
        entries["exported"] = datetime.now(UTC).isoformat(timespec="seconds")
        entries["fleet"][run.machine] = strip_private_paths(facts_of(system), Path.cwd())
        metadata.write(draft / METADATA, entries)
        difference = _verified(draft, system, clips)
        entries["largest_difference_from_live"] = max(difference, entries["largest_difference_from_live"])
        del entries["version"]
        version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, entries))
    logger.info("%s: replaced in %s, within %.1e of the live scores", run.machine, version, difference)
    return version


def _refuse_others(run: MachineRun, present: Path, entries: Mapping[str, Any]) -> None:
    """Refuses a machine that can't take a place in the fleet."""
    machines, labels = entries["input"]["machines"], entries["input"]["members"]
    if run.machine not in machines:
        raise ExportError(
            f"Expected a machine of the fleet {present} to be replaced, {fleet_settings.names(machines)}. Received: "
            f"{run.machine}; export the whole fleet again to add one."
        )
    recorded = configuration.from_mapping(entries["config"], source=str(present / METADATA))
    advice = "export the whole fleet again"
    subject = f"The fleet {present}"
    reader.refuse_other_settings(
        subject, fleet_settings.settings_of(recorded), fleet_settings.settings_of(run.config), advice
    )
    others = [label for label in run.config.ensemble.labels() if label not in labels]
    if others:
        raise ExportError(
            f"Expected members of the fleet {present}, {', '.join(labels)}. Received: for {run.machine} "
            f"{', '.join(others)}, which had no weight for any machine; {advice}."
        )


def _write(present: Path, draft: Path, row: int, arrays: Mapping[str, np.ndarray], machine: str) -> None:
    """Writes the SavedModel `present` with other values in one row of its stacked variables."""
    try:
        loaded = tf.saved_model.load(str(present))
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise DataError(f"The fleet in {present} can't be loaded ({error}); export the whole fleet again.") from error
    _refuse_other_shapes(loaded.stacked, arrays, machine)
    for name, variable in loaded.stacked.items():
        if name in arrays:
            variable[row].assign(arrays[name])
    shutil.copytree(
        present,
        draft,
        ignore=shutil.ignore_patterns(_VARIABLES, _CHECKSUMS, METADATA.parts[0]),
        dirs_exist_ok=True,
    )
    with tensorflow_errors.as_oserror():
        tf.train.Checkpoint(loaded).write(str(draft / _VARIABLES / _VARIABLES))


def _refuse_other_shapes(stacked: Mapping[str, tf.Variable], arrays: Mapping[str, np.ndarray], machine: str) -> None:
    own = {name: array.shape for name, array in arrays.items() if not fleet_arrays.is_count(name)}
    of_fleet = {name: tuple(variable.shape[1:]) for name, variable in stacked.items()}
    without = {name for name in of_fleet if fleet_arrays.is_of_member(name)} - own.keys()  # members of weight 0
    others = [name for name in sorted((of_fleet | own).keys() - without) if own.get(name) != of_fleet.get(name)]
    if others:
        raise ExportError(
            "Expected as many training clips and weights as the machines of the fleet have. Received: for "
            f"{machine} `{others[0]}` in another shape; export the fleet again."
        )


def _verified(draft: Path, system: TrainedSystem, clips: list[examples.Example]) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        return verify.verify_each(draft, [(system, clip) for clip in clips], Path(scratch), is_fleet=True)
