"""Everything that a step of training changes: weights, averages, and the memory of the optimizers."""

import keras


def build(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """Builds the optimizers of a compiled model, as their first step would, and returns them."""
    optimizers = [value for value in vars(model).values() if isinstance(value, keras.optimizers.Optimizer)]
    for optimizer in optimizers:
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
    return optimizers


def state(model: keras.Model) -> list[keras.Variable]:
    """Variables that a step may change, the optimizers' with them, in the order in which the model was built."""
    return [*model.variables, *(variable for optimizer in build(model) for variable in optimizer.variables)]
