"""Several systems' scores → one score per clip, from score files alone: no detector, no TensorFlow.

Members are brought to one scale by their scores of normal training clips, never by those of test clips,
so that a clip's score does not depend on which others are in the test.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf import clips
from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config, Mode
from ganad_tf.config.sections import Ensemble
from ganad_tf.errors import DataError
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.results.thresholds import shown, threshold_if_any

logger = logging.getLogger(__name__)


def score(config: Config, listing: Listing, mode: Mode, *, command: str = "") -> float | None:
    """Combines the members' scores of one machine type and writes score and decision files, one pair per ID.

    Args:
      config: The experiment, with a section `ensemble`.
      listing: The machine type's clips, which say what machine IDs there are.
      mode: `dev` or `eval`.
      command: What the user typed; kept beside the scores.

    Returns:
      The threshold above which a clip is called anomalous; None, after a warning, if there are scores but no decisions.

    Raises:
      DataError: If a member lacks scores or lists other clips than the first; no file is written then.
    """
    members = [config.within(member) for member in config.ensemble.members]
    for member in members:
        score_files.read_origin(member.origin_path(mode, listing.machine))
    training = aligned([member.train_score_path(mode, listing.machine) for member in members])
    combined = {}
    for machine_id, group in clips.by_id(listing.need("test")).items():
        names, scores = aligned([member.score_path(listing.machine, machine_id) for member in members])
        _check_names(names, group, members[0].score_path(listing.machine, machine_id), config)
        combined[machine_id] = _combined((names, scores), training, config.ensemble)
    train_scores = _combined(training, training, config.ensemble)
    limit = threshold_if_any([score.score for score in train_scores], config.threshold, listing.machine)
    origin = config.origin(command) | {"members": _digests(config, listing, mode)}
    score_files.write_origin(config.origin_path(mode, listing.machine), origin, is_complete=False)
    for machine_id, scored in combined.items():
        score_files.write_scores(config.score_path(listing.machine, machine_id), scored)
        path = config.decision_path(listing.machine, machine_id)
        if limit is None:  # those of earlier scores
            path.unlink(missing_ok=True)
        else:
            score_files.write_rows(path, [(clip.name, int(clip.score > limit)) for clip in scored])
    score_files.write_scores(config.train_score_path(mode, listing.machine), train_scores)
    score_files.write_origin(config.origin_path(mode, listing.machine), origin)
    logger.info("%s: combined %d members, threshold %s", listing.machine, len(members), shown(limit))
    return limit


def check_unchanged(config: Config, listing: Listing, mode: Mode, origin: Mapping[str, Any]) -> None:
    """Refuses combined scores whose members have other scores by now.

    Raises:
      DataError: Names the member.
    """
    now = _digests(config, listing, mode)
    for member, digest in origin.get("members", {}).items():
        if now.get(member) != digest:
            raise DataError(
                f"The scores of {listing.machine} in {member} are not those that were combined; "
                "run `ganad score` on the ensemble again."
            )


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
    if not training[0]:
        raise DataError("Expected scores of normal training clips of the members. Received: none.")
    if np.ptp(training[1], axis=1).min() == 0:
        member = settings.members[int(np.ptp(training[1], axis=1).argmin())]
        raise DataError(f"Expected training scores that differ in {member}, to bring it to the others' scale.")
    return [
        ClipScore(name, float(value))
        for name, value in zip(names, combine(values, training[1], settings.combine), strict=True)
    ]


def _digests(config: Config, listing: Listing, mode: Mode) -> dict[str, str]:
    """One digest per member, of its score files of one machine type."""
    digests = {}
    for member in config.ensemble.members:
        own = config.within(member)
        paths = [own.score_path(listing.machine, machine_id) for machine_id in clips.by_id(listing.of("test"))]
        content = [path.read_bytes() for path in (*paths, own.train_score_path(mode, listing.machine)) if path.exists()]
        digests[member] = hashlib.sha256(b"\0".join(content)).hexdigest()
    return digests


def _check_names(names: Sequence[str], group: Sequence[Clip], path: Path, config: Config) -> None:
    """Refuses scores of other clips than there are; with `on_bad_clip: skip` some may have none."""
    missing, foreign = {clip.name for clip in group} - set(names), set(names) - {clip.name for clip in group}
    if foreign or (missing and config.on_bad_clip == "error"):
        raise DataError(
            f"{path} does not list the test clips that are there ({len(missing)} missing, {len(foreign)} others, "
            f"such as {min(missing | foreign)}); run `ganad score` on the members again."
        )


def aligned(paths: Sequence[Path]) -> tuple[list[str], np.ndarray]:
    """Names and scores, `[members, clips]`, of files that list the same clips, in the first one's order.

    Raises:
      DataError: If a file is missing or lists other clips than the first.
    """
    tables = [{score.name: score.score for score in score_files.read_scores(path)} for path in paths]
    for path, table in zip(paths, tables, strict=True):
        different = sorted(table.keys() ^ tables[0].keys())
        if different:
            raise DataError(
                f"Expected the same clips in {path} as in {paths[0]}; {len(different)} are in one of them only, "
                f"such as {different[0]}. Score both on the same recordings."
            )
    names = list(tables[0])
    return names, np.array([[table[name] for name in names] for table in tables])
