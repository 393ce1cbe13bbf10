"""Several systems' scores → one score per clip, from score files alone: no detector, no TensorFlow.

Members are brought to one scale by their scores of normal training clips, never by those of test clips,
so that a clip's score does not depend on which others are in the test.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganad_tf import atomic, clips
from ganad_tf.clips import ClipScore, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.errors import DataError
from ganad_tf.sections import Ensemble
from ganad_tf.thresholds import threshold

logger = logging.getLogger(__name__)


def score(config: Config, listing: Listing, mode: Mode) -> float:
    """Combines the members' scores of one machine type and writes score and decision files, one pair per ID.

    Args:
      config: The experiment, with a section `ensemble`.
      listing: The machine type's clips, which say what machine IDs there are.
      mode: `dev` or `eval`.

    Returns:
      The threshold above which a clip is called anomalous.

    Raises:
      DataError: If a member lacks scores or lists other clips than the first; no file is written then.
    """
    members = [Path(member) for member in config.ensemble.members]
    training = _aligned([config.within(member).train_score_path(mode, listing.machine) for member in members])
    combined = {
        machine_id: _combined(
            _aligned([config.within(member).score_path(listing.machine, machine_id) for member in members]),
            training,
            config.ensemble,
        )
        for machine_id in clips.by_id(listing.need("test"))
    }
    train_scores = _combined(training, training, config.ensemble)
    limit = threshold([score.score for score in train_scores], config.threshold)
    for machine_id, scored in combined.items():
        clips.write_scores(config.score_path(listing.machine, machine_id), scored)
        decisions = [(clip.name, int(clip.score > limit)) for clip in scored]
        clips.write_rows(config.decision_path(listing.machine, machine_id), decisions)
    clips.write_scores(config.train_score_path(mode, listing.machine), train_scores)
    atomic.write_text(
        config.origin_path(mode, listing.machine), json.dumps({"settings": config.score_settings()}, indent=1)
    )
    logger.info("%s: combined %d members, threshold %.6g", listing.machine, len(members), limit)
    return limit


def combine(scores: np.ndarray, training: np.ndarray, how: str) -> np.ndarray:
    """One score per clip.

    `mean` and `max` are of `(s - m) / d`, m and d the mean and deviation of the member's training scores.
    `rank` is the mean of the shares of training scores that lie below; beyond the largest of them, where all
    shares are 1, it grows by the distance in deviations, so that clear anomalies are still told apart.

    Args:
      scores: `[members, clips]`.
      training: `[members, training clips]`, whose rows differ within.
      how: `mean`, `max` or `rank`.

    Returns:
      `[clips]`; higher is more anomalous.

    >>> combine(np.array([[3.0], [10.0]]), np.array([[0.0, 2.0], [0.0, 10.0]]), "mean").tolist()
    [1.5]
    """
    deviation = training.std(axis=1, keepdims=True)
    if how == "rank":
        ordered = np.sort(training, axis=1)
        beyond = np.maximum(scores - ordered[:, -1:], 0) / deviation
        below = [np.searchsorted(row, values) / len(row) for row, values in zip(ordered, scores, strict=True)]
        return np.asarray(np.mean(np.stack(below) + beyond, axis=0))
    standardised = (scores - training.mean(axis=1, keepdims=True)) / deviation
    return np.asarray(standardised.mean(axis=0) if how == "mean" else standardised.max(axis=0))


def _combined(
    scores: tuple[list[str], np.ndarray], training: tuple[list[str], np.ndarray], settings: Ensemble
) -> list[ClipScore]:
    names, values = scores
    if np.ptp(training[1], axis=1).min() == 0:
        member = settings.members[int(np.ptp(training[1], axis=1).argmin())]
        raise DataError(f"Expected training scores that differ in {member}, to bring it to the others' scale.")
    return [
        ClipScore(name, float(value))
        for name, value in zip(names, combine(values, training[1], settings.combine), strict=True)
    ]


def _aligned(paths: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """Names and scores, `[members, clips]`, of files that list the same clips, in the first one's order.

    Raises:
      DataError: If a file is missing or lists other clips than the first.
    """
    tables = [{score.name: score.score for score in clips.read_scores(path)} for path in paths]
    for path, table in zip(paths, tables, strict=True):
        different = sorted(table.keys() ^ tables[0].keys())
        if different:
            raise DataError(
                f"Expected the same clips in {path} as in {paths[0]}; {len(different)} are in one of them only, "
                f"such as {different[0]}. Score both on the same recordings."
            )
    names = list(tables[0])
    return names, np.array([[table[name] for name in names] for table in tables])
