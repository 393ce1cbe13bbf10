"""The section `tensorboard` → callbacks of a training, and summaries of scores.

`<directory>/<mode>/<machine>/<detector>-<fingerprint>/` holds one training's logs. The fingerprint is of its settings:
other settings get a folder of their own, and a training that is resumed writes on in its folder. Training does not
depend on the logs.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ganad_tf import audio, tensorboard
from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.validation import split_by_file
from ganad_tf.cache.windows import Source
from ganad_tf.clips import LABELS, Clip, evenly_spread, labels_and_scores
from ganad_tf.errors import DataError
from ganad_tf.features import fewest_samples, log_mel_layer, windows_of
from ganad_tf.files import atomic
from ganad_tf.models import HasEmbedding
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import FittedScorer, TrainedDetector
from ganad_tf.tensorboard.writer import remove_events

logger = logging.getLogger(__name__)

SECONDS_SEEN, SECONDS_HEARD = 10, 5  # of a clip, at most; sounds are most of the logs' size
CLIPS_MEASURED, WINDOWS_MEASURED = 8, 256  # after every epoch
CLIPS_PROJECTED = 100  # of training, of validation and of test clips


def log_directory(run: MachineRun) -> Path | None:
    """Directory of the logs of one machine type's training; None if there shall be none."""
    config = run.config
    if config.tensorboard.directory is None:
        return None
    settings = json.dumps(config.training_settings(), sort_keys=True)
    name = f"{config.model.name}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    return Path(config.tensorboard.directory, run.mode, run.machine, name)


def of_training(
    run: MachineRun, training: Source, validation: Source, *, is_new: bool
) -> tuple[keras.callbacks.Callback, ...]:
    """The callbacks that the section asks for.

    Args:
      run: The machine type's run.
      training: The clips that are trained on.
      validation: Those that are not, and therefore shown; without any, training clips are.
      is_new: Whether training begins; what an earlier one with the same settings left is removed then.

    Raises:
      WriteError: If there is no writing to the directory.
      DataError: If a recording that shall be heard can't be read.
    """
    config, log_dir = run.config, log_directory(run)
    if log_dir is None:
        return ()
    if is_new:
        remove_events(log_dir)
    log_dir.mkdir(parents=True, exist_ok=True)
    atomic.check_writable(log_dir)
    source = validation if validation.entries else training
    settings = config.training_settings().items()
    compared = {key: value for key, value in settings if key.partition(".")[0] in ("seed", "feature", "model", "fit")}
    logger.info("%s: TensorBoard's logs are in %s", run.machine, log_dir)
    return (
        tensorboard.LossCurves(log_dir),
        tensorboard.TrainingHealth(log_dir, _some_windows(source)),
        tensorboard.WeightHistograms(log_dir, every=config.tensorboard.every),
        *_pictures_and_sounds(run, source, log_dir),
        tensorboard.HyperparameterSummary(log_dir, {"machine": run.machine, "mode": run.mode, **compared}),
    )


def _pictures_and_sounds(run: MachineRun, source: Source, log_dir: Path) -> tuple[keras.callbacks.Callback, ...]:
    """Callbacks that show some clips as spectra and as sound; none for what is not in decibels, such as embeddings."""
    config = run.config
    if not config.feature.is_in_decibels:
        logger.info("%s: no spectra are shown, because there are none in decibels", run.machine)
        return ()
    features, frames = log_mel_layer(config.audio, config.feature), config.feature.frames
    like: dict[str, Any] = {"log_mel": features, "frames": frames, "normalizer": source.normalizer}
    shown = _spread(source.entries, config.tensorboard.clips)
    seen = SECONDS_SEEN * config.audio.sample_rate // config.feature.hop_length + frames
    log_mels = {entry.clip.name: log_mel[:seen] for entry, log_mel in source.spectra.read(shown)}
    return (
        tensorboard.SpectrogramImages(log_dir, log_mels, every=config.tensorboard.every, **like),
        tensorboard.Sounds(log_dir, dict(_recordings(run, shown)), **like),
    )


def show_scores(
    run: MachineRun, model: TrainedDetector, fitted: FittedScorer, *, scored: Mapping[Clip, Any] | None = None
) -> None:
    """Shows how training and validation clips score, and in `dev` mode, once they are scored, the test clips by label.

    Args:
      run: The machine type's run; nothing is shown where it has no training clips.
      model: Its detector.
      fitted: Its scorer.
      scored: Scores of the test clips; None before they are scored.
    """
    log_dir = log_directory(run)
    if log_dir is None or not run.listing.clips_of("train"):
        return
    training, validation = _parts(run)
    summaries = tensorboard.ScoreSummaries(log_dir, step=len(model.record["history"]["loss"]))
    for tag, part in (("normal training", training), ("validation", validation)):
        names = {entry.clip.name for entry in part}
        summaries.write_histogram(
            f"scores/{tag}", [score.score for score in fitted.train_scores if score.name in names]
        )
    projected = {"training": training, "validation": validation}
    if run.mode == "dev" and scored is not None:
        labelled = {clip: float(score) for clip, score in scored.items() if clip.label is not None}
        summaries.write_labelled(labels_and_scores(labelled))
        projected["test"] = Cache(run, "test").current().entries
    elif run.mode == "dev":
        logger.info("%s: TensorBoard will show the test clips once they are scored", run.machine)
    latent = _latent(run, model, projected)
    if latent is not None:
        summaries.write_latent_vectors(*latent)
    summaries.close()


def _parts(run: MachineRun) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Training and validation clips; empty where scoring finds the cache gone."""
    try:
        normal = Cache(run, "train").current().normal
    except DataError as error:
        logger.warning("%s: TensorBoard will not show the training clips. %s", run.machine, error)
        return (), ()
    return split_by_file(normal, run.config.fit.validation_share, run.config.seed)


def _latent(
    run: MachineRun, model: TrainedDetector, parts: Mapping[str, Sequence[Entry]]
) -> tuple[np.ndarray, dict[str, list[str]]] | None:
    """Mean latent vectors of some clips, `[clips, latent]`, with their columns in the projector; None for none."""
    if not isinstance(model.detector, HasEmbedding):
        logger.info("%s: %s has no latent vectors to show", run.machine, run.config.model.name)
        return None

    @tf.function(input_signature=[tf.TensorSpec([None, model.n_mels], tf.float32)], autograph=False)
    def mean_latent(log_mel: tf.Tensor) -> tf.Tensor:
        windows = tf.ensure_shape(
            windows_of(log_mel, model.frames, model.normalizer, model.hop), [None, model.detector.input_dim]
        )
        return tf.reduce_mean(model.detector.encode(windows), axis=0)

    vectors: list[np.ndarray] = []
    columns: dict[str, list[str]] = {"clip": [], "machine ID": [], "part": [], "label": []}
    for part, entries in parts.items():
        cache = Cache(run, "test" if part == "test" else "train")
        for entry, log_mel in spectra.read(cache, _spread(entries, CLIPS_PROJECTED)):
            clip = entry.clip
            vectors.append(mean_latent(log_mel).numpy())
            for column, text in zip(columns, (clip.name, clip.machine_id, part, LABELS[clip.label]), strict=True):
                columns[column].append(text)
    return (np.stack(vectors), columns) if vectors else None


def _spread(entries: Sequence[Entry], count: int) -> list[Entry]:
    """At most `count` entries, evenly spread over IDs and names; the same every time."""
    ordered = sorted(entries, key=lambda entry: entry.clip.key)
    return [ordered[index] for index in evenly_spread(len(ordered), count)]


def _some_windows(source: Source) -> np.ndarray:
    """Windows of a few clips, evenly spread, `[at most WINDOWS_MEASURED, dims]`."""
    chosen = source.spectra.read(_spread(source.entries, CLIPS_MEASURED))
    stacked = [windows_of(tf.constant(log_mel), source.frames, source.normalizer) for _, log_mel in chosen]
    windows_measured = np.concatenate(stacked)
    return np.asarray(windows_measured[evenly_spread(len(windows_measured), WINDOWS_MEASURED)])


def _recordings(run: MachineRun, entries: Sequence[Entry]) -> Iterator[tuple[str, np.ndarray]]:
    """The beginnings of the recordings, where there are any."""
    config = run.config
    if config.dataset.name == "imported":
        logger.info("%s: imported log-mels have no recordings to be heard", run.machine)
        return
    n_samples = max(SECONDS_HEARD * config.audio.sample_rate, fewest_samples(config.feature))
    for entry in entries:
        waveform = audio.read_clip(run.listing.directory, entry.clip, config.audio)
        yield entry.clip.name, waveform[:n_samples]
