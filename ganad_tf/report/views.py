"""Single clips as the detector sees them: log-mel, reconstruction, what lies between, and where in the spectrum."""

from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from ganad_tf.cache import records
from ganad_tf.clips import Clip
from ganad_tf.features import windows_of
from ganad_tf.plotting import style
from ganad_tf.plotting.charts import Band, ClipView
from ganad_tf.report.facts import MachineFacts
from ganad_tf.scoring.model_directory import ModelDirectory, TrainedDetector
from ganad_tf.scoring.reconstruct import reconstruction

N_BANDS = 3  # named per clip


def look(facts: MachineFacts, chosen: Sequence[Clip]) -> Iterator[tuple[Clip, ClipView]]:
    """What there is to see of the chosen clips; an ensemble has no reconstruction of its own.

    Raises:
      DataError: If the cache or the detector is missing or damaged.
    """
    wanted = set(chosen)
    entries = [entry for entry in facts.cached.entries if entry.clip in wanted]
    model = ModelDirectory(facts.detector).load() if facts.detector else None
    for entry, log_mel in records.read(facts.cache, entries):
        yield entry.clip, _seen(facts, model, log_mel)


def _seen(facts: MachineFacts, model: TrainedDetector | None, log_mel: np.ndarray) -> ClipView:
    audio, feature = facts.audio, facts.feature
    edges = style.mel_edges(feature.n_mels, audio.sample_rate)
    reproduced: np.ndarray | None = None
    bands: tuple[Band, ...] = ()
    if model is not None:
        windows = windows_of(tf.constant(log_mel), model.frames, model.normalizer)
        reproduced = reconstruction(model.detector, windows, model.n_mels, model.normalizer).numpy()
        bands = _loudest_bands(log_mel - reproduced, edges)
    return ClipView(
        log_mel=log_mel,
        reconstruction=reproduced,
        bands=bands,
        hz=edges[1:-1],
        seconds_per_spectrum=feature.hop_length / audio.sample_rate,
    )


def _loudest_bands(residual: np.ndarray, edges: np.ndarray) -> tuple[Band, ...]:
    """The mel bands with the largest shares of the squared residual, `[time, mels]` in dB."""
    energy = np.square(residual).sum(axis=0)
    largest = np.argsort(-energy, kind="stable")[:N_BANDS]
    total = float(energy.sum()) or 1.0
    return tuple(Band(float(edges[k]), float(edges[k + 2]), float(energy[k]) / total) for k in largest)
