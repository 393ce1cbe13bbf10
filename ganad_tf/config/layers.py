"""Layers of settings: `--set` over a file, `machines` over the experiment, an ensemble's members over both.

Everything here works on the plain mappings of a YAML file, before they become dataclasses.
"""

import copy
import re
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ganad_tf.config import reader, yaml_text
from ganad_tf.config.paths import expand
from ganad_tf.config.sections import Model
from ganad_tf.errors import ConfigError

# Sections that may differ between machine types within one experiment.
MACHINE_SECTIONS = (
    "audio",
    "feature",
    "model",
    "fit",
    "augmentation",
    "scorer",
    "threshold",
    "calibration",
    "recording_check",
)
ENSEMBLE = "ensemble"  # may differ too, but for its members

# Keys of a member of an ensemble that is a configuration; it has all others from the file around it.
MEMBER_KEYS = ("name", "seed", "deterministic", "machines", *MACHINE_SECTIONS)

MEMBERS = "ensemble.members."  # before a member's name in the key of an override
_YAML = (".yaml", ".yml")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*", re.ASCII)


def overlaid(mapping: Mapping[str, Any], overrides: Sequence[str], *, source: str) -> dict[str, Any]:
    """The content of a YAML file with overrides laid over it, and its members as mappings with names.

    Args:
      mapping: The file's keys and values.
      overrides: `dotted.key=value` texts; they also win over `machines` and over the members. `ensemble.members.NAME.`
        before a key addresses one member.
      source: Name of the file, for messages.

    Raises:
      ConfigError: If an override or a member is not valid.
    """
    values: dict[str, Any] = copy.deepcopy(dict(mapping))
    for override in overrides:
        if not override.startswith(MEMBERS):
            _lay_over(values, override)
    _name_members(values, source)
    for override in overrides:
        if override.startswith(MEMBERS):
            _lay_over_member(values, override, source)
        elif override.split(".")[0] in MACHINE_SECTIONS:  # the command line wins
            _lay_over_sections(values, override)
        elif override.split(".")[0] == ENSEMBLE and not override.startswith(MEMBERS[:-1]):
            for sections in _machine_sections(values):
                _lay_over(sections, override)
    for sections in (values, *_above(values)):
        scorer = sections.get("scorer")
        if isinstance(scorer, dict) and scorer and "name" not in scorer:
            scorer["name"] = "density"  # the other keys are settings of the density scorer
    return values


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`below` updated by `above`, recursively."""
    merged = dict(below)
    for key, value in above.items():
        deeper = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if deeper else value
    return merged


def merge_member(outer: Mapping[str, Any], member: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file updated by a member's; arguments of another detector's class are not inherited."""
    above = {key: value for key, value in member.items() if key != "name"}
    model, inherited = above.get("model"), outer["model"]["name"]
    if isinstance(model, Mapping) and model.get("name", inherited) != inherited:
        outer = {**outer, "model": {}}
    return merge(outer, above)


def member_for_machine(member: object, machine: str, outer: Mapping[str, Any]) -> Any:
    """A member with its settings of one machine type, over those that the file has for it; a path as it is."""
    if not isinstance(member, Mapping):
        return member
    own = (member.get("machines") or {}).get(machine) or {}
    inherited = {key: value for key, value in outer.items() if key != ENSEMBLE}
    return merge(merge({key: value for key, value in member.items() if key != "machines"}, inherited), own)


def without_weights(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a file without the weights that machine types give the members of an ensemble."""
    machines = {
        machine: {key: value for key, value in (sections or {}).items() if key != ENSEMBLE}
        for machine, sections in mapping["machines"].items()
    }
    return {**mapping, "machines": machines}


def check_machine_sections(machine: str, sections: object, source: str) -> None:
    """Checks the keys of the settings of one machine type.

    Raises:
      ConfigError: Names the first that is unknown.
    """
    if not isinstance(sections, dict):
        raise ConfigError(f"{source}: expected a section with keys under `machines.{machine}`. Received: {sections!r}.")
    known = (*MACHINE_SECTIONS, ENSEMBLE)
    for key in sections:
        if key not in known:
            raise ConfigError(f"{source}: unknown key `machines.{machine}.{key}`{reader.nearest(str(key), known)}")
    if "members" in (sections.get(ENSEMBLE) or {}):
        raise ConfigError(
            f"{source}: expected the same `ensemble.members` for all machine types; a weight of 0 in "
            f"`machines.{machine}.ensemble.weights` leaves a member out."
        )


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested sections."""
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _members(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Members that are configurations."""
    ensemble = values.get("ensemble")
    listed = ensemble.get("members") if isinstance(ensemble, dict) else None
    return [member for member in listed if isinstance(member, dict)] if isinstance(listed, list) else []


def _above(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Mappings whose sections win over those of the file: `machines`, members, and the members' `machines`."""
    members = _members(values)
    return [*members, *(section for holder in (values, *members) for section in _machine_sections(holder))]


def _machine_sections(holder: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Sections under `machines` of a file or of a member."""
    machines = holder.get("machines")
    sections = machines.values() if isinstance(machines, dict) else ()
    return [section for section in sections if isinstance(section, dict)]


def _name_members(values: dict[str, Any], source: str) -> None:
    """Replaces paths of YAML files by their contents, and gives each member that is a configuration a name.

    Raises:
      ConfigError: If a file can't be read, a key is not one of a member, or two members have the same name.
    """
    ensemble = values.get("ensemble")
    if not isinstance(ensemble, dict) or not isinstance(ensemble.get("members"), list):
        return
    ensemble["members"] = members = [
        _of_file(member) if isinstance(member, str) and member.endswith(_YAML) else member
        for member in ensemble["members"]
    ]
    outer = values.get("model")
    names: list[str] = []
    for number, member in enumerate(members):
        if not isinstance(member, dict):
            continue
        for key in member:
            if key not in MEMBER_KEYS:
                where = f"ensemble.members[{number}]"
                raise ConfigError(f"{source}: unknown key `{where}.{key}`{reader.nearest(str(key), MEMBER_KEYS)}")
        name = member.get("name", _class_name(member.get("model")) or _class_name(outer) or Model.name.lower())
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(
                f"{source}: expected a `name` of letters, digits and `_.-` for each member. Received: {name!r}."
            )
        if name in names:
            raise ConfigError(f"{source}: expected another `name` for each member. Received: {name!r} twice.")
        names.append(name)
        members[number] = {"name": name, **member}


def _class_name(model: object) -> str | None:
    name = model.get("name") if isinstance(model, dict) else None
    return name.lower() if isinstance(name, str) else None


def _of_file(path: str) -> dict[str, Any]:
    """The member in a YAML file, named after it; keys that a member has from the outer file are left out."""
    try:
        content = read_yaml(expand(path))
    except ValueError as error:
        raise ConfigError(f"Expected the path of a YAML file for `ensemble.members`, but {error}.") from error
    reader.refuse_invalid_yaml(content, source=path)
    if content.get("ensemble"):
        raise ConfigError(f"Expected one system in {path}, a member of an ensemble. Received: an ensemble.")
    member = {key: value for key, value in content.items() if key in MEMBER_KEYS}
    return {"name": Path(path).stem, **member}


def read_yaml(path: str | PathLike[str]) -> dict[str, Any]:
    """Reads a YAML file of `key: value` lines.

    Raises:
      ConfigError: If it can't be read.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except IsADirectoryError as error:
        raise ConfigError(
            f"Expected a YAML file. Received: {path}, a folder, which `ganad run` and `ganad list` take; `ganad run` "
            "writes a YAML file for the other verbs."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and not Path(path).suffix:  # perhaps a folder's name with a slip
            raise ConfigError(
                "Expected a YAML file or, for `ganad run` and `ganad list`, a folder of recordings. "
                f"Received: {path}, which does not exist."
            ) from error
        raise ConfigError(
            f"Can't read the configuration {path}: {getattr(error, 'strerror', None) or error}."
        ) from error
    mapping = yaml_text.parse(text, str(path))
    if not isinstance(mapping, dict | None):
        raise ConfigError(f"Expected a YAML file of `key: value` lines in {path}. Received: {type(mapping).__name__}.")
    return mapping or {}


def _lay_over_sections(values: dict[str, Any], override: str) -> None:
    """Lays an override over the sections of `machines` and of the members."""
    members = _members(values)
    is_model = override.startswith("model.")
    with_model = [member for member in members if "model" in member]
    if is_model and members and len(with_model) == len(members):
        names = ", ".join(member["name"] for member in members)
        raise ConfigError(
            f"Expected `--set {MEMBERS}NAME.{override}` with the name of a member ({names}): each has a `model` of its "
            f"own. Received: `--set {override}`."
        )
    for sections in _above(values):
        if not (is_model and any(sections is member for member in with_model)):
            _lay_over(sections, override)


def _lay_over_member(values: dict[str, Any], override: str, source: str) -> None:
    rest = override.removeprefix(MEMBERS)
    members = {member["name"]: member for member in _members(values)}
    for name, member in members.items():  # a name may have dots
        if rest.startswith(f"{name}."):
            change = rest.removeprefix(f"{name}.")
            _lay_over(member, change)
            if change.split(".")[0] in MACHINE_SECTIONS:
                _lay_over_machines(member, values.get("machines"), change)
            return
    raise ConfigError(
        f"{source}: no member `{rest.partition('.')[0]}`{reader.nearest(rest.partition('.')[0], members)}"
    )


def _lay_over_machines(member: dict[str, Any], machines: object, override: str) -> None:
    """Lays an override over a member's settings of each machine type that the file has settings of."""
    mine = member.setdefault("machines", {})
    if not isinstance(mine, dict):
        return  # an error that is told later
    for machine in machines if isinstance(machines, dict) else ():
        mine.setdefault(machine, {})
    for sections in mine.values():
        if isinstance(sections, dict):
            _lay_over(sections, override)


def _lay_over(mapping: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"Expected `--set key=value`, such as `--set fit.epochs=10`. Received: {override!r}.")
    *sections, name = key.split(".")
    for section in sections:
        if not isinstance(mapping.get(section), dict):
            mapping[section] = {}
        mapping = mapping[section]
    mapping[name] = yaml_text.parse_override(text, f"--set {key}")
    reader.refuse_invalid_yaml(mapping[name], source="--set", key=key)
