"""YAML text → plain values, without the surprises of YAML 1.1.

Numbers are those of YAML 1.2's core schema: `0512` is 512 (YAML 1.1 reads 330), `2e-4` and `.5` are numbers, and
`1_000`, `1:30` and `2026-11-01` are strings, which a key that expects a number refuses. `yes`, `no`, `on` and `off`
are booleans as in YAML 1.1, which most people know; a string of that kind has to be quoted.
"""

import re
from collections.abc import Hashable, Iterable
from typing import Any

import yaml

from ganad_tf.errors import ConfigError

_PREFIX = "tag:yaml.org,2002:"
_WORDS = ("true", "false", "yes", "no", "on", "off")
_SCALARS: tuple[tuple[str, str, Iterable[str]], ...] = (  # kind, pattern, first characters
    ("null", r"~|null|Null|NULL|", ["", *"~nN"]),
    ("bool", "|".join(form for word in _WORDS for form in (word, word.capitalize(), word.upper())), "tTfFyYnNoO"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but duplicate keys are errors."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - without those of YAML 1.1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if key.tag != f"{_PREFIX}merge"]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key}` stands here twice", node.start_mark
                )
        return super().construct_mapping(node, deep=deep)


def _whole_number(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = loader.construct_scalar(node)
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _number(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(loader.construct_scalar(node).lower().replace(".inf", "inf").replace(".nan", "nan"))


for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(_PREFIX + _kind, re.compile(f"(?:{_pattern})\\Z"), list(_first))
_Loader.add_constructor(f"{_PREFIX}int", _whole_number)
_Loader.add_constructor(f"{_PREFIX}float", _number)


def parse(text: str, source: str) -> Any:
    """Parses YAML text.

    Raises:
      ConfigError: If `text` is not YAML; names `source` and the line.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except RecursionError as error:
        raise ConfigError(f"Expected YAML in {source}. Received: too many brackets within one another.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: `!!int many`
        raise ConfigError(f"Expected YAML in {source}. Received: {' '.join(str(error).split())}") from error


def parse_override(text: str, source: str) -> Any:
    """Parses the value of `--set key=value`: as `parse`, but comments are errors.

    Raises:
      ConfigError: If `text` is not YAML, or ends in a comment that may be part of a path.
    """
    value = parse(text, source)
    if text.count("#") > str(value).count("#"):
        raise ConfigError(f"Expected {source} without a comment. Received: {text!r}; put a value with `#` into quotes.")
    return value
