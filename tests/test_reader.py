"""A mapping becomes the dataclass that it describes, or one sentence names the key and what was expected."""

import math
from dataclasses import dataclass, field
from typing import Literal

import pytest

from ganad_tf.config import reader
from ganad_tf.errors import ConfigError


@dataclass(frozen=True)
class Inner:
    """A section within a section."""

    rate: float = 0.5
    kind: Literal["mean", "max"] = "mean"

    def __post_init__(self) -> None:
        reader.in_range("inner.rate", self.rate, 0, 1)


@dataclass(frozen=True)
class Outer:
    """Every kind of value that settings have."""

    count: int = 3
    is_on: bool = False
    name: str = ""
    limit: int | None = None
    members: list[str] = field(default_factory=list)
    inner: Inner = Inner()


def read(mapping):
    return reader.read_section(Outer, mapping, source="a.yaml")


def test_values_become_what_the_section_says():
    given = {"count": 5, "is_on": True, "name": "fan", "limit": None, "members": ["a"], "inner": {"rate": 0}}
    section = read(given)
    assert section == Outer(5, True, "fan", None, ["a"], Inner(0.0))
    assert isinstance(section.inner.rate, float)
    assert read(None) == read({}) == read({"inner": None}) == Outer()


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"cuont": 1}, "unknown key `cuont`; did you mean `count`?"),
        ({"inner": {"rat": 1}}, "unknown key `inner.rat`; did you mean `rate`?"),
        ({"zzz": 1}, "unknown key `zzz`. Known: count, inner, is_on, limit, members, name."),
        ({"count": 1.5}, "expected a whole number for `count`. Received: 1.5."),
        ({"count": True}, "expected a whole number for `count`. Received: True."),
        ({"is_on": 1}, "expected true or false for `is_on`. Received: 1."),
        ({"limit": "x"}, "expected a whole number or nothing for `limit`. Received: 'x'."),
        ({"members": "a"}, "expected a list of texts for `members`. Received: 'a'."),
        ({"members": [1]}, "expected a text for `members`. Received: 1; a text that YAML takes for something else"),
        ({"name": False}, "expected a text for `name`. Received: False; a text that YAML takes for something else"),
        ({"inner": {"rate": math.nan}}, "expected a number for `inner.rate`. Received: nan."),
        ({"inner": {"kind": "min"}}, "expected mean or max for `inner.kind`. Received: 'min'."),
        ({"inner": 3}, "expected a section with keys under `inner`. Received: 3."),
        ([1], "expected a section with keys under `the top`. Received: [1]."),
        ({"inner": {"rate": 1}}, "expected `inner.rate` from 0 to below 1. Received: 1.0."),
        ({"inner": {"rate": -0.1}}, "expected `inner.rate` from 0 to below 1. Received: -0.1."),
    ],
)
def test_everything_else_is_a_sentence_that_names_the_key(mapping, sentence):
    with pytest.raises(ConfigError) as caught:
        read(mapping)
    assert str(caught.value).startswith(f"a.yaml: {sentence}")
    assert "\n" not in str(caught.value)


def test_what_no_setting_can_be_is_refused_wherever_it_stands():
    within_itself = []
    within_itself.append(within_itself)
    refused = {
        "as keys under `a`. Received: 1": {"a": {1: 2}},
        "as keys under the top. Received: None": {None: 2},
        "a number for `a`. Received: inf": {"a": [1, [math.inf]]},
        "for `a.b`. Received: b'x'": {"a": {"b": b"x"}},
        "at most 20 sections and lists within one another under `a`": {"a": within_itself},
    }
    for sentence, value in refused.items():
        with pytest.raises(ConfigError, match="a.yaml: expected") as caught:
            reader.refuse_invalid_yaml(value, source="a.yaml")
        assert sentence in str(caught.value)
    reader.refuse_invalid_yaml({"a": [1, 1.5, None, "x", True, {"b": []}]}, source="a.yaml")
    deep = {}
    for _ in range(reader.MAX_DEPTH):
        deep = {"a": deep}
    reader.refuse_invalid_yaml(deep, source="a.yaml")
    with pytest.raises(ConfigError, match="at most 20 sections"):
        reader.refuse_invalid_yaml({"a": deep}, source="a.yaml")


def test_the_first_other_setting_is_named_and_lists_are_tuples():
    there = {"fit.epochs": 5, "model.hidden": (16, 16), "seed": 0}
    reader.refuse_other_settings("The detector", there, there | {"model.hidden": [16, 16]}, "train again")
    sentence = (
        r"^The detector was made with `fit\.epochs: 5`, this configuration has `fit\.epochs: None`; train again\.$"
    )
    with pytest.raises(ConfigError, match=sentence):
        reader.refuse_other_settings("The detector", there, {"seed": 1, "model.hidden": [16, 16]}, "train again")
