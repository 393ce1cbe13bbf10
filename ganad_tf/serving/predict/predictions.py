"""Predictions of the verb `predict`, and their output as a table, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ganad_tf.errors import DataError, InputError
from ganad_tf.findings.finding import Finding, in_words
from ganad_tf.recording_check import NOT_JUDGED
from ganad_tf.serving.models.signature import FALSE_ALARMS
from ganad_tf.serving.predict.excerpts import Excerpt

OUTPUTS = ("anomaly_score", "is_anomaly", "threshold")


@dataclass(frozen=True)
class Prediction:
    """Score, decision and p-value of one file, or the reason why it is not judged.

    Attributes:
      file: Path as the user gave it, with the span at its end if the recording was cut: `a.wav#10-20s`.
      anomaly_score: Higher is more anomalous.
      is_anomaly: Whether the score is above the threshold.
      threshold: Threshold of the model, or of the false-alarm rate that was asked for; None if the model doesn't say.
      p_value: Share of normal clips at least as unusual; None if the model has no calibration.
      not_judged: Reason why there is no score; score, decision, threshold and p-value are None then. None if there is
        a score.
      findings: Differences from the healthy machine, none for a normal clip; None if they were not asked for.
    """

    file: str
    anomaly_score: float | None
    is_anomaly: bool | None
    threshold: float | None
    p_value: float | None = None
    not_judged: str | None = None
    findings: tuple[Finding, ...] | None = None

    @classmethod
    def from_outputs(cls, file: Excerpt, outputs: Mapping[str, Any]) -> "Prediction":
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

    def decided_at(self, false_alarms: float) -> "Prediction":
        """The prediction with the decision of a false-alarm rate, by the p-value."""
        is_anomaly = bool(np.float32(self.p_value) <= np.float32(false_alarms))
        return replace(self, is_anomaly=is_anomaly, threshold=None)

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


def no_p_values(model: object) -> DataError:
    """The error of a model without calibration scores for which a false-alarm rate is asked for."""
    return DataError(
        f"Expected a model with `threshold.method: conformal` with --false-alarms, but {model} has no p-values; train "
        "and export it with that method, or an older version's model again."
    )


def refused(file: Excerpt, sentence: str) -> Prediction | DataError:
    """The answer for a file that a model has refused.

    Args:
      file: The file.
      sentence: The model's message, without the name of the input: `not judged:` and the reason, or an error.

    Raises:
      InputError: If it is the false-alarm rate that is refused, and so with every file.
    """
    if sentence.startswith(f"{FALSE_ALARMS}: "):
        raise InputError(f"--false-alarms: {sentence.removeprefix(f'{FALSE_ALARMS}: ')}")
    if sentence.startswith(NOT_JUDGED):
        return Prediction(
            str(file), None, None, None, not_judged=sentence.removeprefix(NOT_JUDGED).strip().removesuffix(".")
        )
    return DataError(f"{file}: {sentence}")


def as_table(predictions: Iterable[Prediction]) -> str:
    """Formats predictions as an aligned table, one line per file, with an indented line of words below anomalies."""
    rows = list(predictions)
    width = max([4, *(len(row.file) for row in rows)])
    has_p_values = any(row.p_value is not None for row in rows)
    heading = f"{'p-value':>10}" if has_p_values else ""
    lines = [f"{'file':<{width}}{'anomaly score':>16}{'threshold':>12}{heading}  decision"]
    for row in rows:
        decision = f"{NOT_JUDGED} {row.not_judged}" if row.not_judged else "ANOMALY" if row.is_anomaly else "normal"
        score, threshold = ("-" if value is None else f"{value:.6g}" for value in (row.anomaly_score, row.threshold))
        p_value = f"{'-' if row.p_value is None else f'{row.p_value:.3g}':>10}" if has_p_values else ""
        lines.append(f"{row.file:<{width}}{score:>16}{threshold:>12}{p_value}  {decision}")
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
    writer.writerow(["file", *OUTPUTS, "p_value", "not_judged", *words])
    for row in rows:
        explanation = [in_words(row.findings or ()) for _ in words]
        decision = None if row.is_anomaly is None else int(row.is_anomaly)
        decided = [row.anomaly_score, decision, row.threshold, row.p_value, row.not_judged]
        writer.writerow([row.file, *decided, *explanation])
    return stream.getvalue().rstrip("\n")
