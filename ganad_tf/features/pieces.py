"""Long clips in pieces, in the graph: what is large is computed for one piece at a time, what is kept of it is joined.

A clip of one piece is computed by the same operations as without pieces.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

ELEMENTS = 2**19  # of an intermediate result that pieces are cut for: 4 MB in float64, 16 s of spectra of 1024 samples

OfRange = Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]  # begin and end → tensors of `end - begin` rows each


def joined(
    function: OfRange, count: tf.Tensor, at_once: int | tf.Tensor | None, shapes: Sequence[Sequence[int]]
) -> list[tf.Tensor]:
    """The rows from 0 to `count` that a function makes, a range of them at a time.

    Args:
      function: Takes begin and end of a range, int32, and returns tensors of `end - begin` rows each, float32.
      count: Rows in all, int32.
      at_once: Most rows in one range; ranges are equally long, but for one row. None for all rows at once, without
        a loop.
      shapes: Shape of a row of each tensor.

    Returns:
      Tensors of `count` rows each.

    >>> squares, = joined(lambda begin, end: [tf.range(begin, end, dtype=tf.float32) ** 2], tf.constant(5), 2, [[]])
    >>> squares.numpy().tolist()
    [0.0, 1.0, 4.0, 9.0, 16.0]
    """
    if at_once is None:
        return list(function(tf.zeros([], tf.int32), count))
    n_ranges = tf.maximum(1, -(-count // at_once))
    arrays = [
        tf.TensorArray(tf.float32, size=n_ranges, element_shape=[None, *shape], infer_shape=False) for shape in shapes
    ]

    def add(number: tf.Tensor, arrays: Sequence[tf.TensorArray]) -> tuple[tf.Tensor, Sequence[tf.TensorArray]]:
        # Not `number * count // n_ranges`, which leaves int32 for long clips.
        shortest, longer = count // n_ranges, count % n_ranges
        begin = number * shortest + tf.minimum(number, longer)
        rows = function(begin, begin + shortest + tf.cast(number < longer, tf.int32))
        return number + 1, [array.write(number, values) for array, values in zip(arrays, rows, strict=True)]

    _, arrays = tf.while_loop(
        lambda number, _: number < n_ranges, add, (tf.zeros([], tf.int32), arrays), parallel_iterations=1
    )
    return [array.concat() for array in arrays]
