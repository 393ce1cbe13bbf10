"""One difference between a clip and the healthy machine, as numbers and in words. Standard library only."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Finding:
    """One difference from the healthy machine.

    Attributes:
      kind: `tone`, `bursts`, `band`, `level` or `unclear`.
      sentence: The finding in words.
      db: Deviation from the healthy sound in dB; positive is louder.
      frequency_hz: Fundamental of a tone.
      harmonics: Frequencies of a tone and its overtones, in hertz.
      per_second: Rate of bursts.
      from_hz, to_hz: Range of a band, or of bursts.
    """

    kind: Literal["tone", "bursts", "band", "level", "unclear"]
    sentence: str
    db: float | None = None
    frequency_hz: float | None = None
    harmonics: tuple[float, ...] | None = None
    per_second: float | None = None
    from_hz: float | None = None
    to_hz: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """The attributes that the kind has."""
        return {name: value for name, value in asdict(self).items() if value is not None}


UNCLEAR = Finding("unclear", "unclear: nothing stands out from the healthy recordings")


def in_words(findings: Sequence[Finding]) -> str:
    """One line of text.

    >>> in_words([UNCLEAR])
    'unclear: nothing stands out from the healthy recordings'
    """
    return "; ".join(finding.sentence for finding in findings)
