"""One process at a time: real processes, killed ones among them, and file systems that can't lock."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ganad_tf.errors import DataError
from ganad_tf.files import lock

HOLD = """
import logging, sys, time
from pathlib import Path
from ganad_tf.files import lock
logging.basicConfig(format="%(message)s")
with lock.exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

# Two of these never write at the same moment: a file that must be new is made and removed while the lock is held.
COUNT = """
import sys
from pathlib import Path
from ganad_tf.files import lock
from ganad_tf.errors import DataError
path, begin, rounds = Path(sys.argv[1]), Path(sys.argv[2]), 0
while not begin.exists():
    pass
while rounds < 150:
    try:
        with lock.exclusive(path):
            path.touch(exist_ok=False)
            path.unlink()
        rounds += 1
    except DataError:
        pass
"""

NO_FLOCK = """
#include <errno.h>
int flock(int descriptor, int operation) { (void)descriptor; (void)operation; errno = ENOLCK; return -1; }
"""


def start(path, **environment):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    assert process.stdout.readline() == "held\n", process.stderr.read()
    return process


def finish(process):
    """What the process has written to stderr."""
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 0, said
    return said


def test_a_second_process_is_told_which_one_holds_the_lock(tmp_path):
    process = start(tmp_path / "new" / "fan")
    named = rf"fan is being written by process {process.pid} on {platform.node()}; wait for it"
    with pytest.raises(DataError, match=named), lock.exclusive(tmp_path / "new" / "fan"):
        pass
    with lock.exclusive(tmp_path / "new" / "pump"):  # another folder is free
        pass
    assert finish(process) == ""
    with lock.exclusive(tmp_path / "new" / "fan"):
        assert (tmp_path / "new" / ".fan.holder").read_text() == f"process {os.getpid()} on {platform.node()}"
    assert not list((tmp_path / "new").iterdir())


def test_the_same_process_does_not_hold_it_twice(tmp_path):
    with (
        lock.exclusive(tmp_path / "fan"),
        pytest.raises(DataError, match=rf"process {os.getpid()} on"),
        lock.exclusive(tmp_path / "fan"),
    ):
        pass


def test_a_killed_process_locks_nobody_out(tmp_path):
    process = start(tmp_path / "fan")
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    assert {path.name for path in tmp_path.iterdir()} == {".fan.lock", ".fan.holder"}
    with lock.exclusive(tmp_path / "fan"):
        assert (tmp_path / ".fan.holder").read_text() == f"process {os.getpid()} on {platform.node()}"
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_lock_free(tmp_path):
    with pytest.raises(ZeroDivisionError), lock.exclusive(tmp_path / "fan"):
        raise ZeroDivisionError
    with lock.exclusive(tmp_path / "fan"):
        pass


def test_a_lock_whose_holder_has_no_name_yet_is_another_process_s(tmp_path):
    process = start(tmp_path / "fan")
    (tmp_path / ".fan.holder").unlink()
    with (
        pytest.raises(DataError, match="fan is being written by another process; wait"),
        lock.exclusive(tmp_path / "fan"),
    ):
        pass
    finish(process)


def test_processes_that_take_turns_never_hold_it_together(tmp_path):
    begin = tmp_path / "begin"
    command = [sys.executable, "-c", COUNT, tmp_path / "fan", begin]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    time.sleep(0.5)
    begin.touch()
    said = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said


def test_a_folder_that_can_t_be_written_needs_no_lock():
    with lock.exclusive(Path("/proc/ganad/fan")):
        pass


def test_a_file_system_without_locks_is_warned_of(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make a file system without locks")
    (tmp_path / "flock.c").write_text(NO_FLOCK)
    library = tmp_path / "flock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "flock.c"], check=True)
    said = finish(start(tmp_path / "fan", LD_PRELOAD=str(library)))
    assert said == f"{tmp_path / 'fan'} can't be locked (No locks available); let no other process write there.\n"
