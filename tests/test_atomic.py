"""Files and directories as a reader finds them after their writer was killed, failed, or is still at it."""

import subprocess
import sys
import threading

import pytest

from ganad_tf.errors import WriteError
from ganad_tf.files import atomic

# Writes half of something and is killed: nothing that Python does at its end is done.
KILLED_IN_A_FILE = """
import os, signal, sys
from pathlib import Path
from ganad_tf.files import atomic
with atomic.replacing(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""
KILLED_IN_A_DIRECTORY = """
import os, signal, sys
from pathlib import Path
from ganad_tf.files import atomic
with atomic.new_directory(Path(sys.argv[1]), replace=True) as temporary:
    (temporary / "first").write_text("new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed(script, path):
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr


def leftovers(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("old", ["the old text", None])
def test_a_killed_writer_leaves_the_old_file_or_none(tmp_path, old):
    path = tmp_path / "result.csv"
    if old:
        path.write_text(old)
    killed(KILLED_IN_A_FILE, path)
    assert (path.read_text() if old else path.exists()) == (old or False)
    assert len(leftovers(tmp_path)) == 1
    other = tmp_path / ".result.csv.b.1.tmp"  # of another name
    other.touch()
    atomic.clear_leftovers(path)
    assert leftovers(tmp_path) == [other.name]


@pytest.mark.parametrize("old", ["the old text", None])
def test_a_killed_writer_leaves_the_old_directory_or_none(tmp_path, old):
    path = tmp_path / "fan"
    if old:
        path.mkdir()
        (path / "first").write_text(old)
    killed(KILLED_IN_A_DIRECTORY, path)
    assert ((path / "first").read_text() if old else path.exists()) == (old or False)
    assert len(leftovers(tmp_path)) == 1
    atomic.clear_leftovers(path)
    assert not leftovers(tmp_path)


def test_what_fails_while_it_writes_changes_nothing(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError), atomic.new_directory(tmp_path / "fan") as folder:
        (folder / "first").write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["result.csv"]


def test_readers_see_whole_files_alone(tmp_path):
    path = tmp_path / "result.csv"
    texts = [letter * 100_000 for letter in "ab"]
    atomic.write_text(path, texts[0])
    finished = threading.Event()

    def write():
        for number in range(60):
            atomic.write_text(path, texts[number % 2])
        finished.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not finished.is_set():
        seen.add(path.read_text())
    writer.join()
    assert seen <= set(texts)


def test_lines_end_as_they_were_given(tmp_path):
    atomic.write_text(tmp_path / "new" / "a.csv", "größe,1\r\nb,2\n")
    assert (tmp_path / "new" / "a.csv").read_bytes() == "größe,1\r\nb,2\n".encode()


def test_a_directory_takes_the_place_of_another_only_where_it_may(tmp_path):
    path = tmp_path / "fan"
    for number in range(2):
        with atomic.new_directory(path, replace=True) as temporary:
            (temporary / f"file {number}").touch()
    assert [path.name for path in path.iterdir()] == ["file 1"]
    with (
        pytest.raises(WriteError, match="Can't write .*fan: .*Nothing that was there before has changed"),
        atomic.new_directory(path) as temporary,
    ):
        (temporary / "file 2").touch()
    assert [path.name for path in path.iterdir()] == ["file 1"]
    assert [path.name for path in tmp_path.iterdir()] == ["fan"]


def test_a_temporary_directory_goes_unless_it_was_given_a_name(tmp_path):
    with atomic.temporary_directory(tmp_path / "fan") as temporary:
        (temporary / "draft").touch()
    assert not list(tmp_path.iterdir())
    with atomic.temporary_directory(tmp_path / "fan") as temporary:
        temporary.rename(tmp_path / "fan")
    assert [path.name for path in tmp_path.iterdir()] == ["fan"]


def test_where_nothing_can_be_written_one_sentence_says_so_before_and_while(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file where the folder should be")
    path = taken / "fan"
    sentence = "^Can't write .*taken/fan: Not a directory. Nothing that was there before has changed.$"
    with pytest.raises(WriteError, match=sentence):
        atomic.check_writable(path)
    with pytest.raises(WriteError, match="Can't write .*taken/fan"):
        atomic.write_text(path, "text")
    with pytest.raises(WriteError, match=sentence), atomic.new_directory(path):
        pass
    with pytest.raises(WriteError, match="No space left on device"), atomic.replacing(tmp_path / "full") as temporary:
        temporary.symlink_to("/dev/full")
        temporary.write_text("text")
    atomic.check_writable(tmp_path / "new" / "fan")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new", "taken"]
