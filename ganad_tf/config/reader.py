"""Strict conversion of YAML mappings to frozen dataclasses, or one sentence about what is wrong.

Independent of the actual settings, which `sections.py` holds.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from ganad_tf.config.paths import Location, expand
from ganad_tf.errors import ConfigError

T = TypeVar("T")

MAX_DEPTH = 20  # of nested sections and lists
QUOTES = "a text that YAML takes for something else, such as `no`, `1` or `~`, stands in quotes"


def read_section(section: type[T], mapping: object, *, source: str, key: str = "") -> T:
    """Builds the dataclass `section` from a mapping, checking every key and type.

    Args:
      section: A dataclass whose fields are the known keys.
      mapping: Content of the section in the file; None stands for an empty section.
      source: The file, for messages.
      key: The dotted key of this section, for messages.

    Raises:
      ConfigError: For an unknown key, a wrong type, or a value that the dataclass refuses.
    """
    if mapping is None:
        mapping = {}
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: expected a section with keys under `{key or 'the top'}`. Received: {mapping!r}.")
    hints = typing.get_type_hints(section, include_extras=True)
    known = [field.name for field in dataclasses.fields(section)]  # type: ignore[arg-type]
    values = {}
    for name, value in mapping.items():
        dotted = f"{key}.{name}" if key else str(name)
        if name not in known:
            raise ConfigError(f"{source}: unknown key `{dotted}`{nearest(str(name), known)}")
        values[name] = _convert(value, hints[name], source=source, key=dotted)
    try:
        return section(**values)
    except ValueError as error:
        raise ConfigError(f"{source}: {error}") from error


def refuse_invalid_yaml(value: object, *, source: str, key: str = "", depth: int = 0) -> None:
    """Refuses YAML values that no setting can have: keys other than strings, NaN, infinity, sets, bytes.

    Raises:
      ConfigError: Names the first such value.
    """
    if depth > MAX_DEPTH:  # perhaps an alias that contains itself
        raise ConfigError(
            f"{source}: expected at most {MAX_DEPTH} sections and lists within one another under `{key}`."
        )
    if isinstance(value, Mapping):
        for name, deeper in value.items():
            if not isinstance(name, str):
                where = f"`{key}`" if key else "the top"
                raise ConfigError(f"{source}: expected texts as keys under {where}. Received: {name!r}; {QUOTES}.")
            refuse_invalid_yaml(deeper, source=source, key=f"{key}.{name}" if key else name, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            refuse_invalid_yaml(item, source=source, key=key, depth=depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{source}: expected a number for `{key}`. Received: {value!r}.")
    elif not isinstance(value, str | int | float | None):
        raise ConfigError(f"{source}: expected a text, a number, a list or a section for `{key}`. Received: {value!r}.")


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """End of a message: `; did you mean ...?` with the closest known name, or a list of the known names."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f". Known: {', '.join(known)}."


def in_range(key: str, value: float, low: float, high: float) -> None:
    """Refuses a value outside [low, high).

    Raises:
      ValueError: Names the dotted key.
    """
    if not low <= value < high:
        raise ValueError(f"expected `{key}` from {low} to below {high}. Received: {value}.")


def _convert(value: object, expected: Any, *, source: str, key: str) -> Any:
    """Converts `value` to the type `expected`, or raises a ConfigError that names the key."""
    if dataclasses.is_dataclass(expected):
        return read_section(typing.cast(type, expected), value, source=source, key=key)
    for option in _options(expected):
        if dataclasses.is_dataclass(option) and isinstance(value, Mapping):
            return read_section(typing.cast(type, option), value, source=source, key=key)
        if _fits(value, option):
            return _read(value, option, source=source, key=key)
    wants_text = _describe(expected) == "a text" and (value is None or isinstance(value, bool | int | float))
    hint = f"; {QUOTES}." if wants_text else "."
    raise ConfigError(f"{source}: expected {_describe(expected)} for `{key}`. Received: {value!r}{hint}")


def _read(value: Any, expected: Any, *, source: str, key: str) -> Any:
    """Converts a value of the right type: integers to `float` where that is expected, paths by expansion."""
    if expected is float:
        return float(value)
    if expected == Location:
        try:
            return expand(value)
        except ValueError as error:
            raise ConfigError(f"{source}: expected a path for `{key}`, but {error}.") from error
    if typing.get_origin(expected) is list:
        (kind,) = typing.get_args(expected)
        return [_convert(item, kind, source=source, key=key) for item in value]
    return value


def _options(expected: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(expected) in (typing.Union, types.UnionType)
    return typing.get_args(expected) if is_union else (expected,)


def _fits(value: object, expected: Any) -> bool:
    if typing.get_origin(expected) is Literal:
        return value in typing.get_args(expected) and not isinstance(value, bool)
    if typing.get_origin(expected) is Annotated:
        return _fits(value, typing.get_args(expected)[0])
    if typing.get_origin(expected) is not None:
        return isinstance(value, typing.get_origin(expected))
    if isinstance(value, bool):
        return expected is bool
    if expected is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, expected)


def _describe(expected: Any) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", types.NoneType: "nothing"}
    words: list[str] = []
    for option in _options(expected):
        if typing.get_origin(option) is Annotated:
            words.append(_describe(typing.get_args(option)[0]))
        elif typing.get_origin(option) is Literal:
            words.extend(str(choice) for choice in typing.get_args(option))
        elif typing.get_origin(option) is list:
            (item,) = typing.get_args(option)
            words.append("a list of " + _describe(item).replace("a text", "texts").replace("a section", "sections"))
        else:
            words.append(names.get(option, "a section with keys"))
    return " or ".join(words)


def refuse_other_settings(what: str, there: Mapping[str, Any], here: Mapping[str, Any], advice: str) -> None:
    """Refuses a result made with settings `there` if the configuration has other settings, `here`.

    Args:
      what: The result, to begin the message with.
      there: Settings that it was made with; dotted keys.
      here: Settings of the configuration; dotted keys.
      advice: Advice, to end the message with.

    Raises:
      ConfigError: Names the first setting that differs.
    """
    there, here = (json.loads(json.dumps(settings)) for settings in (there, here))
    for key in sorted(there.keys() | here.keys()):
        if there.get(key) != here.get(key):
            raise ConfigError(
                f"{what} was made with `{key}: {there.get(key)}`, "
                f"this configuration has `{key}: {here.get(key)}`; {advice}."
            )
