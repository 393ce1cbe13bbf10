"""Anomaly detection in machine sound with generative adversarial networks.

Clips go in at the left, one number per clip comes out at the right:

    config → datasets → audio → features → cache → models → training → scoring → results → report

Scripts may import the names in `API`, each from the module that it is listed under; docs/changelog.md announces changes
to them. Everything else is private, whatever its name, and may move without notice. The estimator, features and
detectors can also be imported from `ganad_tf` itself:

    from ganad_tf import GANomaly, LogMel, SoundAnomalyDetector

`import ganad_tf` loads none of these modules. Each is imported when it is first used, and TensorFlow with it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

API = {
    "cli.main": ("main",),
    "config": ("Config", "Threshold", "load"),
    "estimator": ("SoundAnomalyDetector",),
    "features": ("LogMel", "Normalizer", "n_frames", "stack_frames", "windows_of"),
    "models": (
        "DETECTORS",
        "AEGAN",
        "DenseAE",
        "Detector",
        "DRINK",
        "EGBAD",
        "EmbeddingKNN",
        "Encoder",
        "FAnoGAN",
        "GANomaly",
        "GMADE",
        "IDClassifier",
        "IDNN",
        "MPDR",
        "SAGAN",
        "SkipGANomaly",
        "SpectrumDensity",
        "TIAE",
    ),
    "models.detector": ("LossMean", "batch_of"),
    "models.stages": ("EpochwiseDetector", "TwoStageDetector"),
    "run": ("MachineRun", "machine_runs"),
    "training": ("ReportResets", "StopAtNaN"),
    "training.fused_steps": ("FusedSteps",),
    "training.train": ("train_detector",),
    "scoring.clip_scores": ("paper_scores", "pooled_residuals"),
    "scoring.densities": ("Density", "cross_validated_scores", "fit"),
    "tensorboard": (
        "HyperparameterSummary",
        "LossCurves",
        "ScoreSummaries",
        "Sounds",
        "SpectrogramImages",
        "TrainingHealth",
        "WeightHistograms",
    ),
    "results.metrics": ("auc", "bootstrap_interval", "pauc", "roc_curve"),
    "results.thresholds": ("threshold",),
    "runtime": ("deterministic", "full_float32"),
    "errors": ("ConfigError", "DataError", "ExportError", "GanadError", "InputError", "TrainingError"),
}
"""Modules in the order of the flow, each with the names that scripts may import from it."""

__all__ = [
    "AEGAN",
    "DETECTORS",
    "DRINK",
    "EGBAD",
    "GMADE",
    "IDNN",
    "MPDR",
    "SAGAN",
    "TIAE",
    "DenseAE",
    "Detector",
    "Encoder",
    "FAnoGAN",
    "GANomaly",
    "LogMel",
    "Normalizer",
    "SkipGANomaly",
    "SoundAnomalyDetector",
    "SpectrumDensity",
    "cli",
    "config",
    "errors",
    "estimator",
    "features",
    "models",
    "n_frames",
    "results",
    "runtime",
    "stack_frames",
    "tensorboard",
    "training",
    "windows_of",
]

if TYPE_CHECKING:
    from ganad_tf import cli, config, errors, estimator, features, models, results, runtime, tensorboard, training
    from ganad_tf.estimator import SoundAnomalyDetector
    from ganad_tf.features import LogMel, Normalizer, n_frames, stack_frames, windows_of
    from ganad_tf.models import (
        AEGAN,
        DETECTORS,
        DRINK,
        EGBAD,
        GMADE,
        IDNN,
        MPDR,
        SAGAN,
        TIAE,
        DenseAE,
        Detector,
        Encoder,
        FAnoGAN,
        GANomaly,
        SkipGANomaly,
        SpectrumDensity,
    )
else:  # hidden from type checkers, which would take any name for one of this module's

    def __getattr__(name: str) -> object:
        if name in __all__:
            owner = next((module for module in ("estimator", "features", "models") if name in API[module]), None)
            return getattr(import_module(f"{__name__}.{owner}"), name) if owner else import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
