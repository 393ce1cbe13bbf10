"""Predictions of the verb `predict`, and their output as a table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ganad_tf.findings.finding import Finding, in_words

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
      findings: Differences from the healthy machine, none for a normal clip; None if they were not asked for.
    """

    file: str
    anomaly_score: float
    is_anomaly: bool
    threshold: float
    p_value: float | None = None
    findings: tuple[Finding, ...] | None = None

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

    def explained(self, findings: Sequence[Finding]) -> "Prediction":
        """The prediction with findings."""
        return replace(self, findings=tuple(findings))

    def as_dict(self) -> dict[str, Any]:
        """The attributes, with `findings` and their `explanation` in words if they were asked for."""
        values = {name: value for name, value in asdict(self).items() if name != "findings"}
        if self.findings is not None:
            values["findings"] = [finding.as_dict() for finding in self.findings]
            values["explanation"] = in_words(self.findings)
        return values


def as_table(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as an aligned table, one line per file, with an indented line of words below anomalies."""
    rows = list(predictions)
    width = max([4, *(len(row.file) for row in rows)])
    has_p_values = any(row.p_value is not None for row in rows)
    heading = f"{'p-value':>10}" if has_p_values else ""
    lines = [f"{'file':<{width}}{'anomaly score':>16}{'threshold':>12}{heading}  decision"]
    for row in rows:
        decision = "ANOMALY" if row.is_anomaly else "normal"
        p_value = f"{'' if row.p_value is None else f'{row.p_value:.3g}':>10}" if has_p_values else ""
        lines.append(f"{row.file:<{width}}{row.anomaly_score:>16.6g}{row.threshold:>12.6g}{p_value}  {decision}")
        lines += [f"    {in_words(row.findings)}"] if row.findings else []
    return "\n".join(lines)


def as_json(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as a JSON list of objects."""
    return json.dumps([row.as_dict() for row in predictions], indent=1)


def as_csv(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as CSV with a header."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    rows = list(predictions)
    words = ["explanation"] if any(row.findings is not None for row in rows) else []
    writer.writerow(["file", *OUTPUTS, "p_value", *words])
    for row in rows:
        explanation = [in_words(row.findings or ()) for _ in words]
        decided = [row.anomaly_score, int(row.is_anomaly), row.threshold, row.p_value]
        writer.writerow([row.file, *decided, *explanation])
    return stream.getvalue().rstrip("\n")
