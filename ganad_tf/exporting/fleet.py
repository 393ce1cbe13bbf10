"""The verb `export --fleet`: trained detectors of many machines → one SavedModel with the input `machine`."""

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.clips import evenly_spread
from ganad_tf.errors import ExportError
from ganad_tf.exporting import examples, fleet_graph, metadata, publishing, savedmodel, serving_files, verify
from ganad_tf.exporting.examples import Example
from ganad_tf.exporting.fleet_graph import FleetScorer
from ganad_tf.exporting.graph import known_machine_ids, recording_limits
from ganad_tf.exporting.trained_system import TrainedSystem, gather
from ganad_tf.files import atomic
from ganad_tf.run import MachineRun
from ganad_tf.serving.models.versions import METADATA

logger = logging.getLogger(__name__)

MOST_VERIFIED = 16  # machines of a fleet whose clips verify the export


@dataclass
class _Fleet:
    """The machines that were read so far.

    Attributes:
      machines: Their names.
      arrays: What differs between them, in that order.
      facts: Threshold and checksums of each, for `ganad.json`.
      first: The first machine's system, whose layers are traced.
      verified: Some systems, with clips and their live scores.
    """

    machines: list[str] = field(default_factory=list)
    arrays: list[dict[str, np.ndarray]] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    first: TrainedSystem | None = None
    verified: list[tuple[TrainedSystem, Example]] = field(default_factory=list)


def export(runs: Sequence[MachineRun], name: str, *, longest_seconds: float = 600.0) -> Path:
    """Exports the detectors of machines of one configuration as one model.

    The graph is that of one machine, and the arrays of all are stacked in it. It has no signature `explain`, and does
    not check recording conditions, which differ between machines.

    Args:
      runs: Runs of the machines; clips of some of them verify the export.
      name: Name of the model.
      longest_seconds: Maximum length of a clip.

    Returns:
      Folder of the new version.

    Raises:
      DataError: If a file is missing or can't be read, or the folder can't be written.
      ConfigError: If a detector was trained with different settings, or `longest_seconds` is out of range.
      ExportError: If machines have other settings than the others, or arrays of other shapes, such as the neighbours of
        fewer training clips; if they are ensembles or need machine IDs; or if exported scores differ from live ones.
    """
    model = Path(runs[0].config.export_directory, name)
    _refuse_other_settings(runs)
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        fleet = _read(runs, longest_seconds)
        _refuse_other_shapes(fleet)
        first = fleet.first
        assert first is not None
        longest = savedmodel.longest_samples(first, longest_seconds)
        (member,) = first.members
        with atomic.temporary_directory(model / "new") as draft:
            graph = FleetScorer(first.config, member, fleet.machines, fleet.arrays, longest_samples=longest)
            fleet.arrays.clear()
            savedmodel.save(graph, draft, variables=graph.stacked)
            entries = metadata.collect(first, name) | {"machine": f"{len(runs)} machines", "fleet": fleet.facts}
            entries["input"] |= {"longest_samples": longest, "machines": fleet.machines, "recording_check": False}
            entries["threshold"] |= {"value": None}
            metadata.write(draft / METADATA, entries)
            with tempfile.TemporaryDirectory() as scratch:
                difference = verify.verify_each(draft, fleet.verified, Path(scratch), is_fleet=True)
            entries |= {"largest_difference_from_live": difference}
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, entries))
    serving_files.write(Path(first.config.export_directory))
    logger.info("%d machines: exported to %s, within %.1e of the live scores", len(runs), version, difference)
    return version


def _read(runs: Sequence[MachineRun], longest_seconds: float) -> _Fleet:
    """Reads the detectors one after another; only the arrays of most are kept."""
    fleet = _Fleet()
    verified = set(evenly_spread(len(runs), MOST_VERIFIED))
    for number, run in enumerate(runs):
        system = gather(run)
        _refuse_unsuitable(system)
        (member,) = system.members
        calibration = system.normal_scores().calibration
        fleet.machines.append(run.machine)
        fleet.arrays.append(fleet_graph.arrays_of(system.config, member, system.threshold, calibration))
        fleet.facts[run.machine] = {
            "threshold": system.threshold,
            "training_data": member.model.record["cache"],
            "weights_sha256": member.model.weights_checksum(),
        }
        fleet.first = fleet.first or system
        if number in verified:
            clips = examples.example_clips(system, savedmodel.longest_samples(system, longest_seconds))
            fleet.verified += [(system, example) for example in clips]
    if any(recording_limits(system.members) for system, _ in fleet.verified):
        logger.warning("a fleet does not check recording conditions: every clip is judged.")
    return fleet


def _refuse_other_settings(runs: Sequence[MachineRun]) -> None:
    first = runs[0]
    ensembles = [run.machine for run in runs if run.config.ensemble.members]
    if ensembles:
        raise ExportError(f"Expected one detector per machine in a fleet. Received: ensembles of {_names(ensembles)}.")
    settings = [run.config.score_settings() | {"threshold": run.config.threshold} for run in runs]
    others = [run.machine for run, own in zip(runs, settings, strict=True) if own != settings[0]]
    if others:
        raise ExportError(
            "Expected machines of one configuration in a fleet. Received: other settings than for "
            f"{first.machine} for {_names(others)}; export them as another fleet, with --machine."
        )


def _refuse_unsuitable(system: TrainedSystem) -> None:
    known = known_machine_ids(system.members)
    if known:
        raise ExportError(
            f"Expected one score per clip in a fleet. Received: {system.run.machine}, whose scores depend on its "
            f"machine IDs, {_names(known)}."
        )


def _refuse_other_shapes(fleet: _Fleet) -> None:
    first = {name: array.shape for name, array in fleet.arrays[0].items()}
    others = {}
    for machine, arrays in zip(fleet.machines, fleet.arrays, strict=True):
        differing = [name for name, array in arrays.items() if first.get(name) != array.shape]
        if differing or arrays.keys() != first.keys():
            others[machine] = differing
    if others:
        name = next(iter(next(iter(others.values()))), "arrays")
        raise ExportError(
            "Expected machines of a fleet with equally many training clips and weights. Received: for "
            f"{_names(list(others))} `{name}` in another shape than for {fleet.machines[0]}."
        )


def _names(machines: Sequence[str], most: int = 10) -> str:
    listed = ", ".join(machines[:most])
    return listed if len(machines) <= most else f"{listed} and {len(machines) - most} others"
