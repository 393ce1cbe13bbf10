"""Input checks inside the graph; each fails with a message that begins with the input's name."""

from dataclasses import dataclass

import tensorflow as tf

from ganad_tf.features import n_frames
from ganad_tf.serving.models.wav import HEADER_BYTES

WAV_CHANNELS = 22  # byte offset of the number of channels, a uint16
OTHER_CHUNKS = 2**20  # bytes of a WAV file that may be other chunks than samples


@dataclass(frozen=True)
class LengthLimit:
    """Maximum length of clips, checked by shape or size before memory for the clip is allocated.

    Attributes:
      n_samples: Maximum number of samples; None for no limit.
      sample_rate: Sample rate in Hz.
      hop_length: Samples between two spectra.
    """

    n_samples: int | None
    sample_rate: int
    hop_length: int

    def check_samples(self, name: str, n_samples: tf.Tensor) -> list[tf.Operation]:
        """Check of a waveform with this many samples."""
        if self.n_samples is None:
            return []
        return [self._expect(name, n_samples <= self.n_samples, n_samples)]

    def check_spectra(self, name: str, log_mel: tf.Tensor) -> list[tf.Operation]:
        """Check of log-mels `[batch, frames, mels]`."""
        if self.n_samples is None:
            return []
        count = tf.shape(log_mel)[1]
        is_short = count <= n_frames(self.n_samples, self.hop_length)
        return [self._expect(name, is_short, (count - 1) * self.hop_length)]

    def check_file(self, name: str, file: tf.Tensor) -> list[tf.Operation]:
        """Rough check of a WAV file by its size, before decoding; `check_samples` must follow."""
        if self.n_samples is None:
            return []
        size = tf.strings.length(file)
        # A file without a complete header is left to the decoder, which reports the fault.
        padded = tf.strings.join([tf.strings.substr(file, 0, tf.minimum(size, HEADER_BYTES)), "\0" * HEADER_BYTES])
        channels = tf.io.decode_raw(tf.strings.substr(padded, WAV_CHANNELS, 2), tf.uint16, little_endian=True)[0]
        n_samples = tf.maximum(size - HEADER_BYTES, 0) // (2 * tf.maximum(1, tf.cast(channels, tf.int32)))
        slack = OTHER_CHUNKS // (2 * tf.maximum(1, tf.cast(channels, tf.int32)))
        return [self._expect(name, n_samples - slack <= self.n_samples, n_samples)]

    def _expect(self, name: str, is_short: tf.Tensor, n_samples: tf.Tensor) -> tf.Operation:
        assert self.n_samples is not None
        seconds = tf.cast(tf.cast(n_samples, tf.float64) / self.sample_rate, tf.float32)  # exact to all printed digits
        limit = f"{self.n_samples / self.sample_rate:.6g}"
        return expect(is_short, f"{name}: expected clips of at most {limit} s, received", seconds, "s")


def require_clips(name: str, clips: tf.Tensor) -> tf.Tensor:
    """Returns the batch; refuses an empty one."""
    has_clips = tf.shape(clips)[0] > 0
    with tf.control_dependencies([expect(has_clips, f"{name}: expected at least one clip, received none")]):
        return tf.identity(clips)


def expect_finite(name: str, values: tf.Tensor) -> tf.Operation:
    """Refuses a batch `[batch, ...]` with NaN or infinity; names the clip."""
    # A sum is not finite if a summand is not, and needs no memory of the clips' size.
    finite = tf.math.is_finite(tf.reduce_sum(values, axis=list(range(1, len(values.shape)))))  # [batch]
    first = tf.argmin(tf.cast(finite, tf.int32))
    return expect(
        tf.reduce_all(finite), f"{name}: expected usable numbers, but there is NaN or infinity in clip", first
    )


def expect(condition: tf.Tensor, *sentence: object) -> tf.Operation:
    """Assertion with a message of words and tensors; operations that depend on it run only if it holds."""
    return tf.debugging.Assert(condition, list(sentence))
