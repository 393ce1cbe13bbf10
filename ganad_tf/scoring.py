"""The verb `score`: a trained detector and recordings → one anomaly score and one decision per clip."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import atomic, clips, preparation, records, trained
from ganad_tf.clips import Clip, ClipScore, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError
from ganad_tf.features import windows_of
from ganad_tf.manifest import Entry
from ganad_tf.preparation import Progress
from ganad_tf.thresholds import threshold
from ganad_tf.trained import Trained

logger = logging.getLogger(__name__)


def score(config: Config, listing: Listing, mode: Mode, *, progress: Progress = lambda items, _: items) -> float:
    """Scores the test clips of one machine type and writes score and decision files, one pair per ID.

    Args:
      config: The experiment.
      listing: The machine type's clips; the log-mels of the test clips must be in the cache.
      mode: `dev` or `eval`.
      progress: Shows how far it is.

    Returns:
      The threshold above which a clip is called anomalous.

    Raises:
      DataError: If there are no test clips, no trained detector, a cache that is not up to date, or a
        score that is not a number; no file is written then. If the training scores give no threshold, the
        scores are written and the decisions are not.
      ConfigError: If the detector was trained with other settings.
    """
    model = trained.load(find_detector(config, listing, mode))
    current = preparation.current_cache(config, listing, mode, "test")
    scores = score_clips(model, config.cache_path(mode, listing.machine, "test"), current.entries, progress=progress)
    scored_by_id = {
        machine_id: [ClipScore(clip.name, scores[clip]) for clip in group if clip in scores]
        for machine_id, group in clips.by_id(listing.of("test")).items()  # an ID without usable clips gets empty files
    }
    origin = {"settings": config.training_settings(), "cache": current.digest()}
    for machine_id, scored in scored_by_id.items():
        clips.write_scores(config.score_path(listing.machine, machine_id), scored)
    atomic.write_text(config.origin_path(mode, listing.machine), json.dumps(origin, indent=1))
    limit = threshold([score.score for score in model.train_scores], config.threshold)
    for machine_id, scored in scored_by_id.items():
        clips.write_rows(
            config.decision_path(listing.machine, machine_id), [(clip.name, int(clip.score > limit)) for clip in scored]
        )
    logger.info("%s: scored %d clips, threshold %.6g", listing.machine, len(scores), limit)
    return limit


def find_detector(config: Config, listing: Listing, mode: Mode) -> Path:
    """The directory of the detector that scores a machine type's test clips.

    Evaluation data without training clips of their own use the development data's detector.

    Raises:
      DataError: If there are no test clips or no trained detector.
      ConfigError: If the detector was trained with other settings.
    """
    listing.need("test")
    directory = config.model_path(mode if listing.of("train") else "dev", listing.machine)
    trained.check_settings(directory, trained.read_record(directory), config)
    return directory


def score_clips(
    model: Trained, cache: Path, entries: Sequence[Entry], *, progress: Progress = lambda items, _: items
) -> dict[Clip, float]:
    """The anomaly score of each cached clip: the mean of its windows' scores.

    Raises:
      DataError: If a score is not a number, or the cache is damaged.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def clip_score(log_mel: tf.Tensor) -> tf.Tensor:
        windows = windows_of(log_mel, model.frames, model.normalizer)
        windows = tf.ensure_shape(windows, [None, model.detector.input_dim])
        return tf.reduce_mean(model.detector.anomaly_score(windows))

    scores = {}
    for entry, log_mel in progress(records.read(cache, entries), len(entries)):
        scores[entry.clip] = float(clip_score(log_mel))
        if not np.isfinite(scores[entry.clip]):
            raise DataError(
                f"The anomaly score of {entry.clip.file} is {scores[entry.clip]}, not a number; "
                "the detector is not usable, train it again."
            )
    return scores
