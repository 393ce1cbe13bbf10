"""The verb `score`: a trained detector and recordings → one anomaly score and one decision per clip."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ganad_tf import clips
from ganad_tf.cache import prepare, records
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.prepare import Progress
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import memory
from ganad_tf.files import atomic, lock
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import shown, threshold_if_any
from ganad_tf.scoring import clip_scores, model_directory
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.model_directory import Fitted, Trained
from ganad_tf.scoring.partial_scores import ScoredSoFar
from ganad_tf.tensorboard import experiment

logger = logging.getLogger(__name__)


def score(
    config: Config,
    listing: Listing,
    mode: Mode,
    *,
    progress: Progress = lambda items, _: items,
    fresh: bool = False,
    command: str = "",
) -> float | None:
    """Scores the test clips of one machine type and writes score and decision files, one pair per ID.

    Where the scorer is not the paper's, the paper's scores go to `paper/` below the result directory.

    Args:
      config: The experiment.
      listing: The machine type's clips; the log-mels of the test clips must be in the cache.
      mode: `dev` or `eval`.
      progress: Shows how far it is.
      fresh: Whether to score every clip again, also those that an interrupted call has scored.
      command: What the user typed; kept beside the scores.

    Returns:
      The threshold above which a clip is called anomalous; None if the training scores give none. The scores are
      written all the same and the decisions are not, which is warned of.

    Raises:
      DataError: If there are no test clips, no trained detector, a cache that is not up to date, a score that is
        not a number, or another process is at it; no file is written then.
      ConfigError: If the detector was trained with other settings.
    """
    directory = find_detector(config, listing, mode)
    with lock.alone_at(Path(config.result_directory, listing.machine)):
        return _score(config, listing, mode, directory, progress, fresh=fresh, command=command)


def _score(
    config: Config,
    listing: Listing,
    mode: Mode,
    directory: Path,
    progress: Progress,
    *,
    fresh: bool,
    command: str,
) -> float | None:
    model = model_directory.load(directory)
    reported = config.reported()
    fitted = [model_directory.load_scorer(directory, own.scorer) for own in reported]
    current = prepare.current_cache(config, listing, mode, "test")
    cache = config.cache_path(mode, listing.machine, "test")
    functions = [scorer_function(model, scorer) for scorer in fitted]
    so_far = ScoredSoFar(
        Path(config.result_directory, f".unfinished_{mode}_{listing.machine}.json"),
        {
            "settings": [own.score_settings() for own in reported],
            "cache": current.digest(),
            "detector": model_directory.identity(directory),
        },
    )
    for path in (so_far.path, *(path for own in reported for path in _files(own, listing, mode))):
        atomic.clear_leftovers(path)
    if not fresh:
        so_far.read()
    scores = of_each_clip(model, functions, cache, current.entries, progress=progress, so_far=so_far)
    for machine_id in clips.by_id(listing.of("test")):  # those of earlier scores
        config.decision_path(listing.machine, machine_id).unlink(missing_ok=True)
    for own, scorer, scored in zip(reported, fitted, scores, strict=True):
        origin = own.origin(command) | {
            "cache": current.digest(),
            "detector": str(directory),
            "trained_on": model.record["cache"],
        }
        _write(own, listing, mode, scored, scorer, origin)
    limit = threshold_if_any([score.score for score in fitted[0].train_scores], config.threshold, listing.machine)
    if limit is not None:
        _write_decisions(config, listing, scores[0], limit)
    so_far.remove()
    experiment.show_scores(config, listing, mode, model, fitted[0], scored=scores[0])
    logger.info("%s: scored %d clips, threshold %s", listing.machine, len(scores[0]), shown(limit))
    return limit


def _write_decisions(config: Config, listing: Listing, scores: Mapping[Clip, np.ndarray], limit: float) -> None:
    for machine_id, group in _by_id(listing, scores).items():
        decisions = [(clip.name, int(clip.score > limit)) for clip in group]
        score_files.write_rows(config.decision_path(listing.machine, machine_id), decisions)


def _write(
    config: Config,
    listing: Listing,
    mode: Mode,
    scores: Mapping[Clip, np.ndarray],
    scorer: Fitted,
    origin: Mapping[str, Any],
) -> None:
    """One way of scoring's files; what they come from is last, and says that they are all there."""
    score_files.write_origin(config.origin_path(mode, listing.machine), origin, is_complete=False)
    for machine_id, group in _by_id(listing, scores).items():
        score_files.write_scores(config.score_path(listing.machine, machine_id), group)
    score_files.write_scores(config.train_score_path(mode, listing.machine), scorer.train_scores)
    score_files.write_origin(config.origin_path(mode, listing.machine), origin)


def find_detector(config: Config, listing: Listing, mode: Mode) -> Path:
    """The directory of the detector that scores a machine type's test clips.

    Raises:
      DataError: If there are no test clips, no trained detector or no fitted scorer.
      ConfigError: If the detector was trained with other settings.
    """
    listing.need("test")
    return detector_directory(config, listing, mode)


def detector_directory(config: Config, listing: Listing, mode: Mode) -> Path:
    """The directory of a machine type's detector with its scorers.

    Evaluation data without training clips of their own use the development data's detector.

    Raises:
      DataError: If there is no trained detector or no fitted scorer.
      ConfigError: If the detector was trained with other settings.
    """
    directory = config.model_path(mode if listing.of("train") else "dev", listing.machine)
    model_directory.check_settings(directory, model_directory.read_record(directory), config)
    for own in config.reported():
        model_directory.need_scorer(directory, own.scorer)
    return directory


def scorer_function(model: Trained, scorer: Fitted) -> ClipFunction:
    """Windows of clips `[batch, n_windows, dims]` → their anomaly scores `[batch]`, in the graph."""
    density = scorer.density
    if density is None:
        return clip_scores.paper_scores(model.detector)
    residuals = residual_function(model, scorer.settings)
    return dataclasses.replace(residuals, of_clips=lambda *rows, **how: density(residuals.of_clips(*rows, **how)))


def residual_function(model: Trained, settings: Scorer) -> ClipFunction:
    """Windows of clips `[batch, n_windows, dims]` → their pooled residuals `[batch, mels]` in dB, in the graph."""
    return clip_scores.pooled_residuals(model.detector, model.normalizer, model.n_mels, settings)


def of_clip(
    model: Trained, functions: Sequence[ClipFunction], log_mel: tf.Tensor, *, at_once: int | None
) -> list[tf.Tensor]:
    """What each function makes of the windows of one clip, `[time, mels]` in dB; see `scorers.of_clip`."""
    return clip_scores.of_clip(model.detector, functions, log_mel, model.frames, model.normalizer, at_once=at_once)


def clip_function(
    model: Trained, functions: Sequence[ClipFunction], *, at_once: int | None = None
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """One clip's log-mel `[time, mels]` in dB → what each function makes of its windows, in one graph.

    `at_once` windows at a time are in memory; as many as `scorers.windows_at_once` says unless it is given.
    """
    most = at_once or clip_scores.windows_at_once(model.detector)

    @tf.function(input_signature=[tf.TensorSpec([None, model.n_mels], tf.float32)], autograph=False)
    def values(log_mel: tf.Tensor) -> list[tf.Tensor]:
        return of_clip(model, functions, log_mel, at_once=most)

    return values


def of_each_clip(
    model: Trained,
    functions: Sequence[ClipFunction],
    cache: Path,
    entries: Sequence[Entry],
    *,
    progress: Progress = lambda items, _: items,
    so_far: ScoredSoFar | None = None,
) -> list[dict[Clip, np.ndarray]]:
    """What each function makes of each cached clip's windows, in one pass over the cache.

    With `so_far` each function makes one number, and clips that are in there already are passed over.

    Raises:
      DataError: If a value is not a number, or the cache is damaged.
    """
    values_of = clip_function(model, functions)
    done = so_far.scores if so_far else {}
    results: list[dict[Clip, np.ndarray]] = [
        {entry.clip: np.array(done[entry.clip.file][place], np.float32) for entry in entries if entry.clip.file in done}
        for place in range(len(functions))
    ]
    todo = [entry for entry in entries if entry.clip.file not in done]
    for entry, log_mel in progress(records.read(cache, todo), len(todo)):
        for result, value in zip(results, values_of(memory.tensor_of(log_mel)), strict=True):
            result[entry.clip] = value.numpy()
            if not np.isfinite(result[entry.clip]).all():
                raise DataError(
                    f"The anomaly score of {entry.clip.file} is {result[entry.clip]}, not a number; "
                    "the detector is not usable, train it again."
                )
        if so_far:
            so_far.add(entry.clip.file, [float(result[entry.clip]) for result in results])
    return results


def _files(config: Config, listing: Listing, mode: Mode) -> list[Path]:
    """All that is written for a machine type; a process that was killed may have left a part of any."""
    machine, ids = listing.machine, clips.by_id(listing.of("test"))
    of_each_id = [path(machine, each) for path in (config.score_path, config.decision_path) for each in ids]
    return [config.origin_path(mode, machine), config.train_score_path(mode, machine), *of_each_id]


def _by_id(listing: Listing, scores: Mapping[Clip, np.ndarray]) -> dict[str, list[ClipScore]]:
    """Scores by machine ID; an ID without usable clips has an empty list."""
    groups = clips.by_id(listing.of("test"))
    return {
        machine_id: [ClipScore(clip.name, float(scores[clip])) for clip in group if clip in scores]
        for machine_id, group in groups.items()
    }
