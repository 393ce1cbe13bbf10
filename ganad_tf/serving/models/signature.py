"""What a signature takes and returns, in plain words: the same for an artifact, a server and a protocol."""

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ganad_tf.errors import InputError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


@dataclass(frozen=True)
class Field:
    """A named tensor: dtype, and shape with None for what may vary. Strings are `bytes` in object arrays."""

    dtype: np.dtype
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class Signature:
    """A function of a model: its inputs and outputs by name."""

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]

    def check(self, inputs: Mapping[str, np.ndarray]) -> None:
        """Refuses arrays that the function does not take.

        Raises:
          InputError: Names the field.
        """
        check_names(inputs, self.inputs)
        for name, field in self.inputs.items():
            given = inputs[name]
            sizes = zip(given.shape, field.shape, strict=False)
            if given.ndim != len(field.shape) or any(size not in (None, own) for own, size in sizes):
                raise InputError(f"{name}: expected the shape {_text(field.shape)}. Received: {_text(given.shape)}.")
            if given.dtype != field.dtype:
                raise InputError(f"{name}: expected {field.dtype.name}. Received: {given.dtype.name}.")
            if not given.size:
                raise InputError(
                    f"{name}: expected at least one clip, none of them empty. Received: {_text(given.shape)}."
                )


def check_names(given: Iterable[str], fields: Mapping[str, Field]) -> None:
    """Refuses names that are not those of the fields, or lack one.

    Raises:
      InputError: Names the field.
    """
    for name in sorted(fields.keys() ^ set(given)):
        what = "expected, but missing" if name in fields else "not an input of this signature"
        raise InputError(f"{named(name)}: {what}; it takes {', '.join(sorted(fields))}.")


def short(value: object) -> str:
    """A value as a message can hold it: one line, not too long, whatever a client sent."""
    return _SHORT.repr(value).replace("\n", " ")


def named(name: object) -> str:
    """A name as a message can hold it."""
    return name if isinstance(name, str) and name.isidentifier() and len(name) <= 60 else short(name)


def _text(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in shape)}]"
