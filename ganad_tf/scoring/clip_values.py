"""Anomaly scores and residuals by a trained detector, of one clip or of all clips in a cache."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import Clip, Progress
from ganad_tf.config.sections import Scorer
from ganad_tf.errors import DataError
from ganad_tf.features import memory
from ganad_tf.scoring import clip_scores
from ganad_tf.scoring.clip_scores import ClipFunction
from ganad_tf.scoring.compound_densities import DensityByMachine
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.scoring.partial_scores import PartialScores


def scorer_function(model: TrainedDetector, scorer: FittedScorer) -> ClipFunction:
    """Function from windows of clips, `[batch, n_windows, dims]`, to anomaly scores.

    `[batch]`, or `[batch, ids]` of a detector that takes machine IDs; a clip's score is that of its machine.
    """
    density = scorer.density
    if density is None:
        return clip_scores.paper_scores(model.detector)
    vectors = vector_function(model, scorer.settings)
    return dataclasses.replace(
        vectors,
        clip_step=lambda *rows, **how: density(vectors.clip_step(*rows, **how)),
        machine_ids=known_machine_ids(model, scorer),
    )


def known_machine_ids(model: TrainedDetector, scorer: FittedScorer) -> tuple[str, ...]:
    """The machine IDs for each of which a scorer has a score; none if a clip's score is the same for all."""
    if scorer.density is None:
        return tuple(model.detector.machine_ids)
    return tuple(scorer.density.parts) if isinstance(scorer.density, DensityByMachine) else ()


def of_machine(values: np.ndarray, function: ClipFunction, machine_id: str) -> np.ndarray:
    """The value for a clip of one machine, of all that `function` gives, `[..., ids]` → `[...]`.

    Raises:
      DataError: If the detector does not know the machine.
    """
    if not function.machine_ids:
        return values
    if machine_id not in function.machine_ids:
        raise DataError(
            f"Expected clips of the machine IDs that the detector was trained on, {', '.join(function.machine_ids)}. "
            f"Received: {machine_id}."
        )
    return values[..., function.machine_ids.index(machine_id)]


def vector_function(model: TrainedDetector, settings: Scorer) -> ClipFunction:
    """Function from windows of clips, `[batch, n_windows, dims]`, to the vectors of the density, `[batch, dims]`."""
    if settings.of == "embedding":
        return clip_scores.mean_embeddings(model.detector)
    return residual_function(model, settings)


def residual_function(model: TrainedDetector, settings: Scorer) -> ClipFunction:
    """Function from windows of clips, `[batch, n_windows, dims]`, to pooled residuals, `[batch, mels]` in dB."""
    return clip_scores.pooled_residuals(model.detector, model.normalizer, model.n_mels, settings)


def apply_to_clip(
    model: TrainedDetector, functions: Sequence[ClipFunction], log_mel: tf.Tensor, *, at_once: int | None
) -> list[tf.Tensor]:
    """Applies functions to one clip, `[time, mels]` in dB, as `clip_scores.apply_to_clip`; for use in a graph."""
    return clip_scores.apply_to_clip(
        model.detector, functions, log_mel, model.frames, model.normalizer, hop=model.hop, at_once=at_once
    )


def clip_function(
    model: TrainedDetector, functions: Sequence[ClipFunction], *, at_once: int | None = None
) -> Callable[[tf.Tensor], list[tf.Tensor]]:
    """Compiles functions of a detector into one TensorFlow function.

    Args:
      model: The detector.
      functions: The functions.
      at_once: Windows in memory at a time; by default `clip_scores.windows_at_once`.

    Returns:
      A function from a clip's log-mel, `[time, mels]` in dB, to one value per function.
    """
    most = at_once or clip_scores.windows_at_once(model.detector)

    @tf.function(input_signature=[tf.TensorSpec([None, model.n_mels], tf.float32)], autograph=False)
    def values(log_mel: tf.Tensor) -> list[tf.Tensor]:
        return apply_to_clip(model, functions, log_mel, at_once=most)

    return values


def apply_to_cache(
    model: TrainedDetector,
    functions: Sequence[ClipFunction],
    cache: Cache,
    entries: Sequence[Entry],
    *,
    progress: Progress = lambda items, _: items,
    partial: PartialScores | None = None,
) -> list[dict[Clip, np.ndarray]]:
    """Applies functions to cached clips, in one pass over the cache.

    Args:
      model: The detector of the functions.
      functions: The functions; with `partial`, those of one number per clip.
      cache: The cache.
      entries: The clips.
      progress: Displays the progress.
      partial: Scores of an interrupted pass. Clips in it are skipped, new ones are added.

    Returns:
      Per function, the values by clip.

    Raises:
      DataError: If a value is NaN or infinite, or the cache is damaged.
    """
    compute = clip_function(model, functions)
    scored = partial.scores if partial else {}
    done = [entry.clip for entry in entries if entry.clip.key in scored]
    results: list[dict[Clip, np.ndarray]] = [
        {clip: np.array(scored[clip.key][column], np.float32) for clip in done} for column in range(len(functions))
    ]
    todo = [entry for entry in entries if entry.clip.key not in scored]
    for entry, log_mel in progress(spectra.read(cache, todo), len(todo)):
        values = compute(memory.as_tensor(log_mel))
        for result, function, value in zip(results, functions, values, strict=True):
            result[entry.clip] = of_machine(value.numpy(), function, entry.clip.machine_id)
            if not np.isfinite(result[entry.clip]).all():
                raise DataError(
                    f"The anomaly score of {entry.clip.key} is {result[entry.clip]}, not a number; "
                    "the detector is not usable, train it again."
                )
        if partial:
            partial.add(entry.clip.key, [float(result[entry.clip]) for result in results])
    return results
