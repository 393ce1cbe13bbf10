"""Single clips as the detector sees them: log-mel, reconstruction, what lies between, and where in the spectrum."""

from collections.abc import Iterator, Sequence

import librosa
import numpy as np
import tensorflow as tf

from ganad_tf import manifest, records, trained
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.features import windows_of
from ganad_tf.reconstruction import reconstruction
from ganad_tf.report.facts import MachineFacts
from ganad_tf.report.plots import Band, Seen
from ganad_tf.trained import Trained

N_BANDS = 3  # named per clip


def look(facts: MachineFacts, chosen: Sequence[Clip]) -> Iterator[tuple[Clip, Seen]]:
    """What there is to see of the chosen clips; an ensemble has no reconstruction of its own.

    Raises:
      DataError: If the cache or the detector is missing or damaged.
    """
    cache = facts.config.cache_path(facts.mode, facts.machine, "test")
    current = manifest.load(cache)
    if facts.origin.get("cache", current.digest()) != current.digest():
        raise DataError(f"The cache in {cache} has changed since the clips were scored; run `ganad score` again.")
    wanted = {clip.file for clip in chosen}
    entries = [entry for entry in current.entries if entry.clip.file in wanted]
    model = trained.load(facts.detector) if facts.detector else None
    for entry, log_mel in records.read(cache, entries):
        yield entry.clip, _seen(facts, model, log_mel)


def _seen(facts: MachineFacts, model: Trained | None, log_mel: np.ndarray) -> Seen:
    audio, feature = facts.config.audio, facts.config.feature
    edges = librosa.mel_frequencies(feature.n_mels + 2, fmin=0.0, fmax=audio.sample_rate / 2)
    reproduced: np.ndarray | None = None
    bands: tuple[Band, ...] = ()
    if model is not None:
        windows = windows_of(tf.constant(log_mel), model.frames, model.normalizer)
        reproduced = reconstruction(model.detector, windows, model.n_mels, model.normalizer).numpy()
        bands = _loudest_bands(log_mel - reproduced, edges)
    return Seen(
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
