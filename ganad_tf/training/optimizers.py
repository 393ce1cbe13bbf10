"""Everything that a step of training changes: weights, averages, and the memory of the optimizers."""

import keras


def state(model: keras.Model) -> list[keras.Variable]:
    """Variables that a step may change, the optimizers' with them, in the order in which the model was built."""
    optimizers = [value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)]
    for optimizer in optimizers:
        if not optimizer.built:  # what its first step would do
            optimizer.build(model.trainable_variables)
    return [*model.variables, *(variable for optimizer in optimizers for variable in optimizer.variables)]
