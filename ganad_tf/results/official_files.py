"""Sections for the official scores: from score files by labels from elsewhere, or from the runs of an experiment."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from ganad_tf.clips import DOMAINS, Clip
from ganad_tf.errors import DataError
from ganad_tf.results import decisions, evaluate, official, official_table, score_files
from ganad_tf.results.directory import ResultDirectory
from ganad_tf.results.evaluate import MachineResult, scored_clips
from ganad_tf.results.official import Section
from ganad_tf.results.truth import Group, ScoredGroup, Truth
from ganad_tf.run import MachineRun

_NAMES = "|".join(DOMAINS)
_KEY = re.compile(rf"section_(?P<number>\d+)(?:_(?P<domain>{_NAMES}))?")
_IN_NAME = re.compile(rf"(?:^|.*?[_/])({_NAMES})_.*")  # `section_00_source_test_normal_0000.wav`

SCORES, DECISIONS = "anomaly_score_", "decision_result_"


def is_2021(groups: Sequence[ScoredGroup]) -> bool:
    """Whether each domain has score files of its own, as in 2021."""
    keys = [_KEY.fullmatch(scored.group.key) for scored in groups]
    return any(key and key["domain"] for key in keys)


def sections_of(groups: Sequence[ScoredGroup], truth: Truth) -> list[Section]:
    """Sections of score files that are named as in the challenge since 2021.

    Decisions are those of the `decision_result_*.csv` file beside each score file.

    Args:
      groups: The labelled score files.
      truth: Their labels, with domains where file names have none.

    Returns:
      The sections; none if the files are not of sections, or the domains of clips are not known.

    Raises:
      DataError: If a section has two score files, or only some files of decisions are there, or one does not fit.
    """
    domains = [_domains(scored, truth) for scored in groups]
    if not all(_KEY.fullmatch(scored.group.key) for scored in groups) or not all(domains):
        return []
    _refuse_duplicates(groups)
    decided = _decisions(groups)
    by_section: dict[tuple[str, str], list[tuple[int, str, float, str, bool]]] = {}
    for scored, of_clips in zip(groups, domains, strict=True):
        called = decided.get(scored.group, {})
        clips = zip(scored.scores.items(), scored.labels, of_clips, strict=True)
        rows = [(label, name, score, domain, called.get(name, False)) for (name, score), label, domain in clips]
        by_section.setdefault((scored.group.machine, _number(scored.group)), []).extend(rows)
    return [
        Section(*key, labels, scores, of_rows, called if decided else None)
        for key, rows in by_section.items()
        for labels, _, scores, of_rows, called in [list(zip(*rows, strict=True))]
    ]


def evaluate_runs(runs: Sequence[MachineRun], *, keep: bool) -> list[MachineResult]:
    """Evaluates the score files of an experiment and writes the result file in the layout of the dataset's year.

    Args:
      runs: One per machine type, of one experiment.
      keep: Whether the result file keeps its lines of other machine types.

    Raises:
      DataError: As `evaluate.results_of` and `sections_of_runs`, or if a result file that is kept can't be read.
      ConfigError: As `evaluate.results_of`.
    """
    year, directory = official.year_of(runs[0].config.dataset.name), ResultDirectory.of(runs[0].config)
    modes = {run.machine: run.mode for run in runs}
    results = evaluate.results_of(runs)
    if year is None:
        with directory.recording_modes(modes, keep=keep):
            evaluate.write_table(directory.table, results, keep=keep)
        return results
    of_sections = official.evaluate(sections_of_runs(runs), is_2021=year == 2021)
    with directory.recording_modes(modes, keep=keep):
        official_table.write(directory.table, of_sections, is_2021=year == 2021, keep=keep)
    return results


def sections_of_runs(runs: Sequence[MachineRun]) -> list[Section]:
    """Sections of the scored test clips of an experiment; each machine ID is a section.

    Raises:
      DataError: If clips have no domain, several are of one file, or a file of scores or decisions does not match the
        test clips.
    """
    refuse_unofficial(runs)
    sections, without = [], []
    for run in runs:
        called = dict(decisions.read(run))
        for number, scored in scored_clips(run).items():
            clips = [clip for clip, _ in scored]
            without += [clip.key for clip in clips if clip.domain not in DOMAINS]
            sections.append(
                Section(
                    run.machine,
                    number,
                    [clip.label or 0 for clip in clips],
                    [score for _, score in scored],
                    [clip.domain for clip in clips],
                    [called[clip] for clip in clips] if _are_decided(clips, called) else None,
                )
            )
    if without:
        raise DataError(
            f"Expected test clips of the domains source and target for the official scores of `dataset.name: "
            f"{runs[0].config.dataset.name}`; {len(without)} have none, such as {without[0]}."
        )
    return sections


def refuse_unofficial(runs: Sequence[MachineRun]) -> None:
    """Refuses runs of a dataset with official scores if several of their test clips are of one file.

    Raises:
      DataError: As `refuse_parts`.
    """
    name = runs[0].config.dataset.name
    if official.year_of(name):
        refuse_parts(runs, f"the official scores of `dataset.name: {name}` (`ganad evaluate --scores` takes any clips)")


def refuse_parts(runs: Sequence[MachineRun], purpose: str) -> None:
    """Refuses runs in which several test clips are of one file, as channels or stretches of it.

    Raises:
      DataError: Says for which purpose, and in which machine types.
    """
    parted = {}
    for run in runs:
        counts = Counter(clip.file for clip in run.listing.clips_of("test"))
        file, count = counts.most_common(1)[0] if counts else ("", 0)
        if count > 1:
            parted[run.machine] = file
    if parted:
        raise DataError(
            f"Expected one test clip of each file for {purpose}; unset `audio.channel: all` and `audio.clip_seconds`, "
            f"and score again. Received: several of a file of {', '.join(parted)}, such as {min(parted.values())}."
        )


def _are_decided(clips: Sequence[Clip], called: Mapping[Clip, bool]) -> bool:
    return all(clip in called for clip in clips)


def _number(group: Group) -> str:
    found = _KEY.fullmatch(group.key)
    return found["number"] if found else ""


def _domains(scored: ScoredGroup, truth: Truth) -> list[str]:
    """Domain of each clip: by the name of the score file, a file of domains, or the clips' names; empty if unknown."""
    key = _KEY.fullmatch(scored.group.key)
    if key and key["domain"]:
        return [key["domain"]] * len(scored.scores)
    numbers = truth.domains.get(scored.group, {})
    in_names = {name: _IN_NAME.fullmatch(name) for name in scored.scores}
    known = {name: match[1] for name, match in in_names.items() if match}
    known |= {name: DOMAINS[number] for name, number in numbers.items()}
    return [known[name] for name in scored.scores] if scored.scores.keys() <= known.keys() else []


def _refuse_duplicates(groups: Sequence[ScoredGroup]) -> None:
    files: dict[Group, list[str]] = {}
    for scored in groups:
        files.setdefault(scored.group, []).append(scored.path.name)
    doubled = [" and ".join(names) for names in files.values() if len(names) > 1]
    if doubled:
        raise DataError(
            f"Expected one score file of each section in {groups[0].path.parent}. Received: {'; '.join(doubled)}."
        )


def _decisions(groups: Sequence[ScoredGroup]) -> dict[Group, dict[str, bool]]:
    """Decisions by clip name, of all score files or of none."""
    paths = {scored.group: _decision_path(scored.path) for scored in groups}
    missing = [path.name for path in paths.values() if not path.exists()]
    if len(missing) == len(paths):
        return {}
    if missing:
        raise DataError(f"Expected decisions beside all scores or none; missing: {', '.join(sorted(missing))}.")
    decided = {}
    for scored in groups:
        path = paths[scored.group]
        rows = score_files.read_scores(path, may_have_header=True)
        called = {row.name: row.score for row in rows}
        if called.keys() != scored.scores.keys() or not set(called.values()) <= {0.0, 1.0}:
            raise DataError(f"Expected a decision, 0 or 1, for each clip of {scored.path.name} in {path}.")
        decided[scored.group] = {name: value == 1 for name, value in called.items()}
    return decided


def _decision_path(scores: Path) -> Path:
    return scores.with_name(DECISIONS + scores.name.removeprefix(SCORES))
