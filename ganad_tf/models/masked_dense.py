"""Dense layers whose connections are masked, so that an output depends on some of the inputs only."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ganad_tf")
class MaskedDense(keras.layers.Dense):
    """A dense layer with connections from units of lower degree to units of higher degree alone.

    Germain et al. 2015 (arXiv 1502.03509), Eq. 8 and 9: the kernel is multiplied by a constant mask of zeros and ones.

    Args:
      input_degrees: Degree of each input.
      degrees: Degree of each unit.
      strict: Whether a unit sees inputs of lower degree only, or also those of its degree.
      kernel_initializer: As Keras names it.
    """

    def __init__(
        self,
        input_degrees: Sequence[int],
        degrees: Sequence[int],
        strict: bool = False,
        kernel_initializer: str = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(len(degrees), kernel_initializer=kernel_initializer, **kwargs)
        self.input_degrees, self.degrees, self.strict = list(input_degrees), list(degrees), strict
        from_degrees = np.array(input_degrees)[:, np.newaxis]
        is_seen = from_degrees < np.array(degrees) if strict else from_degrees <= np.array(degrees)
        self._mask = is_seen.astype(np.float32)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:  # noqa: ARG002 - Keras' signature
        """`[batch, inputs]` → `[batch, units]`."""
        outputs = tf.matmul(inputs, self.kernel * self._mask) + self.bias
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self) -> dict[str, Any]:
        """Every constructor argument."""
        config = super().get_config()
        kept = {key: config[key] for key in ("name", "trainable", "dtype", "activation", "kernel_initializer")}
        return kept | {"input_degrees": self.input_degrees, "degrees": self.degrees, "strict": self.strict}
