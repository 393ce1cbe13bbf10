"""Strict reading: a YAML mapping into frozen dataclasses, or one sentence about what is wrong.

Knows nothing of our settings; `config.py` holds those.
"""

import dataclasses
import difflib
import json
import math
import re
import types
import typing
from collections.abc import Hashable, Mapping
from typing import Any, Literal, TypeVar

import yaml
from ganad_tf.errors import ConfigError

T = TypeVar("T")


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, reading `2e-4` as the number it is and refusing a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key}` stands here twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> Any:
    """The value that `text` spells.

    Raises:
      ConfigError: If `text` is not YAML; names `source` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that is none
        raise ConfigError(f"Expected YAML in {source}. Received: {' '.join(str(error).split())}") from error


def read_section(section: type[T], mapping: object, *, source: str, key: str = "") -> T:
    """Builds the dataclass `section` from a mapping, checking every key and type.

    Args:
      section: A dataclass whose fields are the known keys.
      mapping: What the YAML holds there; None stands for an empty section.
      source: The file, for messages.
      key: The dotted key of this section, for messages.

    Raises:
      ConfigError: For an unknown key, a wrong type, or a value that the dataclass refuses.
    """
    if mapping is None:
        mapping = {}
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{source}: expected a section with keys under `{key or 'the top'}`. Received: {mapping!r}.")
    hints = typing.get_type_hints(section)
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


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean ...?` for the closest known name, or the list of them all."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f". Known: {', '.join(known)}."


def in_range(key: str, value: float, low: float, high: float) -> None:
    """Refuses what is not from `low` to below `high`.

    Raises:
      ValueError: Names the dotted key.
    """
    if not low <= value < high:
        raise ValueError(f"expected `{key}` from {low} to below {high}. Received: {value}.")


def _convert(value: object, expected: Any, *, source: str, key: str) -> Any:
    """`value` as the type `expected`, or a ConfigError that names the key."""
    if dataclasses.is_dataclass(expected):
        return read_section(typing.cast(type, expected), value, source=source, key=key)
    for option in _options(expected):
        if _fits(value, option):
            return float(value) if option is float else value  # type: ignore[arg-type]
    raise ConfigError(f"{source}: expected {_describe(expected)} for `{key}`. Received: {value!r}.")


def _options(expected: Any) -> tuple[Any, ...]:
    is_union = typing.get_origin(expected) in (typing.Union, types.UnionType)
    return typing.get_args(expected) if is_union else (expected,)


def _fits(value: object, expected: Any) -> bool:
    if typing.get_origin(expected) is Literal:
        return value in typing.get_args(expected) and not isinstance(value, bool)
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
        if typing.get_origin(option) is Literal:
            words.extend(str(choice) for choice in typing.get_args(option))
        else:
            words.append(names.get(option, "a section with keys"))
    return " or ".join(words)


def refuse_other_settings(what: str, there: Mapping[str, Any], here: Mapping[str, Any], mend: str) -> None:
    """Refuses something made with settings `there` where the configuration has `here`, both with dotted keys.

    Raises:
      ConfigError: Names the first setting that differs, and how to mend it.
    """
    there, here = (json.loads(json.dumps(settings)) for settings in (there, here))
    for key in sorted(there.keys() | here.keys()):
        if there.get(key) != here.get(key):
            raise ConfigError(
                f"{what} was made with `{key}: {there.get(key)}`, "
                f"this configuration has `{key}: {here.get(key)}`; {mend}."
            )
