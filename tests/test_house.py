"""The house as the README shows it: every room is there, every door leads somewhere."""

import ast
import configparser
import re

import pytest
from conftest import ROOT

from ganad_tf import config as configuration

PACKAGE = ROOT / "ganad_tf"
MODULES = sorted(PACKAGE.rglob("*.py"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])
YAMLS = sorted((ROOT / "yaml").glob("*.yaml"))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_to_a_file(path):
    for target in re.findall(r"\]\((?!http)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_anchor_leads_to_a_heading(path):
    def prose(file):
        return re.sub(r"```.*?```", "", file.read_text(), flags=re.DOTALL)

    for target, anchor in re.findall(r"\]\((?!http)([^)#\s]*)#([^)\s]+)\)", prose(path)):
        headings = re.findall(r"^#+ (.*)$", prose(path.parent / target if target else path), flags=re.MULTILINE)
        anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings]
        assert anchor in anchors, f"{target}#{anchor}"


def test_the_flow_line_names_folders_in_the_order_of_the_flow():
    text = (ROOT / "README.md").read_text().partition("## How it flows")[2]
    rooms = re.findall(r"\[(\w+)\]\(ganad_tf/(\w+)", text.partition("Clips go in")[0])
    assert all(name == file for name, file in rooms)
    names = [name for name, _ in rooms]
    assert names[:5] == ["config", "datasets", "audio", "features", "cache"]
    assert names[-5:] == ["results", "report", "plotting", "exporting", "serving"]


def test_the_readme_names_every_folder():
    text = (ROOT / "README.md").read_text().partition("## How it flows")[2]
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert set(re.findall(r"\]\(ganad_tf/(\w+)/__init__", text)) == folders


def test_every_folder_is_installed():
    """Also where the package is not a checkout."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in PACKAGE.rglob("__init__.py")}
    assert set(settings["options"]["packages"].split()) == folders | {"ganad_tf.yaml"}


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_every_yaml_is_a_short_experiment_that_says_its_command(path):
    text = path.read_text()
    configuration.load(path)
    assert len(text.splitlines()) <= 40
    assert re.match(r"# (ganad|python tools/)", text)


def test_yaml_files_with_one_cache_have_the_same_features():
    """Otherwise each `ganad run` would compute the spectra again that the one before it has replaced."""
    fingerprints = {}
    for path in YAMLS:
        config = configuration.load(path)
        if config.feature.encoder is None:  # whose file is not part of the project
            fingerprints.setdefault(config.cache_directory, set()).add(config.feature_fingerprint())
    assert {directory: len(found) for directory, found in fingerprints.items() if len(found) > 1} == {}


def test_every_public_name_says_what_it_is():
    silent = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        public = [
            node
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        ]
        silent += [
            f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}"
            for node in (tree, *public)
            if not ast.get_docstring(node)
        ]
    assert not silent, "\n".join(["no docstring:", *silent])


def test_a_docstring_begins_with_a_noun_phrase_or_a_verb():
    """A relative clause or a quantifier hides the noun that a reader looks for."""
    paths = [path for name in ("ganad_tf", "tools", "tests") for path in sorted((ROOT / name).rglob("*.py"))]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    banned = re.compile(r"(What|Where|How|Whose|All)\b")
    offenders = [
        f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented) and banned.match((ast.get_docstring(node) or "").lstrip())
    ]
    assert not offenders, f"{len(offenders)} docstrings begin so:\n" + "\n".join(offenders)


def test_no_room_for_odds_and_ends():
    assert not [path for path in MODULES if path.stem in ("utils", "common", "misc", "helpers", "manager", "handler")]


def test_sources_are_small():
    assert {path.name: n for path in MODULES if (n := len(path.read_text().splitlines())) > 400} == {}
