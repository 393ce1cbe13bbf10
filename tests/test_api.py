"""The declared API, as a script in another folder imports it."""

import ast
import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

import ganad_tf

DOCUMENTS = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Facts that a bare script prints: what `import ganad_tf` loads, and which declared names can't be imported."""
    script = """
import importlib, json, sys
import ganad_tf
loaded = [name for name in ("tensorflow", "keras", "numpy") if name in sys.modules]
listed = set(ganad_tf.__all__) <= set(dir(ganad_tf))
missing = [
    f"{module}.{name}"
    for module, names in ganad_tf.API.items()
    for name in names
    if not hasattr(importlib.import_module(f"ganad_tf.{module}"), name)
]
missing += [name for name in ganad_tf.__all__ if not hasattr(ganad_tf, name)]
from ganad_tf import GANomaly, LogMel
classes = [GANomaly.__name__, LogMel.__name__]
print(json.dumps({"loaded": loaded, "listed": listed, "missing": missing, "classes": classes}))
"""
    folder = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_the_package_loads_no_framework(imported):
    assert imported["loaded"] == []


def test_every_declared_name_can_be_imported(imported):
    assert imported["missing"] == []
    assert imported["listed"]
    assert imported["classes"] == ["GANomaly", "LogMel"]


def test_every_detector_is_declared():
    """Scripts construct them, docs/keras.md says how."""
    from ganad_tf.models import DETECTORS

    assert DETECTORS.keys() <= set(ganad_tf.API["models"])


def test_an_undeclared_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ganad_tf.nothing  # noqa: B018


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_import_declared_names_alone(path):
    declared = {f"ganad_tf.{module}": set(names) for module, names in ganad_tf.API.items()}
    declared["ganad_tf"] = set(ganad_tf.__all__)
    for block in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "ganad_tf":
                names = {alias.name for alias in node.names}
                assert names <= declared.get(node.module, set()), f"{node.module}: {names}"
