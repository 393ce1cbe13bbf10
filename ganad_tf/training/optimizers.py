"""All that a step of training changes: weights, averages, and what the optimizers remember."""

import keras

from ganad_tf.models.adam import Adam

__all__ = ["Adam", "state"]


def state(model: keras.Model) -> list[keras.Variable]:
    """All that a step may change, the optimizers' variables with it, in the order in which the model was built."""
    optimizers = [value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)]
    for optimizer in optimizers:
        if not optimizer.built:  # what its first step would do
            optimizer.build(model.trainable_variables)
    return [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]
