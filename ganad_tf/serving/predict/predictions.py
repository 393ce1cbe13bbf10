"""What the verb `predict` says of each file, as a table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True)
class Prediction:
    """One file's score and decision.

    Attributes:
      file: As it was named.
      anomaly_score: Higher is more anomalous.
      is_anomaly: Whether it is above the threshold.
      threshold: Of the model.
    """

    file: str
    anomaly_score: float
    is_anomaly: bool
    threshold: float


def as_table(predictions: Iterable[Prediction]) -> str:
    """One line per file, for reading."""
    rows = list(predictions)
    width = max([4, *(len(row.file) for row in rows)])
    lines = [f"{'file':<{width}}{'anomaly score':>16}{'threshold':>12}  decision"]
    for row in rows:
        decision = "ANOMALY" if row.is_anomaly else "normal"
        lines.append(f"{row.file:<{width}}{row.anomaly_score:>16.6g}{row.threshold:>12.6g}  {decision}")
    return "\n".join(lines)


def as_json(predictions: Iterable[Prediction]) -> str:
    """A list of objects."""
    return json.dumps([asdict(row) for row in predictions], indent=1)


def as_csv(predictions: Iterable[Prediction]) -> str:
    """A header and one line per file."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Prediction))
    for row in predictions:
        writer.writerow([row.file, row.anomaly_score, int(row.is_anomaly), row.threshold])
    return stream.getvalue().rstrip("\n")
