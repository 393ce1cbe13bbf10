"""Keras' Adam, each variable in one kernel: with small batches the optimizer is most of a step.

Saved detectors name it as `ganad_tf>Adam`: it stands here so that `import ganad_tf.models` is all that loading needs.
"""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="ganad_tf")
class Adam(keras.optimizers.Adam):
    """The same arithmetic and settings as `keras.optimizers.Adam` (Kingma and Ba 2014, arXiv 1412.6980).

    >>> isinstance(Adam(learning_rate=1e-4), keras.optimizers.Adam)
    True
    """

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Moves one variable and its two averages."""
        if self.amsgrad or isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        place = self._get_variable_index(variable)
        beta_1, beta_2, rate, epsilon = (
            tf.cast(value, variable.dtype) for value in (self.beta_1, self.beta_2, learning_rate, self.epsilon)
        )
        step = tf.cast(self.iterations.value + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=tf.pow(beta_1, step),
            beta2_power=tf.pow(beta_2, step),
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )
