"""Sentences for arguments that a detector does not know, and for those that Keras takes and no detector looks at."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

import keras

ALL_ALIKE = "expected no weights, for windows all count alike; leave some out, or give some more than once. Received:"


def refuse_unknown(name: str, value: str, choices: Any) -> None:
    """Refuses a constructor's argument that is none of a `Literal`'s values.

    Raises:
      ValueError: Names the argument and its choices.
    """
    if value not in get_args(choices):
        raise ValueError(f"Expected {name} to be one of {', '.join(get_args(choices))}. Received: {value!r}.")


def refuse_machine_ids(machine_ids: Sequence[str]) -> None:
    """Refuses IDs that nothing can be told apart by.

    Raises:
      ValueError: If there are fewer than two IDs, or one twice.
    """
    if len(set(machine_ids)) < max(2, len(machine_ids)):
        raise ValueError(f"Expected two or more different machine_ids. Received: {', '.join(machine_ids) or 'none'}.")


def refuse_other_than_float32(detector: keras.Model) -> None:
    """Refuses to compute in other numbers, whichever of Keras' three settings asks for them.

    Raises:
      ValueError: Names the setting.
    """
    kinds = {
        "dtype": detector.dtype_policy.name,
        "keras.config.dtype_policy()": keras.config.dtype_policy().name,
        "keras.config.floatx()": keras.config.floatx(),
    }
    other = [f"{setting} {kind}" for setting, kind in kinds.items() if kind != "float32"]
    if other:
        raise ValueError(
            f"{type(detector).__name__} computes in float32 alone, where mixed precision would cost digits and gain no "
            f"time. Received: {', '.join(other)}; set it to float32 before a detector is made or loaded."
        )


def refuse_arguments(method: str, why: str, **arguments: Any) -> None:
    """Refuses arguments that are not None.

    Raises:
      ValueError: Names them.
    """
    given = ", ".join(f"{name}={value!r}" for name, value in arguments.items() if value is not None)
    if given:
        raise ValueError(f"{method} takes no {' or '.join(arguments)}: {why}. Received: {given}.")


def refuse_weights(method: Callable[..., Any], arguments: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Refuses weights of windows and classes, which Keras drops without a word where there are no targets.

    Args:
      method: `fit`, or another of a detector's.
      arguments: By position.
      named: By name.

    Raises:
      ValueError: Names the argument.
    """
    given = inspect.signature(method).bind(*arguments, **named).arguments
    for name in ("sample_weight", "class_weight"):
        if given.get(name) is not None:
            raise ValueError(f"{method.__name__}: {ALL_ALIKE} {name}.")
