"""Realised false alarms of thresholds, over repeated random splits of normal clips.

    python tools/false_alarms.py CONFIG.yaml [--machine M ...] [--clips 20 60 250] [--repetitions 200]
        [--selected] [--set key=value ...]
    python tools/false_alarms.py --recordings K N [--recordings K N ...] [--rates 0.05 0.1] [--repetitions 2000]

Each repetition draws normal clips of one machine ID at random, calibrates on them as `ganad train` does, and counts the
clips above the threshold among all other normal clips and among the anomalies. Without a network (SpectrumDensity) the
clips' vectors are computed once; with one, every fold of every repetition is trained, on training clips only. `gamma`
and `conformal` are the two methods, `confident` is `conformal` with `confidence: 0.95`, whose column `broken` has the
share of repetitions with more false alarms than asked for. With `--selected`, each repetition first selects the scorer
among those of `selection.scorers` by the clips that it calibrates on, as `ganad run FOLDER` does; without a network
only. Labels choose nothing: they are only counted. Where clips belong to recordings, `--clips` counts recordings, which
are drawn with all their clips, and `per clip` is `conformal` as if each clip were a recording.

With `--recordings K N` no clip is read: scores of K recordings, cut into N clips each, are drawn from a normal
distribution, in which recordings vary `SPREAD` times as much as the clips of one. The table has the false alarms among
clips of new recordings where the calibration counts clips, and where it counts recordings, with no entry for a rate
that is lower than the recordings allow.
"""

import argparse
import itertools
import math
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import config as configuration
from ganad_tf.cli import terminal, workflow
from ganad_tf.config.sections import Threshold
from ganad_tf.errors import ThresholdError
from ganad_tf.results import conformal, thresholds

RATES = (0.1, 0.05, 0.01)
CONFIDENCE = 0.95
SPREAD = 5.0  # standard deviation of recordings, in those of the clips of a recording
HEADING = (
    f"{'machine':<16}{'clips':>6}{'rate':>6}  {'method':<11}{'false alarms %':>20}{'broken %':>10}{'detected %':>12}"
)


def main() -> int:
    """Prints one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", metavar="CONFIG.yaml", nargs="?")
    parser.add_argument("--recordings", type=int, nargs=2, action="append", default=[], metavar=("K", "N"))
    parser.add_argument("--rates", type=float, nargs="+", default=RATES, help="asked for, with --recordings")
    parser.add_argument("--machine", nargs="+", default=[])
    parser.add_argument("--clips", type=int, nargs="+", default=[20, 60, 250], help="or recordings that were cut")
    parser.add_argument("--repetitions", type=int)
    parser.add_argument("--selected", action="store_true", help="select the scorer in each repetition")
    parser.add_argument("--set", nargs="+", default=[], metavar="key=value")
    options = parser.parse_args()
    if bool(options.recordings) == bool(options.config):
        parser.error("expected CONFIG.yaml, or --recordings")
    options.repetitions = options.repetitions or (2000 if options.recordings else 200)
    if options.recordings:
        _print_simulated(options)
    else:
        _print_measured(options)
    return 0


def _print_measured(options: argparse.Namespace) -> None:
    terminal.import_tensorflow()
    from scorer_selection import PooledClips

    from ganad_tf import datasets, runtime
    from ganad_tf.cache.directory import Cache
    from ganad_tf.cache.prepare import prepare_cache
    from ganad_tf.run import machine_runs

    runtime.deterministic()
    config = configuration.load(options.config, options.set)
    workflow.make_synthetic(config, "dev")
    print(HEADING)
    for run in machine_runs(config, datasets.list_clips(config, "dev", options.machine), "dev"):
        if config.dataset.name != "imported":
            for split in ("train", "test"):
                prepare_cache(run, split)
        pooled = None
        if run.config.model.name == "SpectrumDensity":
            splits = [Cache(run, split).current().entries for split in ("train", "test")]
            pooled = PooledClips(run, splits, is_selected=options.selected)
        for machine_id in sorted({clip.machine_id for clip in run.listing.clips}):
            for count in options.clips:
                rates = _rates(run, pooled, machine_id, count, options)
                _print(f"{run.machine} {machine_id}", count, rates)


def _print_simulated(options: argparse.Namespace) -> None:
    print(f"{'recordings':>10}{'clips of each':>15}{'rate':>7}{'clips counted %':>18}{'recordings counted %':>22}")
    for (n_recordings, n_clips), rate in itertools.product(options.recordings, options.rates):
        both = [
            simulated_rates(n_recordings, n_clips, rate, options.repetitions, counts_recordings=counts)
            for counts in (False, True)
        ]
        shares = ["" if rates is None else f"{100 * rates.mean():.1f}" for rates in both]
        print(f"{n_recordings:>10}{n_clips:>15}{rate:>7.3g}{shares[0]:>18}{shares[1]:>22}", flush=True)


def simulated_rates(
    n_recordings: int, n_clips: int, rate: float, repetitions: int, *, counts_recordings: bool
) -> np.ndarray | None:
    """False alarms among clips of new recordings, one share per repetition; None if the rate is too low."""
    import scipy.stats

    random = np.random.default_rng(0)
    names = [f"r{number}" for number in range(n_recordings)] * n_clips if counts_recordings else []
    limits = []
    for _ in range(repetitions):
        scores = SPREAD * random.normal(size=n_recordings) + random.normal(size=[n_clips, n_recordings])
        try:
            limits.append(conformal.threshold(scores.ravel(), rate, recordings=names))
        except ThresholdError:
            return None
    return np.asarray(scipy.stats.norm.sf(limits, scale=math.hypot(SPREAD, 1)))


def _rates(
    run: Any, pooled: Any, machine_id: str, count: int, options: argparse.Namespace
) -> dict[tuple[float, str], list[tuple[float, float]]]:
    """Shares of normal clips and of anomalies above the threshold, per rate and method, one pair per repetition."""
    from ganad_tf.cache.directory import Cache
    from ganad_tf.scoring import compound_densities, densities
    from ganad_tf.scoring.folds import Fold, folds

    splits = [Cache(run, split).current().entries for split in ("train", "test")]
    entries = [entry for split in splits for entry in split if entry.clip.machine_id == machine_id]
    normal = [entry for entry in entries if entry.clip.label == 0 and (pooled or entry.clip.split == "train")]
    recordings = list(dict.fromkeys(entry.clip.recording for entry in normal))
    anomalies = [entry for entry in entries if entry.clip.label == 1] if pooled else []
    rates: dict[tuple[float, str], list[tuple[float, float]]] = {}
    for repetition in range(options.repetitions if count < len(recordings) else 0):
        order = np.random.default_rng((repetition, count)).permutation(len(recordings))
        drawn = {recordings[index] for index in order[:count]}
        training = [entry for entry in normal if entry.clip.recording in drawn]
        training.sort(key=lambda entry: entry.clip.key)
        others = [entry for entry in normal if entry.clip.recording not in drawn]
        scored = [*others, *anomalies]
        scorer, seed = run.config.scorer, repetition
        made = folds(training, scorer.folds, scorer.block, seed)
        limits, names = {}, [entry.clip.recording for entry in training]
        if pooled:
            scorer = pooled.select(training, seed) if options.selected else scorer
            arrays = [pooled.vectors(scorer, part) for part in (training, scored)]
            limits["gamma"] = densities.cross_validated_scores(arrays[0], scorer, seed)
        else:
            limits["conformal"] = np.concatenate([_trained(run, fold.training, fold)[0] for fold in made])
            names = [entry.clip.recording for fold in made for entry in fold.held_out]
            arrays = _trained(run, training, Fold(tuple(training), tuple(scored)))[1:]
        masks = [np.isin(range(len(training)), [training.index(entry) for entry in fold.held_out]) for fold in made]
        density, held_out_scores = compound_densities.fit_averaged(arrays[0], masks, scorer, seed)
        limits.setdefault("conformal", held_out_scores)
        tested = densities.score_in_chunks(density, arrays[1])
        for rate, method, limit in _limits(limits, names):
            above = tested > limit
            detected = above[len(others) :].mean() if anomalies else math.nan
            rates.setdefault((rate, method), []).append((float(above[: len(others)].mean()), float(detected)))
    return rates


def _limits(scores: dict[str, np.ndarray], recordings: Sequence[str]) -> list[tuple[float, str, float]]:
    """Rate, method and threshold, where there are enough recordings."""
    limits = []
    for rate in RATES:
        methods = {
            "gamma": Threshold("gamma", quantile=1 - rate),
            "conformal": Threshold("conformal", false_alarms=rate),
            "confident": Threshold("conformal", false_alarms=rate, confidence=CONFIDENCE),
        }
        if len(set(recordings)) < len(recordings):
            methods["per clip"] = methods["conformal"]
        for name, settings in methods.items():
            if settings.method not in scores:
                continue
            shared = () if name == "per clip" else recordings
            try:
                limits.append((rate, name, thresholds.threshold(scores[settings.method].tolist(), settings, shared)))
            except ThresholdError:
                continue
    return limits


def _trained(run: Any, training: Sequence[Any], fold: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores of the fold's held-out clips by a new detector, and its pooled residuals of both parts of the fold."""
    from ganad_tf import runtime
    from ganad_tf.cache.directory import Cache
    from ganad_tf.scoring import calibration, clip_values
    from ganad_tf.scoring.model_directory import ModelDirectory
    from ganad_tf.training.calibrate import train_fold

    runtime.forget_models()
    cache, scorer = Cache(run, "train"), run.config.scorer
    with tempfile.TemporaryDirectory() as folder:
        directory = ModelDirectory(Path(folder, "detector"))
        train_fold(run, directory, cache.current(), training, ())
        scores = calibration.held_out_scores(directory, cache, fold, scorer, run.config.seed)
        model = directory.load()
    residuals = clip_values.vector_function(model, scorer)
    (values,) = clip_values.apply_to_cache(model, [residuals], cache, (*fold.training, *fold.held_out))
    parts = [np.stack([values[entry.clip] for entry in part]) for part in (fold.training, fold.held_out)]
    return np.array([clip.score for clip in scores]), *parts


def _print(machine: str, count: int, rates: dict[tuple[float, str], list[tuple[float, float]]]) -> None:
    for (rate, method), pairs in rates.items():
        alarms, detected = np.transpose(pairs)
        error = alarms.std() / math.sqrt(len(alarms))
        share = f"{100 * alarms.mean():.2f} +- {100 * error:.2f}"
        broken = f"{100 * (alarms > rate).mean():.1f}" if method == "confident" else ""
        found = "" if np.isnan(detected).any() else f"{100 * detected.mean():.1f}"
        print(f"{machine:<16}{count:>6}{rate:>6}  {method:<11}{share:>20}{broken:>10}{found:>12}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
