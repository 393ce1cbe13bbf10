"""The clips of one machine type that are worth a look, each as a card with its spectrograms and its recording."""

import dataclasses
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ganad_tf.clips import LABELS
from ganad_tf.plotting import charts
from ganad_tf.plotting.charts import ClipView
from ganad_tf.report import views
from ganad_tf.report.facts import MachineFacts, ScoredClip
from ganad_tf.report.page import Card, Picture
from ganad_tf.report.sound import Embedded

SILENCE = "Imported as a log-mel: there is no recording to listen to."


def draw(own: MachineFacts, key: str, place: Path, sounds: Embedded, n_clips: int) -> dict[str, list[Card]]:
    """Cards by kind; what a clip looks and sounds like is on its first card alone.

    Args:
      own: The machine type.
      key: What the cards' anchors begin with.
      place: The folder of the pictures.
      sounds: Where the recordings go.
      n_clips: At most so many of a kind.

    Raises:
      DataError: If cache, detector or a recording is missing or damaged.
    """
    kinds = own.chosen(n_clips)
    chosen = list(dict.fromkeys(each for members in kinds.values() for each in members))
    seen = dict(views.look(own, [each.clip for each in chosen]))
    scales = _scales(seen.values())
    whole = {}
    for number, each in enumerate(chosen):
        name, what = f"clip_{number:02d}", seen[each.clip]
        path = place / f"{name}.png"
        charts.plot_clip(path, what, *scales)
        whole[each] = Card(
            key=f"{key}-{name}",
            name=each.clip.name,
            score=each.score,
            verdict=_verdict(each),
            bands=_bands(what),
            image=Picture(path, f"Spectrograms of {each.clip.name}: {_words(what)}."),
            sound=_player(own, each, sounds),
            silence=SILENCE,
        )
    cards: dict[str, list[Card]] = {}
    for kind, members in kinds.items():
        above = {card.key for others in cards.values() for card in others}
        cards[kind] = [
            dataclasses.replace(card, image=None) if (card := whole[each]).key in above else card for each in members
        ]
    return cards


def _scales(seen: Collection[ClipView]) -> tuple[tuple[float, float], float]:
    """Lowest and highest level, and the farthest residual, in dB: the same for all clips of a machine type."""
    levels = np.array([np.percentile(each.log_mel, [1, 99.9]) for each in seen])
    residuals = [each.log_mel - each.reconstruction for each in seen if each.reconstruction is not None]
    farthest = max((float(np.percentile(np.abs(values), 99.5)) for values in residuals), default=1.0)
    return (float(levels[:, 0].min()), float(levels[:, 1].max())), farthest


def _player(own: MachineFacts, each: ScoredClip, sounds: Embedded) -> str | None:
    if own.config.dataset.name == "imported":
        return None
    return sounds.player(own.run.listing.directory / each.clip.file, own.audio)


def _verdict(each: ScoredClip) -> str:
    decision = {None: "no decision", True: "above the threshold", False: "below the threshold"}[each.is_anomaly]
    return f"{LABELS[each.clip.label]}, {decision}" if each.clip.label is not None else decision


def _bands(seen: ClipView) -> str:
    return ", ".join(f"{band.low_hz:.0f} to {band.high_hz:.0f} Hz ({100 * band.share:.0f} %)" for band in seen.bands)


def _words(seen: ClipView) -> str:
    if seen.reconstruction is None:
        return "the sound"
    return f"the sound, its reconstruction, and the residual, largest at {_bands(seen)}"
