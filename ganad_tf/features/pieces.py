"""Long clips computed in pieces, in the graph: large intermediate results exist for one piece at a time.

A clip that is a single piece is computed by the same operations as without this module.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

ELEMENTS = 2**19  # of a piece's largest intermediate result: 4 MB in float64, 16 s of spectra of 1024 samples

RangeFunction = Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]  # (begin, end) → tensors of `end - begin` rows


def concat_ranges(
    function: RangeFunction, count: tf.Tensor, at_once: int | tf.Tensor | None, shapes: Sequence[Sequence[int]]
) -> list[tf.Tensor]:
    """Computes the rows 0 to `count` range by range and concatenates them.

    Args:
      function: Takes begin and end of a range, int32, and returns float32 tensors of `end - begin` rows each.
      count: Total number of rows, int32.
      at_once: Most rows in one range; the ranges' lengths differ by at most one row. None for a single range, without
        a loop.
      shapes: Shape of a row of each tensor.

    Returns:
      Tensors of `count` rows each.

    >>> square = lambda begin, end: [tf.range(begin, end, dtype=tf.float32) ** 2]
    >>> squares, = concat_ranges(square, tf.constant(5), 2, [[]])
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
