"""Synthetic toy machines, written as WAV files in the layout of DCASE 2020 Task 2.

For the demo and for tests, where no recordings are at hand; `synthetic_machines.py` synthesises the sounds, and
`hidden_faults.py` those of four more. Scores on them say nothing about real machines.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from ganad_tf.config import Mode
from ganad_tf.config.reader import nearest
from ganad_tf.config.sections import Dataset, SyntheticData
from ganad_tf.datasets import dcase2020, hidden_faults
from ganad_tf.datasets.base import MachineTypes
from ganad_tf.datasets.synthetic_machines import MACHINES, SAMPLE_RATE, Take, factory, unit_rms
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.files import atomic

logger = logging.getLogger(__name__)

ALL = {name: MACHINES[name] for name in sorted(MACHINES)} | hidden_faults.MACHINES  # in the order of their seeds
MARK = "synthetic.json"  # distinguishes synthetic files from real recordings
LOUDNESS_DB = (-34.0, -22.0)  # range of a clip's random level relative to full scale, healthy or not


def machine_types(directory: Path, mode: Mode, settings: Dataset) -> MachineTypes:
    """The machine types of the DCASE 2020 layout."""
    return dcase2020.machine_types(directory, mode, settings)


def write(directory: Path, settings: SyntheticData) -> bool:
    """Writes the recordings, unless they exist already.

    Returns:
      Whether anything was written.

    Raises:
      ConfigError: If there is no machine of a name.
      DataError: If `directory` holds something else, or toy machines made with other settings.
    """
    made_with = settings.as_recorded()
    if directory.exists() and not directory.is_dir():
        raise DataError(f"Expected a folder for the toy machines. Received: the file {directory}; set `dev_directory`.")
    if directory.exists() and any(directory.iterdir()):
        _check_mark(directory, made_with)
        return False
    if directory.exists():
        directory.rmdir()
    plan = list(_plan(settings))
    with atomic.new_directory(directory) as temporary, ThreadPoolExecutor(os.cpu_count()) as pool:
        for folder in {path.parent for path, _ in plan}:
            (temporary / folder).mkdir(parents=True)

        def write_one(path: Path, arguments: tuple[str, int, str | None, tuple[int, ...]]) -> None:
            soundfile.write(temporary / path, recording(*arguments, settings), SAMPLE_RATE, subtype="PCM_16")

        for done in [pool.submit(write_one, *clip) for clip in plan]:
            done.result()
        (temporary / MARK).write_text(json.dumps(made_with))
    logger.info("wrote %d recordings of %d toy machines to %s", len(plan), len(_chosen(settings)), directory)
    return True


def recording(
    machine: str, machine_id: int, fault: str | None, seed: tuple[int, ...], settings: SyntheticData
) -> np.ndarray:
    """Synthesises one clip: machine and fault over factory noise at the configured SNRs, at a random level.

    Args:
      machine: One of the six machines, or of those with hidden faults.
      machine_id: Number of the individual machine.
      fault: One of the machine's faults, or None for a healthy machine.
      seed: Seed of the clip; the same seed gives the same samples.
      settings: Length and signal-to-noise ratios.

    Returns:
      `[samples]` float64 in [-1, 1].
    """
    number = list(ALL).index(machine)
    unit = np.random.default_rng((settings.seed, number, machine_id))
    rng = np.random.default_rng((settings.seed, number, machine_id, *seed))
    take = Take(round(settings.seconds * SAMPLE_RATE), unit, rng)
    make, _ = ALL[machine]
    sound, added = make(take, fault)
    sound = unit_rms(sound)
    if added is not None:
        sound = unit_rms(sound + _gain(settings.fault_snr_db) * unit_rms(added))
    mixed = unit_rms(sound + _gain(-settings.snr_db) * factory(take))
    return np.clip(_gain(rng.uniform(*LOUDNESS_DB)) * mixed, -1, 1)


def _plan(settings: SyntheticData) -> Iterator[tuple[Path, tuple[str, int, str | None, tuple[int, ...]]]]:
    """Path of each clip, relative to the data directory, with the arguments of `recording`."""
    kinds = (
        ("train", "normal", settings.n_train),
        ("test", "normal", settings.n_normal),
        ("test", "anomaly", settings.n_anomaly),
    )
    for machine in _chosen(settings):
        _, faults = ALL[machine]
        for machine_id in range(settings.n_ids):
            for kind, (split, label, count) in enumerate(kinds):
                for index in range(count):
                    fault = faults[index % len(faults)] if label == "anomaly" else None
                    name = f"{label}_id_{machine_id:02d}_{index:08d}.wav"
                    yield Path(machine, split, name), (machine, machine_id, fault, (kind, index))


def _chosen(settings: SyntheticData) -> list[str]:
    """Machines to be written: the six, unless others are named."""
    if settings.machines is None:
        return list(MACHINES)
    for name in settings.machines:
        if name not in ALL:
            raise ConfigError(f"Unknown machine {name!r} in `dataset.synthetic.machines`{nearest(name, ALL)}")
    return settings.machines


def _check_mark(directory: Path, made_with: Mapping[str, Any]) -> None:
    mark = directory / MARK
    if not mark.is_file():
        raise DataError(
            "Expected an empty or new folder for the toy machines. "
            f"Received: {directory}, which holds other files; set `dev_directory`."
        )
    if mark.read_text() != json.dumps(made_with):
        raise DataError(f"{directory} holds toy machines made with other settings; remove it or set `dev_directory`.")


def _gain(level_db: float) -> float:
    return 10 ** (level_db / 20)
