"""Dense bodies that the detectors are built from. A block is Dense, BatchNorm, ReLU (and Dropout if asked for)."""

from collections.abc import Sequence

import keras
from keras import layers


def dense_blocks(
    input_dim: int,
    widths: Sequence[int],
    output_dim: int | None = None,
    *,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    name: str,
) -> keras.Sequential:
    """A stack of blocks, with a linear layer at the end if `output_dim` is given.

    Args:
      input_dim: Length of the input vector.
      widths: Units of each block.
      output_dim: Units of the last, linear layer; None for none.
      dropout: Share of units dropped after each block while training.
      kernel_initializer: As Keras names it.
      name: Of the network.

    Returns:
      A built network, `[batch, input_dim]` → `[batch, output_dim or widths[-1]]`.
    """
    stack: list[layers.Layer] = [layers.Input([input_dim])]
    for units in widths:
        stack += [
            layers.Dense(units, kernel_initializer=kernel_initializer),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]
        if dropout:
            stack.append(layers.Dropout(dropout))
    if output_dim is not None:
        stack.append(layers.Dense(output_dim, kernel_initializer=kernel_initializer))
    return keras.Sequential(stack, name=name)
