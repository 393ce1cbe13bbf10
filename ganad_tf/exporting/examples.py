"""Example clips with their live log-mels and scores, to verify an export."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ganad_tf import audio, features
from ganad_tf.audio import lengths
from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.clips import Clip, Listing, evenly_spread
from ganad_tf.errors import DataError, ExportError
from ganad_tf.exporting.graph import known_machine_ids, recording_limits
from ganad_tf.exporting.trained_system import TrainedSystem
from ganad_tf.recording_check.statistics import of_log_mel, of_waveform
from ganad_tf.scoring import recordings
from ganad_tf.serving.models import replay

logger = logging.getLogger(__name__)

T = TypeVar("T")

N_CLIPS = max(replay.BATCHES)
MOST_SAMPLES = 2**21  # per clip: enough to be scored in several pieces, while eight clips need little memory
FULL_SCALE = 32768  # of 16-bit PCM


@dataclass(frozen=True)
class Example:
    """Clips of one length with their live log-mels and scores.

    Attributes:
      waveforms: `[8, samples]` float32; None for imported log-mels.
      log_mels: `[8, frames, mels]` in dB.
      scores: `[8]` live anomaly scores.
      machine_ids: Machine ID of each clip; None if the detectors need none.
    """

    waveforms: np.ndarray | None
    log_mels: np.ndarray
    scores: np.ndarray
    machine_ids: tuple[str, ...] | None = None


def from_waveforms(
    inputs: TrainedSystem, clips: list[np.ndarray], machine_ids: Sequence[str] | None = None
) -> list[Example]:
    """Examples of three lengths: the shortest clip's, two thirds and one third of it.

    Args:
      inputs: Detectors to export.
      clips: Eight waveforms `[samples]`.
      machine_ids: Machine ID of each; None if the detectors need none.

    Raises:
      ExportError: If no clip of any length is judged.
    """
    examples = []
    for length in _lengths(clips, inputs.shortest_clip()[0]):
        rounded = [np.clip(np.round(clip[:length] * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1) for clip in clips]
        waveforms = np.stack(rounded).astype(np.float32) / FULL_SCALE  # exact in 16-bit PCM
        log_mels = np.stack(inputs.live_log_mels(waveforms))
        judged = _judged(inputs, waveforms, log_mels)
        if judged:
            examples.append((waveforms[judged], log_mels[judged], _chosen(machine_ids, judged)))
    if not examples:
        raise ExportError(
            f"Expected recordings of {inputs.run.machine} that are judged, to verify the export; all that were sampled "
            "have other recording conditions than those of training."
        )
    return _add_scores(inputs, examples)


def from_log_mels(
    inputs: TrainedSystem, clips: list[np.ndarray], machine_ids: Sequence[str] | None = None
) -> list[Example]:
    """Examples of three lengths from imported log-mels `[frames, mels]`; otherwise as `from_waveforms`."""
    lengths, machines = _lengths(clips, inputs.shortest_clip()[1]), _chosen(machine_ids, range(len(clips)))
    return _add_scores(inputs, [(None, np.stack([clip[:length] for clip in clips]), machines) for length in lengths])


def example_clips(inputs: TrainedSystem, longest: int) -> list[Example]:
    """Examples from eight evenly spread recordings; fewer recordings are repeated.

    Args:
      inputs: Detectors to export.
      longest: Maximum number of samples that the model will take; longer clips are cut.
    """
    config, listing = inputs.config, inputs.run.listing
    known = known_machine_ids(inputs.members)
    split = "test" if listing.clips_of("test") else "train"
    if config.dataset.name == "imported":
        cache = Cache(inputs.run, split)
        usable = [entry for entry in cache.current().entries if not known or entry.clip.machine_id in known]
        read = _repeat_to_eight(list(spectra.read(cache, _spread(usable))))
        n_frames = features.n_frames(min(longest, MOST_SAMPLES), config.feature.hop_length)
        machines = [entry.clip.machine_id for entry, _ in read] if known else None
        return from_log_mels(inputs, [log_mel[:n_frames] for _, log_mel in read], machines)
    clips = listing.require_clips(split)
    chosen = _spread([clip for clip in clips if not known or clip.machine_id in known])
    _warn_of_longer(listing, chosen, longest / config.audio.sample_rate)
    waveforms = read_usable_clips(inputs, chosen, most=min(longest, MOST_SAMPLES))
    if not waveforms:
        raise DataError(f"Expected {split} clips of {listing.machine} that can be read, to verify the export.")
    machines = _repeat_to_eight([clip.machine_id for clip in waveforms]) if known else None
    return from_waveforms(inputs, _repeat_to_eight(list(waveforms.values())), machines)


def _warn_of_longer(listing: Listing, clips: Sequence[Clip], longest_seconds: float) -> None:
    durations = [
        clip.span[1] - clip.span[0] if clip.span else lengths.seconds(listing.directory / clip.file) for clip in clips
    ]
    n_longer = sum(seconds is not None and seconds > longest_seconds for seconds in durations)
    if n_longer:
        logger.warning(
            "%s: %d of the %d sampled recordings are longer than %.6g s and will be refused by the model; --longest "
            "sets the limit",
            listing.machine,
            n_longer,
            len(clips),
            longest_seconds,
        )


def read_usable_clips(
    inputs: TrainedSystem, clips: Sequence[Clip], *, most: int | None = None
) -> dict[Clip, np.ndarray]:
    """Waveforms of clips, cut to `most` samples; `on_bad_clip: skip` leaves out unusable clips.

    Raises:
      DataError: If a clip can't be read or is too short, with `on_bad_clip: error`.
    """
    config, fewest = inputs.config, inputs.shortest_clip()[0]
    waveforms = {}
    for clip in clips:
        try:
            waveform = audio.read_clip(inputs.run.listing.directory, clip, config.audio, fewest_samples=fewest)
            waveforms[clip] = waveform if most is None or len(waveform) <= most else waveform[:most].copy()
        except DataError:
            if config.on_bad_clip == "error":
                raise
    return waveforms


def _judged(inputs: TrainedSystem, waveforms: np.ndarray, log_mels: np.ndarray) -> list[int]:
    """Indices of the clips that are judged, repeated to eight; none if none is."""
    limits, indices = recording_limits(inputs.members), list(range(len(waveforms)))
    if limits:
        judge = recordings.verdict_function(limits)
        statistics_of = zip(map(of_waveform, waveforms), map(of_log_mel, log_mels), strict=True)
        indices = [number for number, known in enumerate(statistics_of) if not judge(*known)]
    return _repeat_to_eight(indices) if indices else []


def _spread(items: Sequence[T]) -> list[T]:
    """At most `N_CLIPS` of the items, evenly spread."""
    return [items[index] for index in evenly_spread(len(items), N_CLIPS)]


def _lengths(clips: list[np.ndarray], shortest: int) -> list[int]:
    longest = min(map(len, clips))
    return sorted({max(shortest, longest * thirds // 3) for thirds in (1, 2, 3)})


def _repeat_to_eight(clips: list[T]) -> list[T]:
    return [clips[number % len(clips)] for number in range(N_CLIPS)]


def _chosen(machine_ids: Sequence[str] | None, indices: Sequence[int]) -> tuple[str, ...] | None:
    return tuple(machine_ids[index] for index in indices) if machine_ids else None


def _add_scores(
    inputs: TrainedSystem, clips: Sequence[tuple[np.ndarray | None, np.ndarray, tuple[str, ...] | None]]
) -> list[Example]:
    return [
        Example(waveforms, log_mels, inputs.live_scores(list(log_mels), machine_ids), machine_ids)
        for waveforms, log_mels, machine_ids in clips
    ]
