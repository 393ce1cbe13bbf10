"""Result files in the layouts of the official evaluators of DCASE Task 2, 2021 to 2025, and the same as text.

2021: the baseline's `result.csv` and the evaluator's file are laid out alike, a line per section and domain. 2022 and
later: the evaluators' layout, a line per section with both domains in it, and the official score at the end. Numbers
have all their digits, as there. Two things differ from the evaluators: cells without a value are empty, which they do
not know, and the harmonic means by domain are those of each domain in 2022 too, when the evaluator took other lines for
them.
"""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from ganad_tf.clips import DOMAINS
from ganad_tf.errors import DataError
from ganad_tf.results import official, score_files
from ganad_tf.results.official import DomainResult, SectionResult

NAMES = ("AUC", "pAUC", "precision", "recall", "F1 score")
HEAD_2021 = ["section", "domain", *NAMES]
DECISION_NAMES = [f"{name} ({domain})" for name in NAMES[2:] for domain in DOMAINS]
HEAD = ["section", "AUC (all)", *(f"AUC ({domain})" for domain in DOMAINS), "pAUC", *DECISION_NAMES]
OVER_ALL = "over all machine types, sections, and domains"


def write(path: Path, results: Sequence[SectionResult], *, is_2021: bool, keep: bool = False) -> None:
    """Writes an official result file.

    Args:
      path: The file.
      results: Results of `official.evaluate`.
      is_2021: As for `official.evaluate`.
      keep: Whether the file keeps its machine types that `results` has none of; they count in the means over all.

    Raises:
      DataError: If the file is kept and can't be read.
    """
    machines = {result.machine for result in results}
    kept = [result for result in read(path) if result.machine not in machines] if keep and path.exists() else []
    score_files.write_rows(path, _rows(sorted([*kept, *results], key=_order), is_2021=is_2021))


def read(path: Path) -> list[SectionResult]:
    """Reads the results of all sections from an official result file of either layout.

    Raises:
      DataError: If it is not one.
    """
    results: dict[tuple[str, str], SectionResult] = {}
    machine, head = "", [""]
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.reader(stream):
                if len(row) == 1:
                    machine = row[0]
                elif row in (HEAD, HEAD_2021):
                    head = row
                elif row and row[0].isdecimal():
                    _add(results, machine, dict(zip(head, row, strict=True)))
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise DataError(f"Can't read the results in {path}: {error}.") from error
    if not results:
        raise DataError(f"Expected an official result file with lines of sections in {path}. Received: none.")
    return list(results.values())


def text(results: Sequence[SectionResult], *, is_2021: bool) -> str:
    """Formats the means over all machine types, sections and domains, and the official score, as text."""
    summary = official.summarize(results, is_2021=is_2021)
    year = "2021" if is_2021 else "2022 and later"
    lines = [f"official scores, DCASE Task 2 of {year}", f"{'':<24}" + "".join(f"{name:>11}" for name in NAMES)]
    for name, mean in _means(summary, is_2021=is_2021):
        lines.append(f"{name:<24}" + "".join(f"{'n/a' if math.isnan(value) else f'{value:.6f}':>11}" for value in mean))
    lines.append(f"{'official score':<24}{summary.score:>11.6f}")
    return "\n".join(lines)


def _rows(results: Sequence[SectionResult], *, is_2021: bool) -> list[list[str]]:
    rows: list[list[str]] = []
    for machine in dict.fromkeys(result.machine for result in results):
        of_machine = [result for result in results if result.machine == machine]
        rows += [[machine], *(_lines_2021(of_machine) if is_2021 else _lines(of_machine))]
        summary = official.summarize(of_machine, is_2021=is_2021)
        rows += [[name, "", *_cells(mean)] for name, mean in _means(summary, is_2021=is_2021)] + [[]]
    summary = official.summarize(results, is_2021=is_2021)
    rows.append(["", "", *NAMES])
    rows += [[f"{name} {OVER_ALL}", "", *_cells(mean)] for name, mean in _means(summary, is_2021=is_2021)] + [[]]
    if not is_2021:
        rows += [["official score", "", str(summary.score)], []]
    return rows


def _lines_2021(results: Sequence[SectionResult]) -> list[list[str]]:
    """Lines of one machine type: all sections in the source domain, then all in the target domain."""
    return [HEAD_2021] + [
        [result.number, domain, *_cells(result.domains[domain])]
        for domain in DOMAINS
        for result in results
        if domain in result.domains
    ]


def _lines(results: Sequence[SectionResult]) -> list[list[str]]:
    lines = [HEAD]
    for result in results:
        rows = [result.domains.get(domain, DomainResult(*[math.nan] * 5)) for domain in DOMAINS]
        pauc = next((row.pauc for row in result.domains.values()), math.nan)
        decided = [getattr(row, name) for name in ("precision", "recall", "f1") for row in rows]
        lines.append([result.number, *_cells([result.auc, *(row.auc for row in rows), pauc, *decided])])
    return [*lines, ["", "", *NAMES]]


def _means(summary: official.Summary, *, is_2021: bool) -> list[tuple[str, DomainResult]]:
    means = [("arithmetic mean", summary.arithmetic), ("harmonic mean", summary.harmonic)]
    return means if is_2021 else means + [(f"{domain} harmonic mean", summary.by_domain[domain]) for domain in DOMAINS]


def _add(results: dict[tuple[str, str], SectionResult], machine: str, cells: dict[str, str]) -> None:
    """Adds a line of a file to the results read so far."""
    key = machine, cells["section"]
    if "domain" in cells:
        known = results[key].domains if key in results else {}
        row = DomainResult(*(_value(cells[name]) for name in NAMES))
        results[key] = SectionResult(*key, math.nan, {**known, cells["domain"]: row})
        return
    domains = {
        domain: DomainResult(
            _value(cells[f"AUC ({domain})"]),
            _value(cells["pAUC"]),
            *(_value(cells[f"{name} ({domain})"]) for name in NAMES[2:]),
        )
        for domain in DOMAINS
        if cells[f"AUC ({domain})"] or cells[f"F1 score ({domain})"]
    }
    results[key] = SectionResult(*key, _value(cells["AUC (all)"]), domains)


def _cells(values: Sequence[float]) -> list[str]:
    return ["" if math.isnan(value) else str(float(value)) for value in values]


def _value(cell: str) -> float:
    return float(cell) if cell else math.nan


def _order(result: SectionResult) -> tuple[str, str]:
    return result.machine, result.number
