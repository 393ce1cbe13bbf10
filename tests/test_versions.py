"""The lower bounds of `setup.cfg` are versions that were run, and the tool that runs them."""

import configparser
import re
import subprocess
import sys

import pytest
from conftest import ROOT

TOOL = ROOT / "tools" / "versions.py"


@pytest.fixture(scope="module")
def bounds():
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    lines = settings["options"]["install_requires"].split()
    pairs = [re.fullmatch(r"([\w-]+)>=([\d.]+)", line) for line in lines]
    assert all(pairs), lines
    return {pair[1]: pair[2] for pair in pairs}


def test_the_lowest_versions_that_the_page_shows_are_the_bounds(bounds):
    table = (ROOT / "docs" / "settings.md").read_text().partition("combinations were tested:")[2]
    lines = [line for line in table.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    packages = header[2:-1]
    assert len(packages) >= 5
    lowest = [dict(zip(packages, row[2:-1], strict=True)) for row in rows if row[0] == "lowest"]
    assert {package: bounds[package] for package in packages} in lowest
    assert all(row[-1].startswith("passed") for row in rows)
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "setup.cfg").read_text())
    assert set(classifiers) == {row[1].rpartition(".")[0] for row in rows}


def test_a_python_that_is_not_there_is_said(tmp_path):
    for more, code in ([], 2), (["--optional"], 0):
        command = [sys.executable, TOOL, "newest", "--python", "3.99", *more]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr == "There is no Python 3.99 here; nothing was run with it.\n"
