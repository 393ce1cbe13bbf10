"""A machine type's run: the noun that every stage takes."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from ganad_tf.clips import Listing
from ganad_tf.config import Config, Mode


@dataclass(frozen=True)
class MachineRun:
    """One machine type of an experiment in one mode: its settings and its clips.

    The directories have an owner each: `cache.directory.Cache`, `scoring.model_directory.ModelDirectory` and
    `results.directory.ResultDirectory` are made of a run.

    Attributes:
      config: The experiment as it is for this machine type (`Config.for_machine`).
      listing: The machine type's clips.
      mode: `dev` or `eval`.
    """

    config: Config
    listing: Listing
    mode: Mode

    @property
    def machine(self) -> str:
        """Machine type."""
        return self.listing.machine

    def with_config(self, config: Config) -> "MachineRun":
        """The same clips with other settings."""
        return dataclasses.replace(self, config=config)

    def score_variants(self) -> tuple["MachineRun", ...]:
        """Runs whose scores are written: this one and, where its scorer is another, that of the paper's score."""
        return tuple(self.with_config(config) for config in self.config.score_variants())


def machine_runs(config: Config, listings: Iterable[Listing], mode: Mode) -> list[MachineRun]:
    """One run per listed machine type, each with that machine type's settings."""
    return [MachineRun(config.for_machine(listing.machine), listing, mode) for listing in listings]
