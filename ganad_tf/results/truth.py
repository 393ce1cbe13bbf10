"""Labels that come in files of their own: the challenge's ground truth of any year, or any `file,label` list.

The names of development clips hold their labels too. Combined with score files of any system, labels give AUC and pAUC
without a configuration, recordings or a detector.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ganad_tf.clips import DOMAINS
from ganad_tf.errors import DataError
from ganad_tf.results import score_files
from ganad_tf.results.evaluate import IdResult, MachineResult, areas_of
from ganad_tf.results.metrics import MAX_FPR

# What ground truths and score files have in common, such as `ground_truth_fan_section_03_source_test.csv` (2021),
# `anomaly_score_DCASE2023T2bandsaw_section_00_test_seed1_Eval.csv` and `anomaly_score_fan_id_01.csv` (2020).
_GROUP = re.compile(
    r"(?:anomaly_score_|ground_truth_)?(?:DCASE\d{4}T2)?"
    rf"(?P<machine>.+?)_(?P<key>(?:id|section)_\d+(?:_(?:{'|'.join(DOMAINS)}))?)(?:_test.*)?"
)
_IN_NAME = re.compile(r"(?:^|.*?[_/])(normal|anomaly)_.*")  # `section_00_source_test_normal_0000.wav`
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "normal": 0, "anomaly": 1, "abnormal": 1, "anomalous": 1}


@dataclass(frozen=True)
class Group:
    """Test clips that are ranked together: those of one machine ID or section.

    Attributes:
      machine: Machine type.
      key: `id_01`, `section_03_source` and the like; empty if the file's name has none.
    """

    machine: str
    key: str

    @classmethod
    def of(cls, path: Path) -> "Group":
        """The group that a file is named after.

        >>> Group.of(Path("ground_truth_fan_section_03_source_test.csv"))
        Group(machine='fan', key='section_03_source')
        >>> Group.of(Path("my_scores.csv"))
        Group(machine='my_scores', key='')
        """
        found = _GROUP.fullmatch(path.stem)
        return cls(found["machine"], found["key"]) if found else cls(path.stem, "")

    @property
    def short_key(self) -> str:
        """Key for tables: `01`, `03 source`."""
        return re.sub(r"^(id|section)_", "", self.key).replace("_", " ")


@dataclass(frozen=True)
class Truth:
    """Labels by file name, separately for each machine type or group whose file names others have too.

    Attributes:
      path: Source of the labels.
      labels: 0 for normal, 1 for anomalous, by file name; by `Group` from a folder of the challenge of 2021 and later,
        by machine type from its list of 2020, by None from any other list.
      domains: 0 for the source domain, 1 for the target domain, by `Group` and file name, where files give them, as
        since 2022.
    """

    path: Path
    labels: Mapping[Group | str | None, Mapping[str, int]]
    domains: Mapping[Group | str | None, Mapping[str, int]] = field(default_factory=dict)

    def of(self, group: Group) -> Mapping[str, int]:
        """Labels among which those of a group are; empty if it has none."""
        if None in self.labels:
            return self.labels[None]
        if group in self.labels:
            return self.labels[group]
        of_machine = self.labels.get(group.machine, {})
        return {name: label for name, label in of_machine.items() if Path(name).name.startswith(f"{group.key}_")}


@dataclass(frozen=True)
class ScoredGroup:
    """The labelled clips of one score file.

    Attributes:
      group: The group that the file is named after.
      path: The score file.
      scores: Anomaly scores by file name.
      labels: Labels of the same clips, in the same order.
    """

    group: Group
    path: Path
    scores: Mapping[str, float]
    labels: Sequence[int]


def scored_groups(truth: Truth, directory: Path) -> tuple[list[ScoredGroup], list[Path]]:
    """Combines the score files of a directory with labels from elsewhere.

    Args:
      truth: The labels.
      directory: Holds `anomaly_score_*.csv` files, or other CSV files, of `file name,score` lines.

    Returns:
      The labelled score files, and those none of whose clips have a label.

    Raises:
      DataError: If a file can't be read, only some clips of a file have labels, or labelled clips have no score.
    """
    groups: list[ScoredGroup] = []
    others, missing = [], {name for names in truth.labels.values() for name in names} if None in truth.labels else set()
    for path in _score_files(directory):
        group = Group.of(path)
        labels, scores = truth.of(group), _scores(path)
        labelled = [name for name in scores if name in labels]
        if not labelled:
            others.append(path)
            continue
        _check(path, truth, scores.keys() - labels.keys(), "score, but no label")
        if None not in truth.labels:
            _check(path, truth, labels.keys() - scores.keys(), "label, but no score")
        missing -= scores.keys()
        groups.append(ScoredGroup(group, path, scores, [labels[name] for name in scores]))
    if not groups:
        raise DataError(f"None of the scores in {directory} is of a clip that {truth.path} labels.")
    _check(directory, truth, missing, "label, but no score")
    return groups, others


def evaluate_groups(groups: Sequence[ScoredGroup]) -> list[MachineResult]:
    """AUC and pAUC of each score file, by machine type."""
    results: dict[str, list[IdResult]] = {}
    for scored in groups:
        row = areas_of(list(scored.labels), list(scored.scores.values()), scored.group.short_key, MAX_FPR)
        results.setdefault(scored.group.machine, []).append(row)
    return [MachineResult(machine, tuple(ids)) for machine, ids in sorted(results.items())]


def read(path: Path) -> Truth:
    """Reads labels: a folder of `ground_truth_*.csv` files, the list of 2020, or a list of `file,label` lines.

    Raises:
      DataError: If there are none, a line is something else, or a file is labelled twice.
    """
    if not path.is_dir():
        return Truth(path, _read_list(path))
    place = path if any(path.glob("ground_truth_*.csv")) else path / "ground_truth_data"
    labels = _read_folder(place)
    if not labels:
        raise DataError(f"Expected files ground_truth_*.csv in {path}, but there are none.")
    # The evaluators since 2022 have the domains in a folder of their own, beside that of the labels.
    domains = Path(os.path.abspath(place)).with_name("ground_truth_domain")  # noqa: PTH100 - `resolve` would follow links
    return Truth(path, labels, _read_folder(domains))


def from_names(directory: Path) -> Truth:
    """Labels in the names of scored clips of development data, such as `section_00_source_test_normal_0000.wav`.

    Raises:
      DataError: If a score file can't be read, or clips have no label in their names.
    """
    labels: dict[Group | str | None, Mapping[str, int]] = {}
    for path in _score_files(directory):
        found = {name: _IN_NAME.fullmatch(name) for name in _scores(path)}
        without = [name for name, match in found.items() if not match]
        if without:
            raise DataError(
                f"Expected `normal_` or `anomaly_` in the names of the clips in {path}, or labels by --truth; "
                f"{len(without)} have neither, such as {without[0]}."
            )
        labels[Group.of(path)] = {name: int(match[1] == "anomaly") for name, match in found.items() if match}
    return Truth(directory, labels)


def _read_folder(folder: Path) -> dict[Group | str | None, Mapping[str, int]]:
    """Numbers, 0 or 1, of the clips in the `ground_truth_*.csv` files of a folder; none if it does not exist."""
    numbers: dict[Group | str | None, Mapping[str, int]] = {}
    for file in sorted(folder.glob("ground_truth_*.csv")):
        of_file = _read_list(file)
        if of_file.keys() != {None}:
            raise DataError(f"Expected `file,label` lines of one machine type in {file}.")
        numbers[Group.of(file)] = of_file[None]
    return numbers


def _read_list(path: Path) -> dict[Group | str | None, Mapping[str, int]]:
    """Labels of a list; a line with a single entry names the machine type of those below it, as in 2020."""
    labels: dict[Group | str | None, dict[str, int]] = {}
    machine: str | None = None
    for number, row in _rows(path):
        if len(row) == 1:
            machine = row[0]
            continue
        label = _LABELS.get(row[-1].strip().lower())
        if label is None and number == 1:  # a header
            continue
        of_machine = labels.setdefault(machine, {})
        if label is None or row[0] in of_machine:
            wrong = f"Expected `file,label` with label 0 or 1, each file once, in line {number} of {path}."
            raise DataError(f"{wrong} Received: {','.join(row)!r}.")
        of_machine[row[0]] = label
    if not labels or (None in labels and len(labels) > 1):
        raise DataError(f"Expected `file,label` lines in {path}, or such lines below the name of each machine type.")
    return dict(labels)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbered lines that are not empty, without empty cells at their end."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise DataError(f"Can't read the labels in {path}: {reason}.") from error
    try:
        for number, row in enumerate(csv.reader(lines), start=1):
            while row and not row[-1].strip():
                row.pop()
            if row:
                yield number, row
    except csv.Error as error:  # such as a quotation mark without its counterpart
        raise DataError(f"Can't read the labels in {path}: {error}.") from error


def _score_files(directory: Path) -> Sequence[Path]:
    if not directory.is_dir():
        raise DataError(f"Expected a directory of score files, but {directory} is none.")
    files = sorted(directory.glob("anomaly_score_*.csv")) or sorted(directory.glob("*.csv"))
    if not files:
        raise DataError(f"Expected CSV files of `file name,score` lines in {directory}, but there are none.")
    return files


def _scores(path: Path) -> dict[str, float]:
    """Scores by file name."""
    rows = score_files.read_scores(path, may_have_header=True)
    scores = {row.name: row.score for row in rows}
    if len(scores) < len(rows):
        raise DataError(f"Expected one score per clip in {path}, but a clip has several.")
    return scores


def _check(path: Path, truth: Truth, names: set[str], what: str) -> None:
    """Refuses clips that lack a label or a score: a system must not gain by leaving out what it finds hard."""
    if names:
        raise DataError(
            f"Expected a label in {truth.path} and a score in {path} for the same clips; {len(names)} have a {what}, "
            f"such as {min(names)}."
        )
