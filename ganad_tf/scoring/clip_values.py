"""The values of clips that a trained detector gives: anomaly scores and residuals, of one clip or of a whole cache."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf.cache import records
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.prepare import Progress
from ganad_tf.clips import Clip
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import memory
from ganad_tf.scoring import clip_scores
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.scoring.partial_scores import ScoredSoFar


def scorer_function(model: TrainedDetector, scorer: FittedScorer) -> ClipFunction:
    """Windows of clips `[batch, n_windows, dims]` → their anomaly scores `[batch]`, in the graph."""
    density = scorer.density
    if density is None:
        return clip_scores.paper_scores(model.detector)
    residuals = residual_function(model, scorer.settings)
    return dataclasses.replace(residuals, of_clips=lambda *rows, **how: density(residuals.of_clips(*rows, **how)))


def residual_function(model: TrainedDetector, settings: Scorer) -> ClipFunction:
    """Windows of clips `[batch, n_windows, dims]` → their pooled residuals `[batch, mels]` in dB, in the graph."""
    return clip_scores.pooled_residuals(model.detector, model.normalizer, model.n_mels, settings)


def of_clip(
    model: TrainedDetector, functions: Sequence[ClipFunction], log_mel: tf.Tensor, *, at_once: int | None
) -> list[tf.Tensor]:
    """What each function makes of the windows of one clip, `[time, mels]` in dB; see `clip_scores.of_clip`."""
    return clip_scores.of_clip(model.detector, functions, log_mel, model.frames, model.normalizer, at_once=at_once)


def clip_function(
    model: TrainedDetector, functions: Sequence[ClipFunction], *, at_once: int | None = None
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """One clip's log-mel `[time, mels]` in dB → what each function makes of its windows, in one graph.

    `at_once` windows at a time are in memory; as many as `clip_scores.windows_at_once` says unless it is given.
    """
    most = at_once or clip_scores.windows_at_once(model.detector)

    @tf.function(input_signature=[tf.TensorSpec([None, model.n_mels], tf.float32)], autograph=False)
    def values(log_mel: tf.Tensor) -> list[tf.Tensor]:
        return of_clip(model, functions, log_mel, at_once=most)

    return values


def of_each_clip(
    model: TrainedDetector,
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
