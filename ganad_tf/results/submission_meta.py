"""The meta file of a submission: what the configurations and the development results tell, null for the rest.

The keys are those of a submission to DCASE 2025 (MeghanRN/dcase2025_beats_knn); the templates of the other years were
not found, and their keys may differ.
"""

import logging
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ganad_tf.clips import DOMAINS
from ganad_tf.config import Config
from ganad_tf.config.augmentation import Augmentation
from ganad_tf.results import evaluate, official, official_table
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.results.official import SectionResult

logger = logging.getLogger(__name__)

LONGEST_ABBREVIATION = 10  # characters
FEATURES = {"log_mel": "log-mel energies", "linear": "log-magnitude spectrogram", "mfcc": "MFCC", "pcen": "PCEN"}
AUGMENTATIONS = {  # by setting of `augmentation`, and of `augmentation.waveform`
    "gain_db": "gain",
    "mixup": "mixup",
    "band_mask": "frequency masking",
    "time_mask": "time masking",
    "time_shift": "time shifting",
    "pitch_semitones": "pitch shifting",
    "speed": "time stretching",
    "time_shift_seconds": "time shifting",
    "filters": "filtering",
    "noise_snr_db": "noise",
    "background": "background noise",
}


def content(configs: Sequence[Config], year: int, label: str, n_parameters: int | None = None) -> dict[str, Any]:
    """Content of the meta file.

    Args:
      configs: One per machine type, of one experiment.
      year: The year of the challenge.
      label: Name of the submission.
      n_parameters: Number of the system's parameters; None if unknown.
    """
    systems = _systems(configs)
    names = list(dict.fromkeys(system.model.name for system in systems))
    author, institute = label.split("_")[:2]
    return {
        "submission": {
            "label": label,
            "name": " and ".join(names) or None,
            "abbreviation": "+".join(names)[:LONGEST_ABBREVIATION] or None,
            "authors": [
                {
                    "lastname": author,
                    "firstname": None,
                    "email": None,
                    "corresponding": True,
                    "affiliation": {"abbreviation": institute, "institute": None, "department": None, "location": None},
                }
            ],
        },
        "system": {
            "description": _description(configs, systems),
            "complexity": {"total_parameters": n_parameters, "MACS": None},
            "external_datasets": None,
            "source_code": None,
        },
        "results": {"development_dataset": development_results(configs[0], year)},
    }


def development_results(config: Config, year: int) -> dict[str, dict[str, float | None]] | None:
    """AUC and pAUC of the development data in percent, by machine type, from the result file.

    2020: means over machine IDs. Since then: harmonic means over sections; a pAUC of each domain in 2021.

    Returns:
      The values, None where they are undefined; None without any of the development data.
    """
    directory = ResultDirectory.of(config)
    machines = {machine for machine, mode in directory.read_modes().items() if mode == "dev"}
    if not directory.table.exists() or not machines:
        logger.warning(
            "there are no results of the development data in %s: the meta file will lack them; run `ganad evaluate` "
            "with --dev",
            directory.table,
        )
        return None
    if year == 2020:
        areas = evaluate.read_areas(directory.table)
        return {
            name: {"averaged_auc": _percent(mean.auc), "averaged_pauc": _percent(mean.pauc)}
            for name, mean in areas.items()
            if name in machines
        }
    results = [result for result in official_table.read(directory.table) if result.machine in machines]
    names = dict.fromkeys(result.machine for result in results)
    return {name: _of_machine([result for result in results if result.machine == name], year) for name in names}


def _of_machine(results: Sequence[SectionResult], year: int) -> dict[str, float | None]:
    summary = official.summarize(results, is_2021=year == 2021)
    values = {f"auc_{domain}": _percent(summary.by_domain[domain].auc) for domain in DOMAINS}
    if year == 2021:
        return values | {f"pauc_{domain}": _percent(summary.by_domain[domain].pauc) for domain in DOMAINS}
    return values | {"pauc": _percent(summary.harmonic.pauc)}


def _systems(configs: Sequence[Config]) -> list[Config]:
    """The systems of all machine types: an ensemble's members; those that are mere result directories are not known."""
    systems, unknown = [], []
    for config in configs:
        systems += list(config.member_configs().values()) if config.ensemble.members else [config]
        unknown += [member for member in config.ensemble.used() if isinstance(member, str)]
    if unknown:
        names = ", ".join(dict.fromkeys(unknown))
        logger.warning("the meta file will lack the systems whose scores are in %s: they have no configuration", names)
    return systems


def _description(configs: Sequence[Config], systems: Sequence[Config]) -> dict[str, Any]:
    scorers = [system.scorer for system in systems]
    densities = [scorer.density for scorer in scorers if scorer.name == "density"]
    techniques = [f"{scorer.domains} of a density per domain" for scorer in scorers if scorer.domains != "pooled"]
    techniques += ["SMOTE of the target domain" for scorer in scorers if scorer.target_smote]
    encoders = [path for system in systems for path in _encoders(system)]
    return {
        "input_sampling_rate": _listed(f"{system.audio.sample_rate / 1000:g}kHz" for system in systems),
        "data_augmentation": _listed(name for system in systems for name in _augmentations(system.augmentation)),
        "front_end": None,
        "acoustic_features": _listed(
            FEATURES[system.feature.kind] if system.feature.encoder is None else "raw waveform" for system in systems
        ),
        "embeddings": _listed(Path(path).name for path in encoders),
        "machine_learning_method": _listed([*(system.model.name for system in systems), *densities]),
        "aggregation_method": _listed(scorer.pooling if scorer.name == "density" else "mean" for scorer in scorers),
        "domain_adaptation_method": None,
        "domain_generalization_method": _listed(techniques),
        "ensemble_method_subsystem_count": max(len(config.ensemble.used()) for config in configs) or None,
        "decision_making": _listed(f"{config.threshold.method} threshold" for config in configs),
        "attribute_usage": None,
        "external_data_usage": "pre-trained model" if encoders else None,
        "development_data_usage": "development",
    }


def _encoders(system: Config) -> list[str]:
    """Files of frozen networks that a system takes."""
    of_model = system.model.arguments.get("path") if system.model.name == "Encoder" else None
    return [str(path) for path in (system.feature.encoder, of_model) if path]


def _augmentations(settings: Augmentation) -> list[str]:
    """Names of the changes of training windows and clips."""
    recorded = settings.as_recorded()
    recorded |= recorded.pop("waveform", {})
    return [name for setting, name in AUGMENTATIONS.items() if setting in recorded]


def _listed(names: Iterable[str]) -> str | None:
    return ", ".join(dict.fromkeys(names)) or None


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * value, 2)
