"""Predictions of the verb `predict`, and their output as a table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.errors import DataError
from ganad_tf.recording_check import NOT_JUDGED

OUTPUTS = ("anomaly_score", "is_anomaly", "threshold")


@dataclass(frozen=True)
class Prediction:
    """Score and decision of one file, or the reason why it is not judged.

    Attributes:
      file: Path as the user gave it.
      anomaly_score: Higher is more anomalous.
      is_anomaly: Whether the score is above the threshold.
      threshold: Threshold of the model.
      not_judged: Reason why there is no score; all of the above are None then. None if there is a score.
    """

    file: str
    anomaly_score: float | None
    is_anomaly: bool | None
    threshold: float | None
    not_judged: str | None = None

    @classmethod
    def from_outputs(cls, file: Path, outputs: Mapping[str, Any]) -> "Prediction":
        """Prediction from a model's outputs for a single clip.

        Args:
          file: The clip.
          outputs: `anomaly_score`, `is_anomaly` and `threshold`, each a scalar or of one element.

        Raises:
          LookupError, TypeError, ValueError: If an output is missing or has another form.
        """
        score, is_anomaly, threshold = (np.ravel(outputs[name])[0] for name in OUTPUTS)
        return cls(str(file), float(score), bool(is_anomaly), float(threshold))


def refused(file: Path, sentence: str) -> Prediction | DataError:
    """The answer for a file that a model has refused.

    Args:
      file: The file.
      sentence: The model's message, without the name of the input: `not judged:` and the reason, or an error.
    """
    if sentence.startswith(NOT_JUDGED):
        return Prediction(str(file), None, None, None, sentence.removeprefix(NOT_JUDGED).strip().removesuffix("."))
    return DataError(f"{file}: {sentence}")


def as_table(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as an aligned table, one line per file."""
    rows = list(predictions)
    width = max([4, *(len(row.file) for row in rows)])
    lines = [f"{'file':<{width}}{'anomaly score':>16}{'threshold':>12}  decision"]
    for row in rows:
        decision = f"{NOT_JUDGED} {row.not_judged}" if row.not_judged else "ANOMALY" if row.is_anomaly else "normal"
        score, threshold = ("-" if value is None else f"{value:.6g}" for value in (row.anomaly_score, row.threshold))
        lines.append(f"{row.file:<{width}}{score:>16}{threshold:>12}  {decision}")
    return "\n".join(lines)


def as_json(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as a JSON list of objects."""
    return json.dumps([asdict(row) for row in predictions], indent=1)


def as_csv(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as CSV with a header."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Prediction))
    for row in predictions:
        decision = None if row.is_anomaly is None else int(row.is_anomaly)
        writer.writerow([row.file, row.anomaly_score, decision, row.threshold, row.not_judged])
    return stream.getvalue().rstrip("\n")
