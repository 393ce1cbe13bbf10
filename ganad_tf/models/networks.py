"""Dense bodies that the detectors are built from. A block is Dense, BatchNorm, ReLU (and Dropout if asked for)."""

from collections.abc import Sequence

import keras
import tensorflow as tf
from keras import layers

from ganad_tf.models.dropout import Dropout


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

    Raises:
      ValueError: If `dropout` is not from 0 to below 1.
    """
    stack: list[layers.Layer] = [layers.Input([input_dim])]
    for units in widths:
        stack += _block(units, dropout, kernel_initializer)
    if output_dim is not None:
        stack.append(layers.Dense(output_dim, kernel_initializer=kernel_initializer))
    return keras.Sequential(stack, name=name)


def output_of_block(network: keras.Sequential, number: int, values: tf.Tensor) -> tf.Tensor:
    """Output of block `number` of `dense_blocks`, counted from 1, in inference mode.

    >>> output_of_block(dense_blocks(6, [4, 2, 4], 6, name="example"), 2, tf.zeros([3, 6])).shape
    TensorShape([3, 2])
    """
    for layer in network.layers:
        values = layer(values, training=False)
        number -= isinstance(layer, layers.ReLU)
        if not number:
            return values
    raise ValueError("Expected the number of a block. Received: one beyond the last.")


def dense_u_net(
    input_dim: int,
    widths: Sequence[int],
    latent: int,
    *,
    dropout: float = 0.0,
    kernel_initializer: str = "glorot_uniform",
    name: str,
) -> keras.Model:
    """Encoder blocks, a middle, and mirrored decoder blocks that are each handed their encoder's output.

    The input itself is handed to nobody: through such a skip everything would come back unchanged.

    Args:
      input_dim: Length of the input vector, and of the output.
      widths: Units of each encoder block, mirrored in the decoder.
      latent: Units of the block in the middle.
      dropout: Share of units dropped after each block while training.
      kernel_initializer: As Keras names it.
      name: Of the network.

    Returns:
      A built network, `[batch, input_dim]` → `[batch, input_dim]`.

    Raises:
      ValueError: If `dropout` is not from 0 to below 1.
    """

    def block(values: keras.KerasTensor, units: int) -> keras.KerasTensor:
        for layer in _block(units, dropout, kernel_initializer):
            values = layer(values)
        return values

    inputs = layers.Input([input_dim])
    encoded = []
    values = inputs
    for units in widths:
        values = block(values, units)
        encoded.append(values)
    values = block(values, latent)
    for units, skipped in zip(reversed(widths), reversed(encoded), strict=True):
        values = block(layers.Concatenate()([values, skipped]), units)
    outputs = layers.Dense(input_dim, kernel_initializer=kernel_initializer)(values)
    return keras.Model(inputs, outputs, name=name)


def _block(units: int, dropout: float, kernel_initializer: str) -> list[layers.Layer]:
    if not 0 <= dropout < 1:
        raise ValueError(f"Expected dropout from 0 to below 1. Received: {dropout!r}.")
    block = [layers.Dense(units, kernel_initializer=kernel_initializer), layers.BatchNormalization(), layers.ReLU()]
    return [*block, Dropout(dropout)] if dropout else block
