"""The clips that the page shows of a machine type: the choice, the detector's view of each, and its card."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.cache import spectra
from ganad_tf.clips import LABELS, Clip
from ganad_tf.features import windows_of
from ganad_tf.findings.explain import explain
from ganad_tf.findings.finding import in_words
from ganad_tf.findings.healthy import Healthy
from ganad_tf.plotting import charts
from ganad_tf.plotting.charts import Band, ClipView
from ganad_tf.report.audio_embedder import AudioEmbedder
from ganad_tf.report.facts import MachineSummary, ScoredClip
from ganad_tf.report.page import Card, Picture
from ganad_tf.scoring.model_directory import ModelDirectory, TrainedDetector
from ganad_tf.scoring.reconstruct import reconstruction

N_BANDS = 3  # named per clip
SILENCE = "Imported as a log-mel: there is no recording to listen to."


def draw_cards(
    summary: MachineSummary, key: str, directory: Path, embedder: AudioEmbedder, n_clips: int
) -> dict[str, list[Card]]:
    """Cards by group, such as `Most anomalous`. Only a clip's first card has its picture and its recording.

    Args:
      summary: The machine type's results.
      key: Prefix of the cards' HTML anchors.
      directory: Folder of the pictures.
      embedder: Embeds the recordings in the page.
      n_clips: Maximum number of clips per group.

    Raises:
      DataError: If the cache, the detector or a recording is missing or damaged.
    """
    groups = summary.choose_clips(n_clips)
    if not groups or not summary.feature.is_in_decibels:  # none is judged, or there are no spectra to show
        return {}
    chosen = list(dict.fromkeys(scored for members in groups.values() for scored in members))
    views = dict(read_views(summary, [scored.clip for scored in chosen]))
    scales = _colour_scales(views.values())
    healthy = ModelDirectory(summary.described_by).load_healthy() if summary.described_by else None
    full_cards = {}
    for number, scored in enumerate(chosen):
        name, view = f"clip_{number:02d}", views[scored.clip]
        path = directory / f"{name}.png"
        charts.plot_clip(path, view, *scales)
        full_cards[scored] = Card(
            key=f"{key}-{name}",
            name=scored.clip.name,
            score=scored.score,
            verdict=_verdict(scored),
            bands=_band_text(view),
            findings=_words(summary, healthy, scored.clip, view.log_mel) if healthy else "",
            image=Picture(path, f"Spectrograms of {scored.clip.name}: {_alt_text(view)}."),
            sound=_audio_source(summary, scored, embedder),
            silence=SILENCE,
        )
    shown: set[ScoredClip] = set()
    cards: dict[str, list[Card]] = {}
    for group, members in groups.items():
        cards[group] = [
            dataclasses.replace(full_cards[scored], image=None) if scored in shown else full_cards[scored]
            for scored in members
        ]
        shown.update(members)
    return cards


def read_views(summary: MachineSummary, clips: Sequence[Clip]) -> Iterator[tuple[Clip, ClipView]]:
    """Log-mel and reconstruction of each clip; an ensemble has no reconstruction.

    Raises:
      DataError: If the cache or the detector is missing or damaged.
    """
    clip_set = set(clips)
    entries = [entry for entry in summary.cached.entries if entry.clip in clip_set]
    model = ModelDirectory(summary.detector).load() if summary.detector else None
    for entry, log_mel in spectra.read(summary.cache, entries):
        yield entry.clip, _view(summary, model, log_mel)


def _view(summary: MachineSummary, model: TrainedDetector | None, log_mel: np.ndarray) -> ClipView:
    """View of one clip's log-mel `[frames, mels]` in dB."""
    feature, sample_rate = summary.feature, summary.audio.sample_rate
    edges = feature.band_edges(sample_rate)
    reproduced: np.ndarray | None = None
    bands: tuple[Band, ...] = ()
    if model is not None:
        windows = windows_of(tf.constant(log_mel), model.frames, model.normalizer)
        reproduced = reconstruction(model.detector, windows, model.n_mels, model.normalizer).numpy()
        bands = _largest_bands(log_mel - reproduced, edges)
    return ClipView(
        log_mel=log_mel,
        reconstruction=reproduced,
        bands=bands,
        hz=edges[1:-1],
        seconds_per_spectrum=feature.hop_length / sample_rate,
    )


def _largest_bands(residual: np.ndarray, edges: np.ndarray) -> tuple[Band, ...]:
    """The mel bands with the largest shares of the squared residual, `[frames, mels]` in dB."""
    energy = np.square(residual).sum(axis=0)
    largest = np.argsort(-energy, kind="stable")[:N_BANDS]
    total = float(energy.sum()) or 1.0
    return tuple(Band(float(edges[k]), float(edges[k + 2]), float(energy[k]) / total) for k in largest)


def _colour_scales(views: Collection[ClipView]) -> tuple[tuple[float, float], float]:
    """Lowest and highest level and largest absolute residual, in dB: the same for all clips of a machine type."""
    levels = np.array([np.percentile(view.log_mel, [1, 99.9]) for view in views])
    residuals = [view.log_mel - view.reconstruction for view in views if view.reconstruction is not None]
    farthest = max((float(np.percentile(np.abs(values), 99.5)) for values in residuals), default=1.0)
    return (float(levels[:, 0].min()), float(levels[:, 1].max())), farthest


def _audio_source(summary: MachineSummary, scored: ScoredClip, embedder: AudioEmbedder) -> str | None:
    if summary.config.dataset.name == "imported":
        return None
    return embedder.source(summary.run.listing.directory, scored.clip, summary.audio)


def _words(summary: MachineSummary, healthy: Healthy, clip: Clip, log_mel: np.ndarray) -> str:
    """Differences of a clip from the healthy machine."""
    samples = None
    if summary.config.dataset.name != "imported":
        samples = audio.read_clip(summary.run.listing.directory, clip, summary.audio)
    return in_words(explain(healthy, log_mel, samples))


def _verdict(scored: ScoredClip) -> str:
    decision = {None: "no decision", True: "above the threshold", False: "below the threshold"}[scored.is_anomaly]
    if scored.p_value is not None:
        decision += f", p-value {scored.p_value:.3g}"
    return f"{LABELS[scored.clip.label]}, {decision}" if scored.clip.label is not None else decision


def _band_text(view: ClipView) -> str:
    return ", ".join(f"{band.low_hz:.0f} to {band.high_hz:.0f} Hz ({100 * band.share:.0f} %)" for band in view.bands)


def _alt_text(view: ClipView) -> str:
    if view.reconstruction is None:
        return "the sound"
    return f"the sound, its reconstruction, and the residual, largest at {_band_text(view)}"
