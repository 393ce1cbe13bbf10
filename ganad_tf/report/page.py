"""Facts, pictures and sounds → one HTML page that needs nothing else."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from ganad_tf import __version__
from ganad_tf.clips import LABELS
from ganad_tf.files import atomic
from ganad_tf.report.facts import MachineFacts
from ganad_tf.results.compare import System
from ganad_tf.results.evaluate import Areas


@dataclass(frozen=True)
class Picture:
    """A PNG file, and what it shows in words for those who can't see it."""

    path: Path
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """What the page holds of it."""
        return data_uri("image/png", self.path.read_bytes())


@dataclass(frozen=True)
class Card:
    """A clip to look at and to listen to.

    Attributes:
      key: The anchor of the clip's first card.
      name: Of the clip.
      score: Its anomaly score.
      verdict: Label and decision in words.
      bands: The bands with the largest residual in words; empty where there is none.
      image: Its spectrograms; None where an earlier card has them, with the recording.
      sound: What the player plays; None where there is no recording.
      silence: Why there is none.
    """

    key: str
    name: str
    score: float
    verdict: str
    bands: str
    image: Picture | None
    sound: str | None
    silence: str = ""


@dataclass(frozen=True)
class MachinePage:
    """What the page says of one machine type; `key` is its anchor."""

    key: str
    facts: MachineFacts
    published: Sequence[tuple[str, Areas]]
    pictures: Sequence[Picture]
    kinds: Mapping[str, Sequence[Card]]
    made: Mapping[str, Any]


@dataclass(frozen=True)
class SystemPage:
    """What the page says of one result directory; `about` says what made the scores."""

    key: str
    name: str
    about: str
    machines: Sequence[MachinePage]


@dataclass(frozen=True)
class Comparison:
    """The systems side by side as cells, the first row being the head; nothing but a note where none has areas."""

    systems: Sequence[System]
    rows: Sequence[Sequence[str]]
    note: str
    picture: Picture | None


def write(path: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Writes the page."""
    here = resources.files("ganad_tf.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((here / "page.html.j2").read_text(encoding="utf-8"))
    own = {name: Markup((here / f"page.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    text = template.render(
        title=f"Anomaly scores of {', '.join(system.name for system in systems)}",
        made=f"Made by ganad_tf {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        systems=systems,
        comparison=comparison,
        labels=LABELS,
        style=own["css"],
        script=own["js"],
    )
    atomic.write_text(path, text)


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as an address that holds them.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def in_percent(value: float) -> str:
    """A share from 0 to 1 as people read it.

    >>> in_percent(0.8765), in_percent(math.nan)
    ('87.6 %', 'n/a')
    """
    return "n/a" if math.isnan(value) else f"{100 * value:.1f} %"
