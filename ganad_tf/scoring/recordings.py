"""The recording check of cached clips: limits from normal training clips, and the test clips that are not judged."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from ganad_tf import audio
from ganad_tf.cache import spectra
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.manifest import Entry
from ganad_tf.clips import Clip
from ganad_tf.features import memory
from ganad_tf.recording_check import statistics, verdict
from ganad_tf.recording_check.limits import RecordingLimits
from ganad_tf.run import MachineRun
from ganad_tf.scoring.model_directory import ModelDirectory

logger = logging.getLogger(__name__)

N_NAMED = 3  # clips named in a warning


def learn_limits(cache: Cache, entries: Sequence[Entry]) -> RecordingLimits:
    """Learns the limits of recording conditions from the cached normal training clips."""
    _, sounds, bands = zip(*_statistics(cache, entries), strict=True)
    return RecordingLimits.fit(np.stack(sounds), np.stack(bands), cache.run.config.audio, cache.run.config.feature)


def not_judged(run: MachineRun, directory: ModelDirectory, cache: Cache, entries: Sequence[Entry]) -> dict[Clip, str]:
    """Cached test clips that are not judged, with the reason; warns of them, and of a detector without limits."""
    if not run.config.checks_recordings:
        return {}
    limits = directory.load_limits()
    if limits is None:
        logger.warning(
            "%s: the detector in %s was trained without `recording_check`, so that all clips are judged; `ganad train` "
            "adds it without training again",
            run.machine,
            directory.path,
        )
        return {}
    judge = verdict_function(limits)
    verdicts = {entry.clip: judge(sound, bands) for entry, sound, bands in _statistics(cache, entries)}
    refused = {clip: reason for clip, reason in verdicts.items() if reason}
    if refused:
        logger.warning("%s: %s", run.machine, _warning(refused, len(entries)))
    return refused


def verdict_function(limits: RecordingLimits) -> Callable[[np.ndarray, np.ndarray], str]:
    """Function from the statistics of a clip to the reason why it is not judged; empty if it is."""
    n_mels = len(limits.band_hz)
    spec = [tf.TensorSpec([len(statistics.SOUND_STATISTICS)], tf.float32), tf.TensorSpec([n_mels], tf.float32)]
    # Concrete, because TensorFlow warns of functions that are traced for every machine type.
    reason = tf.function(verdict.not_judged, autograph=False).get_concrete_function(*spec, limits)
    return lambda sound, bands: reason(tf.constant(sound), tf.constant(bands)).numpy().decode()


def clip_verdict(limits: RecordingLimits) -> Callable[[np.ndarray, np.ndarray], str]:
    """As `verdict_function`, of a clip's waveform `[samples]` and log-mel `[frames, mels]` in dB."""

    def not_judged(waveform: tf.Tensor, log_mel: tf.Tensor) -> tf.Tensor:
        return verdict.not_judged(statistics.of_long_waveform(waveform), statistics.of_log_mel(log_mel), limits)

    spec = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, len(limits.band_hz)], tf.float32)]
    reason = tf.function(not_judged, autograph=False).get_concrete_function(*spec)
    return lambda waveform, log_mel: reason(memory.as_tensor(waveform), memory.as_tensor(log_mel)).numpy().decode()


def _statistics(cache: Cache, entries: Sequence[Entry]) -> Iterator[tuple[Entry, np.ndarray, np.ndarray]]:
    """Statistics of the waveform and of the log-mel of each clip; a recording is read if its cache lacks the former."""
    config, recordings = cache.run.config, cache.run.listing.directory
    waveform_spec, log_mel_spec = (tf.TensorSpec(shape, tf.float32) for shape in ([None], [None, config.feature.bands]))
    of_waveform = tf.function(statistics.of_long_waveform, autograph=False).get_concrete_function(waveform_spec)
    of_log_mel = tf.function(statistics.of_log_mel, autograph=False).get_concrete_function(log_mel_spec)
    for entry, log_mel in spectra.read(cache, entries):
        sound = np.array(entry.sound, np.float32)
        if not entry.sound:
            waveform = audio.read_clip(recordings, entry.clip, config.audio)
            sound = of_waveform(memory.as_tensor(waveform)).numpy()
        yield entry, sound, of_log_mel(memory.as_tensor(log_mel)).numpy()


def _warning(refused: dict[Clip, str], n_clips: int) -> str:
    """Sentence with the number of clips by reason, and the names of some."""
    counts = Counter(refused.values()).most_common()
    reasons = ", ".join(f"{reason} ({count})" for reason, count in counts[:N_NAMED])
    names = ", ".join(sorted(clip.name for clip in refused)[:N_NAMED])
    more = " and others" if len(refused) > N_NAMED or len(counts) > N_NAMED else ""
    return f"{len(refused)} of {n_clips} test clips are not judged and have no score: {reasons}; {names}{more}"
