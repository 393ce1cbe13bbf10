"""Summaries, pictures and recordings → one self-contained HTML page."""

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
from ganad_tf.report.facts import MachineSummary
from ganad_tf.results.compare import System
from ganad_tf.results.evaluate import Areas


@dataclass(frozen=True)
class Picture:
    """A PNG file with its alternative text and caption."""

    path: Path
    alt: str
    caption: str = ""

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return data_uri("image/png", self.path.read_bytes())


@dataclass(frozen=True)
class Card:
    """A clip on the page: score, spectrograms and audio player.

    Attributes:
      key: HTML anchor of the clip's first card.
      name: File name of the clip.
      score: Anomaly score.
      verdict: Label and decision in words.
      bands: Mel bands with the largest residual, in words; empty without a reconstruction.
      findings: Differences from the healthy machine, in words; empty without a description of it.
      image: Spectrograms; None if an earlier card of the clip shows them, with the recording.
      sound: Source of the audio player; None without a recording.
      silence: Sentence shown instead of a player.
    """

    key: str
    name: str
    score: float
    verdict: str
    bands: str
    findings: str
    image: Picture | None
    sound: str | None
    silence: str = ""


@dataclass(frozen=True)
class MachinePage:
    """Section of the page about one machine type; `key` is its HTML anchor."""

    key: str
    facts: MachineSummary
    published: Sequence[tuple[str, Areas]]
    pictures: Sequence[Picture]
    groups: Mapping[str, Sequence[Card]]
    made: Mapping[str, Any]


@dataclass(frozen=True)
class SystemPage:
    """Section of the page about one result directory; `about` is a sentence on detector and scorer."""

    key: str
    name: str
    about: str
    machines: Sequence[MachinePage]


@dataclass(frozen=True)
class Comparison:
    """Table of all systems, header row first; empty but for its note if no system has areas."""

    systems: Sequence[System]
    rows: Sequence[Sequence[str]]
    note: str
    picture: Picture | None


def write(path: Path, systems: Sequence[SystemPage], comparison: Comparison | None) -> None:
    """Renders the template into `path`; styles, script, pictures and audio are embedded."""
    here = resources.files("ganad_tf.report")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string((here / "page.html.j2").read_text(encoding="utf-8"))
    assets = {name: Markup((here / f"page.{name}").read_text(encoding="utf-8")) for name in ("css", "js")}
    text = template.render(
        title=f"Anomaly scores of {', '.join(system.name for system in systems)}",
        made=f"Made by ganad_tf {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        systems=systems,
        comparison=comparison,
        labels=LABELS,
        style=assets["css"],
        script=assets["js"],
    )
    atomic.write_text(path, text)


def data_uri(kind: str, content: bytes) -> str:
    """Bytes as a data URI of a media type.

    >>> data_uri("text/plain", b"hi")
    'data:text/plain;base64,aGk='
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def in_percent(value: float) -> str:
    """A share in [0, 1] as a percentage with one decimal; `n/a` for NaN.

    >>> in_percent(0.8765), in_percent(math.nan)
    ('87.6 %', 'n/a')
    """
    return "n/a" if math.isnan(value) else f"{100 * value:.1f} %"
