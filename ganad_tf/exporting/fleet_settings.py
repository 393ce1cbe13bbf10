"""Settings of a fleet's machines: which of them fit into one model, and which members of an ensemble it has."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ganad_tf.config import Config
from ganad_tf.errors import ExportError
from ganad_tf.exporting.graph import Member, known_machine_ids
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.run import MachineRun

MOST_NAMED = 10  # machines in a message
ALONE = "detector"  # label of the detector of machines without an ensemble


def settings_of(config: Config) -> dict[str, Any]:
    """Settings in which machines of a fleet agree: those of scores and decisions, but for the weights of members."""
    all_members = dataclasses.replace(config.ensemble, weights=None)
    unweighted = dataclasses.replace(config, ensemble=all_members)
    threshold = {f"threshold.{key}": value for key, value in dataclasses.asdict(config.threshold).items()}
    return unweighted.score_settings() | threshold | {"recording_check": config.checks_recordings}


def refuse_others(runs: Sequence[MachineRun]) -> None:
    """Refuses machines that don't fit into one model, by their settings.

    Raises:
      ExportError: Names the machines.
    """
    first = runs[0]
    folders = [run.machine for run in runs if any(isinstance(member, str) for member in run.config.ensemble.members)]
    if folders:
        raise ExportError(
            "Expected ensembles in a fleet whose members are sections of the configuration. Received: result "
            f"directories as members for {names(folders)}."
        )
    agreed = settings_of(first.config)
    others = [run.machine for run in runs if settings_of(run.config) != agreed]
    if others:
        raise ExportError(
            "Expected machines of one configuration in a fleet. Received: other settings than for "
            f"{first.machine} for {names(others)}; export them as another fleet, with --machine."
        )
    others = [run.machine for run in runs if run.config.ensemble.labels() != first.config.ensemble.labels()]
    if others and first.config.ensemble.combine == "max":
        raise ExportError(
            "Expected the same members for all machines of a fleet with `ensemble.combine: max`. Received: weights of "
            f"0 of other members than for {first.machine} for {names(others)}; export them as another fleet, with "
            "--machine."
        )


def refuse_unsuitable(system: TrainedSystem) -> None:
    """Refuses a system whose scores depend on machine IDs.

    Raises:
      ExportError: Names its machine IDs.
    """
    known = known_machine_ids(system.members)
    if known:
        raise ExportError(
            f"Expected one score per clip in a fleet. Received: {system.run.machine}, whose scores depend on its "
            f"machine IDs, {names(known)}."
        )


def labels_in_use(runs: Sequence[MachineRun]) -> list[str]:
    """Names of the members that have a weight for any machine, in the order of the configuration."""
    used = {label for run in runs for label in run.config.ensemble.labels()}
    every = dataclasses.replace(runs[0].config.ensemble, weights=None).labels()
    return [label for label in every if label in used] or [ALONE]


def members_by_label(system: TrainedSystem) -> dict[str, Member]:
    """The members of a system, which have a weight, by name."""
    return dict(zip(system.config.ensemble.labels() or [ALONE], system.members, strict=True))


def names(of: Sequence[str]) -> str:
    """Up to `MOST_NAMED` names, and the number of the others."""
    listed = ", ".join(of[:MOST_NAMED])
    return listed if len(of) <= MOST_NAMED else f"{listed} and {len(of) - MOST_NAMED} others"
