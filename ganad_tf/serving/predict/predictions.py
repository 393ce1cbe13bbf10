"""Predictions of the verb `predict`, and their output as a table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

OUTPUTS = ("anomaly_score", "is_anomaly", "threshold")


@dataclass(frozen=True)
class Prediction:
    """Score, decision and p-value of one file.

    Attributes:
      file: Path as the user gave it.
      anomaly_score: Higher is more anomalous.
      is_anomaly: Whether the score is above the threshold.
      threshold: Threshold of the model.
      p_value: Share of normal clips at least as unusual; None if the model has no calibration.
    """

    file: str
    anomaly_score: float
    is_anomaly: bool
    threshold: float
    p_value: float | None = None

    @classmethod
    def from_outputs(cls, file: Path, outputs: Mapping[str, Any]) -> "Prediction":
        """Prediction from a model's outputs for a single clip.

        Args:
          file: The clip.
          outputs: `anomaly_score`, `is_anomaly`, `threshold` and perhaps `p_value`, each a scalar or of one element.

        Raises:
          LookupError, TypeError, ValueError: If an output is missing or has another form.
        """
        score, is_anomaly, threshold = (np.ravel(outputs[name])[0] for name in OUTPUTS)
        p_value = float(np.ravel(outputs["p_value"])[0]) if "p_value" in outputs else None
        return cls(str(file), float(score), bool(is_anomaly), float(threshold), p_value)


def as_table(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as an aligned table, one line per file."""
    rows = list(predictions)
    width = max([4, *(len(row.file) for row in rows)])
    has_p_values = any(row.p_value is not None for row in rows)
    heading = f"{'p-value':>10}" if has_p_values else ""
    lines = [f"{'file':<{width}}{'anomaly score':>16}{'threshold':>12}{heading}  decision"]
    for row in rows:
        decision = "ANOMALY" if row.is_anomaly else "normal"
        p_value = f"{'' if row.p_value is None else f'{row.p_value:.3g}':>10}" if has_p_values else ""
        lines.append(f"{row.file:<{width}}{row.anomaly_score:>16.6g}{row.threshold:>12.6g}{p_value}  {decision}")
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
        writer.writerow([row.file, row.anomaly_score, int(row.is_anomaly), row.threshold, row.p_value])
    return stream.getvalue().rstrip("\n")
