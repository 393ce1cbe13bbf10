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
from ganad_tf.exporting import (
    examples,
    fleet_arrays,
    fleet_settings,
    metadata,
    publishing,
    savedmodel,
    serving_files,
    verify,
)
from ganad_tf.exporting.examples import Example
from ganad_tf.exporting.fleet_graph import FleetScorer
from ganad_tf.exporting.graph import Member
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
      members: One detector of any machine for each member of the ensemble, whose layers are traced.
      first: The first machine's system.
      verified: Some systems, with clips and their live scores.
    """

    machines: list[str] = field(default_factory=list)
    arrays: list[dict[str, np.ndarray]] = field(default_factory=list)
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    first: TrainedSystem | None = None
    verified: list[tuple[TrainedSystem, Example]] = field(default_factory=list)


def export(runs: Sequence[MachineRun], name: str, *, longest_seconds: float = savedmodel.LONGEST_SECONDS) -> Path:
    """Exports the detectors of machines of one configuration as one model.

    The graph is that of one machine, and the arrays of all are stacked in it. It has no signature `explain`.

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
        fewer training clips; if they need machine IDs; or if exported scores differ from live ones.
    """
    model = Path(runs[0].config.export_directory, name)
    fleet_settings.refuse_others(runs)
    labels = fleet_settings.labels_in_use(runs)
    with publishing.no_empty_folders(model):
        atomic.check_writable(model / "1")
        fleet = _read(runs, labels, longest_seconds)
        fleet_arrays.lend(fleet.arrays)
        _refuse_other_shapes(fleet)
        first = fleet.first
        assert first is not None
        longest = savedmodel.longest_samples(first, longest_seconds)
        members = [fleet.members[label] for label in labels]
        with atomic.temporary_directory(model / "new") as draft:
            graph = FleetScorer(first.config, members, fleet.machines, fleet.arrays, longest_samples=longest)
            fleet.arrays.clear()
            savedmodel.save(graph, draft, variables=graph.stacked)
            entries = metadata.collect(first, name)
            entries |= {"machine": f"{len(runs)} machines", "fleet": fleet.facts, "results": None}
            entries["input"] |= {"longest_samples": longest, "machines": fleet.machines, "members": labels}
            entries["threshold"] |= {"value": None}
            metadata.write(draft / METADATA, entries)
            with tempfile.TemporaryDirectory() as scratch:
                difference = verify.verify_each(draft, fleet.verified, Path(scratch), is_fleet=True)
            entries |= {"largest_difference_from_live": difference}
            version = publishing.publish(draft, model, partial(metadata.write, draft / METADATA, entries))
    serving_files.write(Path(first.config.export_directory))
    logger.info("%d machines: exported to %s, within %.1e of the live scores", len(runs), version, difference)
    return version


def _read(runs: Sequence[MachineRun], labels: Sequence[str], longest_seconds: float) -> _Fleet:
    """Reads the detectors one after another; only the arrays of most are kept."""
    fleet = _Fleet()
    verified = set(evenly_spread(len(runs), MOST_VERIFIED))
    for number, run in enumerate(runs):
        system = gather(run)
        fleet_settings.refuse_unsuitable(system)
        fleet.machines.append(run.machine)
        fleet.arrays.append(arrays_of(system, labels))
        fleet.facts[run.machine] = facts_of(system)
        fleet.first = fleet.first or system
        fleet.members = fleet_settings.members_by_label(system) | fleet.members
        if number in verified:
            clips = examples.example_clips(system, savedmodel.longest_samples(system, longest_seconds))
            fleet.verified += [(system, example) for example in clips]
    return fleet


def arrays_of(system: TrainedSystem, labels: Sequence[str]) -> dict[str, np.ndarray]:
    """`fleet_arrays.of_machine` of a system, with the members of that fleet."""
    members = fleet_settings.members_by_label(system)
    calibration = system.normal_scores().calibration
    return fleet_arrays.of_machine(
        system.config, [members.get(label) for label in labels], system.threshold, calibration
    )


def facts_of(system: TrainedSystem) -> dict[str, Any]:
    """Entries of `ganad.json` about one machine of a fleet."""
    return {
        "threshold": system.threshold,
        "results": metadata.results_of(system.run),
        "weights": system.config.ensemble.weights,
        "members": [
            {"training_data": member.model.record["cache"], "weights_sha256": member.model.weights_checksum()}
            for member in system.members
        ],
    }


def _refuse_other_shapes(fleet: _Fleet) -> None:
    first = {name: array.shape for name, array in fleet.arrays[0].items()}
    others: dict[str, str] = {}
    for machine, arrays in zip(fleet.machines, fleet.arrays, strict=True):
        own = {name: array.shape for name, array in arrays.items()}
        if own != first:
            others[machine] = next(name for name in first | own if first.get(name) != own.get(name))
    without = [machine for machine, name in others.items() if name.startswith(fleet_arrays.LIMITS)]
    if without:
        raise ExportError(
            "Expected recording conditions of all machines of a fleet, or of none. Received: "
            f"{fleet_settings.names(without)}, which differ from {fleet.machines[0]} in that; `ganad train` adds them "
            "without training again."
        )
    if others:
        raise ExportError(
            "Expected machines of a fleet with equally many training clips and weights. Received: for "
            f"{fleet_settings.names(list(others))} `{next(iter(others.values()))}` in another shape than for "
            f"{fleet.machines[0]}; export them as another fleet, with --machine."
        )
