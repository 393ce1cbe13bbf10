"""Settings that the dataset decides where the YAML file leaves them open (`null`).

The challenge's recordings, those that it took them from, and those that are made or imported like them, keep the
settings of the challenge's baseline. Other recordings are usually few and of any level, and get settings under which
few clips suffice.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ganad_tf.config.dataset import CHALLENGE
from ganad_tf.config.sections import Dataset, Feature, Fit

LIKE_CHALLENGE = (*CHALLENGE, "mimii", "mimii_due", "mimii_dg", "toyadmos", "imported", "synthetic")
VALIDATION_SPLIT = 0.1  # of the challenge's baseline
MIN_STEPS = 500


def decide_feature(feature: Feature, dataset: str) -> Feature:
    """The section `feature` with `standardize` decided."""
    if feature.standardize is not None:
        return feature
    return replace(feature, standardize=dataset not in LIKE_CHALLENGE)


def decide_fit(fit: Fit, dataset: str) -> Fit:
    """The section `fit` with `min_steps`, `settle_batch_norm` and `validation_split` decided."""
    is_official = dataset in LIKE_CHALLENGE
    automatic: dict[str, Any] = {
        "min_steps": 0 if is_official else MIN_STEPS,
        "settle_batch_norm": not is_official,
        "validation_split": VALIDATION_SPLIT if is_official or fit.watches_validation else 0.0,
    }
    return replace(fit, **{key: value for key, value in automatic.items() if getattr(fit, key) is None})


def decide_machines(machines: Mapping[str, Any], fit: Fit, dataset: str) -> Mapping[str, Any]:
    """The sections of `machines`, in which a machine type that alone watches its validation loss has clips for it.

    Args:
      machines: Overrides by machine type, perhaps not valid.
      fit: The section `fit` as it was given.
      dataset: Name of the dataset.
    """
    if fit.validation_split is not None or dataset in LIKE_CHALLENGE or not isinstance(machines, Mapping):
        return machines
    return {machine: _with_validation(sections, fit) for machine, sections in machines.items()}


def decide_threshold_methods(values: dict[str, Any]) -> None:
    """Completes the sections `threshold` of a file without a `method`, as `sections.Threshold` documents."""
    dataset, machines = values.get("dataset") or {}, values.get("machines")
    is_like_challenge = isinstance(dataset, dict) and dataset.get("name", Dataset.name) in LIKE_CHALLENGE
    outer = values.setdefault("threshold", {})
    if isinstance(outer, dict) and "method" not in outer:
        # Combined scores can be negative, for which there is no gamma distribution.
        like_challenge = "quantile" if values.get("ensemble") else "gamma"
        outer["method"] = _threshold_method(outer) or (like_challenge if is_like_challenge else "conformal")
    for sections in machines.values() if isinstance(machines, dict) else ():
        inner = sections.get("threshold") if isinstance(sections, dict) else None
        if isinstance(inner, dict) and "method" not in inner and (method := _threshold_method(inner)):
            inner["method"] = method


def _threshold_method(section: Mapping[str, Any]) -> str | None:
    """The method that the keys of a section `threshold` belong to; None if they don't tell."""
    if section.get("fixed") is not None:
        return "fixed"
    if "quantile" in section:
        return "gamma"
    return "conformal" if section.keys() & {"false_alarms", "confidence", "folds"} else None


def _with_validation(sections: Any, fit: Fit) -> Any:
    given = sections.get("fit") if isinstance(sections, Mapping) else None
    if not isinstance(given, Mapping) or "validation_split" in given:
        return sections
    is_watched = any(given.get(key, getattr(fit, key)) for key in ("restore_best", "patience"))
    if is_watched == fit.watches_validation:
        return sections
    return {**sections, "fit": {**given, "validation_split": VALIDATION_SPLIT if is_watched else 0.0}}
