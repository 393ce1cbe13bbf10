"""Fitting of scorers to the normal training clips, once the detector is trained."""

import logging
from collections.abc import Sequence

import numpy as np

from ganad_tf import splits
from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import Clip, by_id
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.findings.healthy import Healthy
from ganad_tf.models import DETECTORS
from ganad_tf.results import conformal
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import MachineRun
from ganad_tf.scoring import clip_values, compound_densities, densities, domain_densities
from ganad_tf.scoring.compound_densities import AnyDensity, AveragedDensity, DensityByMachine
from ganad_tf.scoring.densities import Density
from ganad_tf.scoring.domain_densities import DensityByDomain
from ganad_tf.scoring.folds import folds, has_enough_clips
from ganad_tf.scoring.machine_ids import needs_machine_ids
from ganad_tf.scoring.model_directory import FittedScorer, ModelDirectory

logger = logging.getLogger(__name__)


def check_clip_count(run: MachineRun, clips: Sequence[Clip]) -> None:
    """Checks that there are enough normal training clips for the configured density.

    Args:
      run: The machine type's run.
      clips: Its training clips that can be used.

    Raises:
      DataError: If there are too few; says how many are needed.
    """
    settings = run.config.scorer
    normal = [clip for clip in clips if clip.label == 0]
    n_clips, subject = len(normal), run.machine
    if normal and needs_machine_ids(DETECTORS[run.config.model.name], settings):
        machine_id, of_machine = min(by_id(normal).items(), key=lambda item: len(item[1]))
        n_clips, subject = len(of_machine), f"{run.machine} {machine_id}"
    if settings.name == "density" and n_clips < densities.min_training_clips(settings):
        local = f" and `scorer.local_density: {settings.local_density}`" if settings.local_density else ""
        requirement = {
            "gmm": f" with `scorer.components: {settings.components}`",
            "knn": f" with `scorer.neighbors: {settings.neighbors}`{local}",
            "cosine_knn": f" with `scorer.neighbors: {settings.neighbors}`",
            "cosine_kmeans": f" with `scorer.components: {settings.components}`",
        }
        raise DataError(
            f"Expected at least {densities.min_training_clips(settings)} normal training clips of {subject} for "
            f"`scorer.density: {settings.density}`{requirement.get(settings.density, '')}. Received: {n_clips}."
        )
    if normal and settings.tells_domains:
        _check_domains(run, normal)


def _check_domains(run: MachineRun, normal: Sequence[Clip]) -> None:
    """Checks that there are enough normal training clips of each domain, and of each machine that has a density."""
    settings = run.config.scorer
    by_machine = needs_machine_ids(DETECTORS[run.config.model.name], settings)
    groups = by_id(normal) if by_machine else {"": list(normal)}
    few = [
        f"{phrase} of {run.machine} {machine_id}".rstrip()
        for machine_id, clips in groups.items()
        for phrase in domain_densities.shortages(clips, settings)
    ]
    if few:
        chosen = "domains" if settings.domains != "pooled" else "target_smote"
        fewest = domain_densities.fewest_vectors(settings)
        more = (
            f", {fewest} of them outside any recordings that are left out together" if "recording" in str(few) else ""
        )
        raise DataError(
            f"Expected at least {domain_densities.min_training_clips(settings)} normal training clips of each of the "
            f"domains source and target for `scorer.{chosen}: {getattr(settings, chosen)}`{more}. "
            f"Received: {', '.join(few)}."
        )
    fewest = densities.fewest_vectors(settings)
    rests = {machine_id: domain_densities.smallest_rest(clips) for machine_id, clips in groups.items()}
    few = [f"{rest} of {run.machine} {machine_id}".rstrip() for machine_id, rest in rests.items() if rest < fewest]
    if few:
        raise DataError(
            f"Expected at least {fewest} normal training clips for `scorer.density: {settings.density}` beside those "
            f"of each domain that the cross-validation leaves out together. Received: {', '.join(few)}."
        )


def warn_of_missing_threshold(run: MachineRun, entries: Sequence[Entry]) -> None:
    """Warns, before training, if the normal clips will give no threshold.

    `gamma` needs training clips that are not all copies of one; `conformal` a number that depends on `false_alarms`.
    """
    settings = run.config.threshold
    contents = {entry.sha256 or entry.clip.file for entry in entries}
    if settings.method == "gamma" and len(contents) == 1:
        which = "one normal training clip" if len(entries) == 1 else f"{len(entries)} identical normal training clips"
        logger.warning(
            "%s: there will be scores but no decisions: `threshold.method: gamma` needs training scores that differ, "
            "and there is no more than %s; add recordings, or set `threshold.method: quantile`.",
            run.title,
            which,
        )
    if settings.method == "conformal":
        kept_out = [clip.recording for clip in run.listing.clips_of("calibration")]
        recordings = [entry.clip.recording for entry in entries], [entry.sha256 for entry in entries]
        _warn_of_few_recordings(run, splits.shared(kept_out) if kept_out else splits.shared(*recordings))


def _warn_of_few_recordings(run: MachineRun, recordings: Sequence[str]) -> None:
    settings = run.config.threshold
    rate = settings.false_alarms or conformal.USUAL_RATE
    fewest = conformal.fewest_recordings(rate, settings.confidence)
    n_recordings = conformal.count_recordings(len(recordings), recordings)
    if n_recordings >= fewest:
        return
    usable = conformal.rate_of(n_recordings, settings.confidence)
    unit, clips = conformal.unit_of(len(recordings), recordings)
    logger.warning(
        "%s: `threshold.false_alarms: %g` needs %d normal %s, and there are %d%s: %s; add recordings, or set a higher "
        "rate.",
        run.machine,
        rate,
        fewest,
        unit,
        n_recordings,
        clips,
        "there will be scores and p-values but no decisions"
        if settings.false_alarms
        else f"the threshold will be that of a rate of {usable:.3g}",
    )


def recordings_left_out(clips: Sequence[Clip], settings: Scorer, seed: int) -> list[str] | None:
    """Names of the clips' recordings, which the density's cross-validation leaves out as a whole.

    None, so that clips are left out without regard to their recordings, if no clip shares its recording with another,
    or if too few clips would remain; then a warning is logged. A density that tells domains apart has folds of each.
    """
    names = [clip.recording for clip in clips]
    n_recordings = len(set(names))
    if settings.name != "density" or n_recordings == len(names):
        return None
    fewest = densities.fewest_vectors(settings)
    largest = len(names)
    if n_recordings > 1:
        largest = max(len(fold) for fold in _all_folds(clips, settings, seed, names))
    if len(names) - largest >= fewest:
        return names
    logger.warning(
        "%s: the %d normal training clips are of %s, too few to leave out whole recordings: training scores and "
        "threshold will be too low; add recordings.",
        clips[0].machine,
        len(names),
        "one recording" if n_recordings == 1 else f"{n_recordings} recordings",
    )
    return None


def _all_folds(clips: Sequence[Clip], settings: Scorer, seed: int, recordings: Sequence[str]) -> list[np.ndarray]:
    if settings.tells_domains:
        return domain_densities.folds_of(np.array([clip.domain for clip in clips]), seed, recordings)
    return densities.folds_of(len(clips), seed, recordings)


def fit_scorers(
    directory: ModelDirectory, missing: Sequence[Scorer], cache: Cache, entries: Sequence[Entry], seed: int
) -> None:
    """Fits scorers to the normal training clips and saves them beside the detector.

    Args:
      directory: Directory of the trained detector.
      missing: Settings of the scorers to fit.
      cache: Cache of the training clips.
      entries: The normal training clips in it.
      seed: Seed of the fits.
    """
    model = directory.load()
    functions = [
        clip_values.scorer_function(model, FittedScorer(settings, None, ()))
        if settings.name == "paper"
        else clip_values.vector_function(model, settings)
        for settings in missing
    ]
    results = clip_values.apply_to_cache(model, functions, cache, entries)
    for settings, values in zip(missing, results, strict=True):
        by_clip = sorted(values.items(), key=lambda item: item[0].key)
        clips, array = [clip for clip, _ in by_clip], np.stack([value for _, value in by_clip])
        density: AnyDensity | None = None
        scores = array
        if array.ndim > 1:
            fit = _fitted_by_machine if needs_machine_ids(model.detector, settings) else _fitted_density
            density, scores = fit(clips, array, settings, entries, seed)
        named = tuple(ClipScore(clip.name, float(score)) for clip, score in zip(clips, scores, strict=True))
        directory.save_scorer(FittedScorer(settings, density, named))


def _fitted_by_machine(
    clips: Sequence[Clip], vectors: np.ndarray, settings: Scorer, entries: Sequence[Entry], seed: int
) -> tuple[DensityByMachine, np.ndarray]:
    """One density of the clips' vectors per machine ID; otherwise as `_fitted_density`."""
    parts, scores = {}, np.empty(len(clips))
    for machine_id in sorted({clip.machine_id for clip in clips}):
        rows = [number for number, clip in enumerate(clips) if clip.machine_id == machine_id]
        of_machine = [entry for entry in entries if entry.clip.machine_id == machine_id]
        of_rows = [clips[row] for row in rows]
        parts[machine_id], scores[rows] = _fitted_density(of_rows, vectors[rows], settings, of_machine, seed)
    return DensityByMachine(parts), scores


def _fitted_density(
    clips: Sequence[Clip], vectors: np.ndarray, settings: Scorer, entries: Sequence[Entry], seed: int
) -> tuple[Density | DensityByDomain | AveragedDensity, np.ndarray]:
    """Density of the clips' vectors, and the score of each clip by a density that has not seen it."""
    domains = [clip.domain for clip in clips]
    all_folds = folds(entries, settings.folds, settings.block, seed) if settings.folds else []
    if all_folds and all(has_enough_clips(fold, settings) for fold in all_folds):
        held_out = [{entry.clip for entry in fold.held_out} for fold in all_folds]
        in_fold = [np.array([clip in fold for clip in clips]) for fold in held_out]
        names = [clip.recording for clip in clips]
        return compound_densities.fit_averaged(vectors, in_fold, settings, seed, domains, names)
    recordings = recordings_left_out(clips, settings, seed)
    if settings.tells_domains:
        return domain_densities.fit_and_cross_validate(vectors, domains, settings, seed, recordings)
    scores = densities.cross_validated_scores(vectors, settings, seed, recordings)
    return densities.fit(vectors, settings, seed), scores


def describe_healthy(run: MachineRun, directory: ModelDirectory, cache: Cache, entries: Sequence[Entry]) -> None:
    """Saves the sound of the normal training clips beside the detector, unless that was done before.

    Only spectra in decibels are a sound that can be described; coefficients and embeddings are not.
    """
    if run.config.feature.is_in_decibels and directory.load_healthy() is None:
        log_mels = ((entry.clip.machine_id, log_mel) for entry, log_mel in spectra.read(cache, entries))
        healthy = Healthy.fit(log_mels, run.config.audio, run.config.feature)
        if healthy:
            directory.save_healthy(healthy)
