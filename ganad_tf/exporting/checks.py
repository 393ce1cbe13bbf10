"""Checks in the graph: what is wrong with the input is said in a sentence that begins with its name."""

from dataclasses import dataclass

import tensorflow as tf

from ganad_tf.features import n_frames
from ganad_tf.serving.models.wav import HEADER_BYTES

WAV_CHANNELS = 22  # the place of a uint16 in it
OTHER_CHUNKS = 2**20  # bytes of a WAV file that may be no samples


@dataclass(frozen=True)
class Longest:
    """Refuses clips beyond a length by their shape or size, so that nothing of that length is allocated.

    Attributes:
      n_samples: Of the longest clip; None for no limit.
      sample_rate: In hertz.
      hop_length: Samples from one spectrum to the next.
    """

    n_samples: int | None
    sample_rate: int
    hop_length: int

    def samples(self, name: str, n_samples: tf.Tensor) -> list[tf.Operation]:
        """The check of a waveform of that many samples."""
        if self.n_samples is None:
            return []
        return [self._expect(name, n_samples <= self.n_samples, n_samples)]

    def spectra(self, name: str, log_mel: tf.Tensor) -> list[tf.Operation]:
        """The check of log-mels `[batch, frames, mels]`."""
        if self.n_samples is None:
            return []
        count = tf.shape(log_mel)[1]
        is_short = count <= n_frames(self.n_samples, self.hop_length)
        return [self._expect(name, is_short, (count - 1) * self.hop_length)]

    def file(self, name: str, file: tf.Tensor) -> list[tf.Operation]:
        """The check of a WAV file by its size, before it is decoded; that of its samples has yet to follow."""
        if self.n_samples is None:
            return []
        size = tf.strings.length(file)
        # A file without a whole header is left to the decoder, which says what is wrong with it.
        padded = tf.strings.join([tf.strings.substr(file, 0, tf.minimum(size, HEADER_BYTES)), "\0" * HEADER_BYTES])
        channels = tf.io.decode_raw(tf.strings.substr(padded, WAV_CHANNELS, 2), tf.uint16, little_endian=True)[0]
        n_samples = tf.maximum(size - HEADER_BYTES, 0) // (2 * tf.maximum(1, tf.cast(channels, tf.int32)))
        slack = OTHER_CHUNKS // (2 * tf.maximum(1, tf.cast(channels, tf.int32)))
        return [self._expect(name, n_samples - slack <= self.n_samples, n_samples)]

    def _expect(self, name: str, is_short: tf.Tensor, n_samples: tf.Tensor) -> tf.Operation:
        assert self.n_samples is not None
        seconds = tf.cast(tf.cast(n_samples, tf.float64) / self.sample_rate, tf.float32)  # to all digits that are said
        limit = f"{self.n_samples / self.sample_rate:.6g}"
        return expect(is_short, f"{name}: expected clips of at most {limit} s, received", seconds, "s")


def not_empty(name: str, clips: tf.Tensor) -> tf.Tensor:
    """The batch, refused if there is no clip in it."""
    some = tf.shape(clips)[0] > 0
    with tf.control_dependencies([expect(some, f"{name}: expected at least one clip, received none")]):
        return tf.identity(clips)


def expect_finite(name: str, values: tf.Tensor) -> tf.Operation:
    """Refuses a batch with a value, or a score, that is no number; names the clip."""
    # A sum is no number where a summand is none, and takes no memory of the size of the clips.
    finite = tf.math.is_finite(tf.reduce_sum(values, axis=list(range(1, len(values.shape)))))  # [batch]
    first = tf.argmin(tf.cast(finite, tf.int32))
    return expect(
        tf.reduce_all(finite), f"{name}: expected usable numbers, but there is NaN or infinity in clip", first
    )


def expect(condition: tf.Tensor, *sentence: object) -> tf.Operation:
    """An operation that fails with a sentence of words and tensors; what depends on it is not computed then."""
    return tf.debugging.Assert(condition, list(sentence))
