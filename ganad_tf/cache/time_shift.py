"""Windows that begin a random number of spectra earlier or later in their clips: `augmentation.time_shift`."""

from dataclasses import dataclass

import tensorflow as tf


@dataclass(frozen=True)
class Shift:
    """Random shift of the beginnings of windows.

    Attributes:
      most: Spectra, at most, to either side.
      first, last: First and last beginning of a window in the clip of each window, `[windows]` int64.
    """

    most: int
    first: tf.Tensor
    last: tf.Tensor

    @classmethod
    def within(cls, edges: tf.Tensor, starts: tf.Tensor, frames: int, most: int) -> "Shift | None":
        """Shift of windows of `frames` rows that begin at the rows `starts`; None for none.

        Args:
          edges: Rows at which the clips begin, and at which the last one ends, `[clips + 1]` int64.
          starts: `[windows]` int64.
          frames: Rows of a window.
          most: Rows, at most, to either side.
        """
        if not most:
            return None
        of_clip = tf.searchsorted(edges, starts, side="right") - 1
        return cls(most, tf.gather(edges, of_clip), tf.gather(edges, of_clip + 1) - frames)

    def shifted(self, starts: tf.Tensor, chosen: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Other beginnings in their clips for the windows numbered `chosen`, `[batch]` int64.

        They follow from the seed, `[2]` int64, and from the first number.
        """
        key = tf.stack([seed[0] + chosen[0], seed[1] + 1])
        by = tf.random.stateless_uniform(tf.shape(starts), key, -self.most, self.most + 1, tf.int64, alg="philox")
        return tf.clip_by_value(starts + by, tf.gather(self.first, chosen), tf.gather(self.last, chosen))
