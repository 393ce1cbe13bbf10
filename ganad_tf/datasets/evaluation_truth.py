"""Labels of the challenge's evaluation data: for each file its name with the label, as development data have it.

The lists are `datasets/eval_data_list_2020.csv` to `..._2025.csv` of the challenge's baseline
(github.com/nttcslab/dcase2023_task2_baseline_ae): a line with the machine type, below it a line per file,

    fan
    section_03_source_test_0000.wav,section_03_source_test_anomaly_0000.wav
"""

import csv
from pathlib import Path

from ganad_tf.config import Mode
from ganad_tf.config.sections import Dataset
from ganad_tf.errors import DataError


def of_mode(settings: Dataset, mode: Mode) -> dict[str, dict[str, str]]:
    """Names with labels by machine type and file name; empty for development data and without `dataset.truth`.

    Raises:
      DataError: If the list can't be read or is something else.
    """
    return read(Path(settings.truth)) if settings.truth and mode == "eval" else {}


def read(path: Path) -> dict[str, dict[str, str]]:
    """Reads a list: names with labels by machine type and file name.

    Raises:
      DataError: If it can't be read or is something else.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"Can't read {path}, which `dataset.truth` names: {reason}.") from error
    names: dict[str, dict[str, str]] = {}
    machine: str | None = None
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row if cell.strip()]
        if len(cells) == 1:
            machine = cells[0]
        elif cells:
            if machine is None or cells[0] in names.get(machine, {}) or not cells[1].endswith(".wav"):
                raise DataError(
                    f"Expected `file,name with label` below the machine type in {path}, each file once. "
                    f"Received: {','.join(row)!r} in line {number}."
                )
            names.setdefault(machine, {})[cells[0]] = cells[1]
    return names
