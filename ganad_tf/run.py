"""The run of one machine type: settings, clips and mode, as every stage takes them."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode


@dataclass(frozen=True)
class MachineRun:
    """One machine type of an experiment in one mode: its settings and its clips.

    Each directory of a run has one owner that is constructed from it: `cache.directory.Cache`,
    `scoring.model_directory.ModelDirectory` and `results.directory.ResultDirectory`.

    Attributes:
      config: The experiment's settings for this machine type (`Config.for_machine`).
      listing: The machine type's clips.
      mode: `dev` or `eval`.
      member: Name of the member of an ensemble that this is a run of; empty for a system of its own.
    """

    config: Config
    listing: Listing
    mode: Mode
    member: str = ""

    @property
    def machine(self) -> str:
        """Machine type."""
        return self.listing.machine

    @property
    def title(self) -> str:
        """Machine type and, of an ensemble's member, its name; for messages."""
        return f"{self.machine} {self.member}".rstrip()

    def members(self) -> tuple["MachineRun", ...]:
        """Runs of an ensemble's members that are trained and scored with it."""
        return tuple(
            dataclasses.replace(self, config=config, member=name)
            for name, config in self.config.member_configs().items()
        )

    def systems(self) -> tuple["MachineRun", ...]:
        """Runs that are trained and scored: the members of an ensemble, or else this one."""
        return self.members() if self.config.ensemble.members else (self,)

    def with_config(self, config: Config) -> "MachineRun":
        """A run of the same clips with other settings."""
        return dataclasses.replace(self, config=config)

    def score_variants(self) -> tuple["MachineRun", ...]:
        """Runs whose scores are written: this one and, unless it is the same, the run with the paper's score."""
        return tuple(self.with_config(config) for config in self.config.score_variants())


def machine_runs(config: Config, listings: Iterable[Listing], mode: Mode) -> list[MachineRun]:
    """One run per listing, each with the settings of its machine type."""
    return [MachineRun(config.for_machine(listing.machine), listing, mode) for listing in listings]
