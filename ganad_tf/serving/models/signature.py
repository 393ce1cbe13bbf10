"""Signatures of a model, their fields, and names and values in messages; shared by models and protocols."""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ganad_tf.errors import InputError

MACHINE_ID = "machine_id"  # input of models that need it, `[batch]` strings: the machine that each clip is of
MACHINE = "machine"  # input of fleets, `[batch]` strings: name of the machine that each clip is of
FALSE_ALARMS = "false_alarms"  # input of the signatures `decide_...`, `[batch]`: the rate that sets the threshold

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


@dataclass(frozen=True)
class Field:
    """Dtype and shape of a named tensor; None for a size that varies. Strings are `bytes` in object arrays."""

    dtype: np.dtype
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """Inputs and outputs of a model's function by name."""

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Checks names, shapes and dtypes of arrays.

        Raises:
          InputError: If they do not fit; names the field.
        """
        check_names(inputs, self.inputs)
        for name, field in self.inputs.items():
            array = inputs[name]
            sizes = zip(array.shape, field.shape, strict=False)
            if array.ndim != len(field.shape) or any(expected not in (None, size) for size, expected in sizes):
                raise InputError(f"{name}: expected the shape {_text(field.shape)}. Received: {_text(array.shape)}.")
            if array.dtype != field.dtype:
                raise InputError(f"{name}: expected {field.dtype.name}. Received: {array.dtype.name}.")
            if not array.size:
                raise InputError(
                    f"{name}: expected at least one clip, none of them empty. Received: {_text(array.shape)}."
                )
        counts = {name: len(inputs[name]) for name in self.inputs}
        if len(set(counts.values())) > 1:  # requests that are scored together would get one another's entries
            received = ", ".join(f"{count} in {name}" for name, count in counts.items())
            raise InputError(f"{min(counts)}: expected one entry per clip in all inputs. Received: {received}.")


def find_signature(signatures: Mapping[str, Signature], name: object, parameter: str = "signature_name") -> Signature:
    """Signature of that name; `parameter` is the request's field in the message.

    Raises:
      InputError: If there is none.
    """
    if not isinstance(name, str) or name not in signatures:
        known = ", ".join(sorted(signatures))
        raise InputError(f"{parameter}: expected one of {known}. Received: {shorten(name)}.")
    return signatures[name]


def check_names(names: Iterable[str], fields: Mapping[str, Field]) -> None:
    """Checks that the names are exactly those of the fields.

    Raises:
      InputError: If one is missing or unknown; names it.
    """
    for name in sorted(fields.keys() ^ set(names)):
        fault = "expected, but missing" if name in fields else "not an input of this signature"
        raise InputError(f"{quote_name(name)}: {fault}; it takes {', '.join(sorted(fields))}.")


def shorten(value: object) -> str:
    """A client's value for a message: one line, truncated."""
    return _SHORT.repr(value).replace("\n", " ")


def quote_name(name: object) -> str:
    """A client's name for a message: as it is if it is a short identifier, quoted and truncated otherwise."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= 60 else shorten(name)


def _text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
