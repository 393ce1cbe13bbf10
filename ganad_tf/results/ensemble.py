"""Ensembles: score files of several systems → one score per clip, without detectors or TensorFlow.

Members are scaled by their scores of normal training clips, never by those of test clips, so that a clip's score does
not depend on the other test clips.
"""

import hashlib
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ganad_tf.clips import by_id
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.results import conformal, score_files
from ganad_tf.results.directory import MachineResults
from ganad_tf.results.score_files import ClipScore, names_without_score
from ganad_tf.results.thresholds import NormalScores, format_threshold, threshold_or_none
from ganad_tf.run import MachineRun

logger = logging.getLogger(__name__)

P_VALUES = ("p_value", "harmonic_p_value")  # of `ensemble.combine`
Aligned = tuple[list[str], np.ndarray]  # names of clips, and their scores `[members, clips]`


def score_ensemble(run: MachineRun, *, command: str = "") -> float | None:
    """Combines the members' scores of one machine type and writes score and decision files, one pair per ID.

    Args:
      run: The machine type's run, with a section `ensemble`.
      command: The command line, to be recorded beside the scores.

    Returns:
      The threshold above which a clip counts as anomalous; None, after a warning, if there are scores but no decisions.

    Raises:
      DataError: If a member lacks scores or lists other clips than the first; no file is written then.
    """
    config, members = run.config, _members(run)
    origins = [member.read_origin() or {} for member in members]
    takes_machine_ids = any(origin.get("takes_machine_ids", False) for origin in origins)
    training = aligned([member.train_scores for member in members])
    calibration, recordings = _calibration(run, members)
    reference = calibration if combines_by_calibration(config) else training
    not_judged = {name: reason for member in members[::-1] for name, reason in member.read_not_judged().items()}
    combined = {}
    for machine_id, clips in by_id(run.listing.require_clips("test")).items():
        names, scores = aligned([member.scores(machine_id) for member in members], without=not_judged)
        may_lack = {clip.name for clip in clips} if config.on_bad_clip == "skip" else set(not_judged)
        advice = "run `ganad score` on the members again"
        score_files.check_names(members[0].scores(machine_id), names, clips, may_lack, advice=advice)
        combined[machine_id] = _combined((names, scores), reference, config)
    unseen = _combined(calibration, reference, config, recordings) if calibration[0] else []
    unseen = [replace(clip, recording=name) for clip, name in zip(unseen, recordings, strict=True)]
    normal = NormalScores(_combined(training, reference, config), unseen)
    limit = threshold_or_none(normal, config.threshold, run.machine)
    origin = config.origin(command) | {"members": _digests(run), "takes_machine_ids": takes_machine_ids}
    missing = names_without_score(run.listing.clips_of("test"), combined)
    MachineResults.of(run).write(
        combined, normal, origin, threshold=limit, not_judged=not_judged, without_score=missing
    )
    logger.info("%s: combined %d members, threshold %s", run.machine, len(members), format_threshold(limit))
    return limit


def _calibration(run: MachineRun, members: Sequence[MachineResults]) -> tuple[Aligned, list[str]]:
    """Calibration scores of the members, as `aligned`, and the recordings of the clips; none unless they are needed."""
    if run.config.threshold.method != "conformal":
        return ([], np.empty([len(members), 0])), []
    for member in members:
        if not member.calibration_scores.exists():
            raise DataError(
                f"Expected calibration scores in {member.directory} for `threshold.method: conformal`, but there are "
                "none; run the member with that method too, or set `threshold.method: quantile`."
            )
    paths = [member.calibration_scores for member in members]
    names, scores = aligned(paths, read=score_files.read_calibration)
    recordings = recordings_of(map(score_files.read_calibration, paths))
    return (names, scores), [recordings[name] for name in names]


def recordings_of(members: Iterable[Sequence[ClipScore]]) -> dict[str, str]:
    """Recording of each calibration clip by the clip's name, as any member knows it; earlier versions' know none."""
    recordings: dict[str, str] = {}
    for clips in members:
        recordings |= {clip.name: clip.recording or recordings.get(clip.name, "") for clip in clips}
    return recordings


def check_unchanged(run: MachineRun, digests: Mapping[str, str]) -> None:
    """Checks that the members' scores have not changed since they were combined.

    Args:
      run: The ensemble's run of the machine type.
      digests: Digest of the combined scores, by member.

    Raises:
      DataError: If they have; names the member.
    """
    now = _digests(run)
    for member, digest in digests.items():
        if now.get(member) != digest:
            raise DataError(
                f"The scores of {run.machine} in {member} are not those that were combined; "
                "run `ganad score` on the ensemble again."
            )


class Operations(NamedTuple):
    """Operations of the ensemble's formula, on NumPy arrays or on tensors.

    Attributes:
      share_below: Sorted training scores `[training clips]` and scores → shares of the former below each of the latter.
      maximum: Of scores and a number.
      log, exp: Natural logarithm and its inverse.
      mean, max: Of the members' scores, a list, over the members.
    """

    share_below: Callable[[Any, Any], Any]
    maximum: Callable[[Any, float], Any]
    log: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    mean: Callable[[Sequence[Any]], Any]
    max: Callable[[Sequence[Any]], Any]


IN_NUMPY = Operations(
    share_below=lambda ordered, scores: np.searchsorted(ordered, scores) / len(ordered),
    maximum=np.maximum,
    log=np.log,
    exp=np.exp,
    mean=partial(np.mean, axis=0),
    max=partial(np.max, axis=0),
)


class Normal(NamedTuple):
    """A member's scores of normal clips, which bring its other scores to the members' common scale.

    Attributes:
      ordered: In ascending order, `[clips]`, an array or a tensor.
      mean, deviation: Theirs, numbers or tensors.
    """

    ordered: Any
    mean: Any
    deviation: Any

    @classmethod
    def of(cls, scores: np.ndarray) -> "Normal":
        """Of scores `[clips]` in any order."""
        return cls(np.sort(scores), scores.mean(), scores.std())


def combine(
    scores: Iterable[Any],
    training: Iterable[np.ndarray],
    how: str,
    *,
    shares: Sequence[float] | None = None,
) -> Any:
    """Combines the members' scores to one score per clip.

    `mean` and `max` are those of the z-scores `(s - m) / d`, with m and d the mean and standard deviation of the
    member's training scores. `rank` is the mean of the shares of training scores below the score; above the largest
    training score, where the share is 1, the distance to it in standard deviations is added, so that clear anomalies
    remain distinguishable. `p_value` is the mean of -log p, with the p-values of `conformal.p_values` and the same
    distance added beyond the largest score: Fisher's statistic divided by twice the number of members.
    `harmonic_p_value` is -log of the harmonic mean of p (Wilson 2019, "The harmonic mean p-value for combining
    dependent tests", PNAS 116(4)), with p divided by e to the power of that distance.

    Fisher's statistic has its chi-squared distribution for independent members only, and members that hear the same
    clips depend on each other. Both means are scores here: a clip's p-value is that among the combined calibration
    scores, whatever the members' dependence.

    Args:
      scores: `[members, clips]`.
      training: `[members, training clips]`, no row is constant; calibration clips where `combines_by_calibration`.
      how: `mean`, `max`, `rank`, `p_value` or `harmonic_p_value`.
      shares: Weights of the members in the mean, whose sum is 1; None for equal ones.

    Returns:
      `[clips]`; higher is more anomalous.

    >>> combine(np.array([[3.0], [10.0]]), np.array([[0.0, 2.0], [0.0, 10.0]]), "mean").tolist()
    [1.5]
    """
    return combine_by(scores, map(Normal.of, training), how, IN_NUMPY, shares=shares)


def combine_by(
    scores: Iterable[Any],
    training: Iterable[Normal],
    how: str,
    operations: Operations,
    *,
    shares: Sequence[Any] | None = None,
) -> Any:
    """The formula of `combine`, in score files as in exported graphs.

    Args:
      scores: One array or tensor of any shape per member.
      training: One per member.
      how: As of `combine`.
      operations: Of the arrays or tensors that the scores are.
      shares: As of `combine`; numbers or tensors.

    Returns:
      As each of the scores.
    """
    terms = []
    for values, normal in zip(scores, training, strict=True):
        if how in ("rank", *P_VALUES):
            beyond = operations.maximum(values - normal.ordered[-1], 0) / normal.deviation
            share = operations.share_below(normal.ordered, values)
            n_clips = normal.ordered.shape[0]
            unusual = share if how == "rank" else -operations.log((1 + n_clips - n_clips * share) / (1 + n_clips))
            terms.append(unusual + beyond)
        else:
            terms.append((values - normal.mean) / normal.deviation)
    if how == "max":
        return operations.max(terms)
    if how == "harmonic_p_value":
        largest = operations.max(terms)  # of the exponents, which may be too large for `exp`
        inverse = [operations.exp(term - largest) for term in terms]
        return largest + operations.log(_mean(inverse, shares, operations))
    return _mean(terms, shares, operations)


def _mean(terms: Sequence[Any], shares: Sequence[Any] | None, operations: Operations) -> Any:
    if shares is None:
        return operations.mean(terms)
    return sum(share * term for share, term in zip(shares, terms, strict=True))


def combine_each_without_itself(
    scores: np.ndarray, how: str, shares: Sequence[float] | None = None, recordings: Sequence[str] = ()
) -> np.ndarray:
    """Combines calibration scores `[members, clips]` as `combine` does, each clip by those of other recordings.

    Where nothing differs among these, it is combined by all other clips.
    """
    combined = np.empty(scores.shape[1])
    for clips in conformal.by_recording(scores.shape[1], recordings):
        others = np.delete(scores, clips, axis=1)
        for clip in clips:
            known = others if others.size and np.ptp(others, axis=1).all() else np.delete(scores, clip, axis=1)
            combined[[clip]] = combine(scores[:, [clip]], known, how, shares=shares)
    return combined


def combines_by_calibration(config: Config) -> bool:
    """Whether the members' calibration scores, not their training scores, are the ones that a clip is compared with."""
    return config.ensemble.combine in P_VALUES and config.threshold.method == "conformal"


def _combined(scores: Aligned, training: Aligned, config: Config, recordings: Sequence[str] = ()) -> list[ClipScore]:
    names, values = scores
    directories, settings = config.member_directories(), config.ensemble
    if not training[0]:
        raise DataError("Expected scores of normal training clips of the members. Received: none.")
    if np.ptp(training[1], axis=1).min() == 0:
        member = directories[int(np.ptp(training[1], axis=1).argmin())]
        raise DataError(f"Expected training scores that differ in {member}, to bring it to the others' scale.")
    if values is training[1] and combines_by_calibration(config):
        combined = combine_each_without_itself(values, settings.combine, settings.shares(), recordings)
    else:
        combined = combine(values, training[1], settings.combine, shares=settings.shares())
    return [ClipScore(name, float(value)) for name, value in zip(names, combined, strict=True)]


def _members(run: MachineRun) -> list[MachineResults]:
    """Files of the members for the run's machine type."""
    return [MachineResults(Path(member), run.mode, run.machine) for member in run.config.member_directories()]


def _digests(run: MachineRun) -> dict[str, str]:
    """Digest of the score files of one machine type, by member: its name or, without one, its result directory."""
    digests = {}
    for member, results in zip(run.config.ensemble.labels(), _members(run), strict=True):
        paths = [*map(results.scores, by_id(run.listing.clips_of("test"))), results.train_scores]
        paths += [results.calibration_scores] if run.config.threshold.method == "conformal" else []
        content = [path.read_bytes() for path in paths if path.exists()]
        digests[member] = hashlib.sha256(b"\0".join(content)).hexdigest()
    return digests


def aligned(
    paths: Sequence[Path],
    *,
    without: Collection[str] = (),
    read: Callable[[Path], Sequence[ClipScore]] = score_files.read_scores,
) -> Aligned:
    """Reads score files of the same clips: clip names, in the order of the first file, and `[members, clips]` scores.

    Args:
      paths: The files.
      without: Names of clips that are left out, such as those that a member does not judge.
      read: Reads a file.

    Raises:
      DataError: If a file is missing or lists other clips than the first.
    """
    tables = [{score.name: score.score for score in read(path) if score.name not in without} for path in paths]
    for path, table in zip(paths, tables, strict=True):
        different = sorted(table.keys() ^ tables[0].keys())
        if different:
            raise DataError(
                f"Expected the same clips in {path} as in {paths[0]}; {len(different)} are in one of them only, "
                f"such as {different[0]}. Score both on the same recordings."
            )
    names = list(tables[0])
    return names, np.array([[table[name] for name in names] for table in tables])
