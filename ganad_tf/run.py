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
    """

    config: Config
    listing: Listing
    mode: Mode

    @property
    def machine(self) -> str:
        """Machine type."""
        return self.listing.machine

    def with_config(self, config: Config) -> "MachineRun":
        """A run of the same clips with other settings."""
        return dataclasses.replace(self, config=config)

    def score_variants(self) -> tuple["MachineRun", ...]:
        """Runs whose scores are written: this one and, unless it is the same, the run with the paper's score."""
        return tuple(self.with_config(config) for config in self.config.score_variants())


def machine_runs(config: Config, listings: Iterable[Listing], mode: Mode) -> list[MachineRun]:
    """One run per listing, each with the settings of its machine type."""
    return [MachineRun(config.for_machine(listing.machine), listing, mode) for listing in listings]
