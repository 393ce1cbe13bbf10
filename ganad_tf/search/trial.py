"""One trial: settings of a machine type → values of the objectives, or the reason why there are none."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from ganad_tf import datasets
from ganad_tf.cache.prepare import prepare_cache
from ganad_tf.config import Config, from_mapping
from ganad_tf.config.sections import TensorBoard
from ganad_tf.errors import ConfigError, DataError, GanadError, HaltError
from ganad_tf.files import checksummed
from ganad_tf.run import MachineRun
from ganad_tf.scoring.fit import check_clip_count
from ganad_tf.search.objectives import SPLITS, ShowFit, check_objective, measure
from ganad_tf.search.records import Record
from ganad_tf.search.space import Parameters, with_parameters
from ganad_tf.training.build import build

# Ends of a trial that say something about its settings; another error is a bug, or stands in the way of all trials.
FAILURES = (GanadError, MemoryError, tf.errors.ResourceExhaustedError)

# Keys that the detector is built of.
BUILT = ("audio.", "feature.", "model.", "fit.compile.")


@dataclass(frozen=True)
class Laboratory:
    """The place where trials of one machine type are run.

    Attributes:
      base: The machine type's run with the settings of the file.
      mapping: The file's keys and values, with those of the command line laid over them.
      directory: Directory of the machine type's search.
      caches: Directory of the caches of other features than the file's.
      objectives: Objectives to measure.
      show: Shows the progress of trainings, in the memory that the models before have taken.
    """

    base: MachineRun
    mapping: Mapping[str, Any]
    directory: Path
    caches: Path
    objectives: tuple[str, ...]
    show: ShowFit

    def run_with(self, parameters: Parameters, seed: int) -> MachineRun:
        """The run of a trial: the settings that the file with these parameters gives, in directories of the search.

        Raises:
          ConfigError: If the values can't be used together.
        """
        config = configuration(self.mapping, self.base.machine, {**parameters}, seed)
        listing = self.base.listing
        if any(key.startswith("audio.") for key in parameters):  # which clips a recording has depends on them
            [listing] = datasets.list_clips(config, self.base.mode, [self.base.machine])
        fingerprint = config.feature_fingerprint()
        is_base = fingerprint == self.base.config.feature_fingerprint()
        config = replace(
            config,
            model_directory=str(self._models / checksummed.fingerprint(config.training_settings())),
            cache_directory=self.base.config.cache_directory if is_base else str(self.caches / fingerprint),
            tensorboard=TensorBoard(),
        )
        return replace(self.base, config=config, listing=listing)

    def run_trial(self, number: int, seed: int, parameters: Parameters) -> Record:
        """Runs a trial, or goes on with one that was interrupted.

        Raises:
          HaltError: If a file can't be written, or an object store can't be used.
        """
        begin = time.monotonic()
        try:
            run = self.run_with(parameters, seed)
            self.prepare(run)
            values = measure(run, self.objectives, self.show)
        except HaltError:
            raise
        except FAILURES as error:
            seconds = time.monotonic() - begin
            return Record(number, seed, parameters, "failed", seconds=seconds, error=one_line(error))
        return Record(number, seed, parameters, "finished", values, time.monotonic() - begin)

    def fault(self, parameters: Parameters, seed: int, objective: str, strategy: str) -> str:
        """Reason why a trial can't be run, before any is; empty if it can."""
        try:
            run = self.run_with(parameters, seed)
            if any(key.startswith(BUILT) for key in parameters):
                build(run.config, run.listing.machine_ids)
            check_clip_count(run, run.listing.require_clips("train"))
            for each in (objective, "val_loss") if strategy == "halving" else (objective,):
                check_objective(run, each)
        except (ConfigError, DataError) as error:
            return one_line(error).removeprefix(f"machines.{self.base.machine}: ")
        return ""

    def prepare(self, run: MachineRun) -> None:
        """Brings the caches up to date that the objectives need."""
        for split in sorted({split for name in self.objectives for split in SPLITS[name]}):
            prepare_cache(run, split)

    def forget(self, parameters: Parameters, seed: int) -> None:
        """Removes the detectors of a trial, whose results are kept."""
        try:
            run = self.run_with(parameters, seed)
        except GanadError:  # it never had any
            return
        shutil.rmtree(run.config.model_directory, ignore_errors=True)

    @property
    def _models(self) -> Path:
        return self.directory / "models"


def configuration(mapping: Mapping[str, Any], machine: str, parameters: Parameters, seed: int) -> Config:
    """The configuration of a machine type with parameters of a trial.

    Raises:
      ConfigError: If a value is out of range, or values can't be used together.
    """
    changed = {**with_parameters(mapping, machine, parameters), "seed": seed}
    return from_mapping(changed, source="search.space").for_machine(machine)


def one_line(error: BaseException) -> str:
    """The message of an error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
