import os
import subprocess
import sys
from pathlib import Path

import pytest

from ganad_tf import clips
from ganad_tf.clips import Clip
from ganad_tf.errors import DataError
from ganad_tf.files import atomic
from ganad_tf.results import score_files
from ganad_tf.results.score_files import ClipScore


def clip(name, machine_id="00", label=0):
    return Clip(f"fan/test/{name}", name, "fan", machine_id, "test", label, 1, 1)


def test_score_files_are_the_challenge_s_byte_for_byte(tmp_path):
    path = tmp_path / "anomaly_score_fan_id_00.csv"
    score_files.write_scores(
        path, [ClipScore("normal_id_00_00000000.wav", 9.491290419806504), ClipScore("anomaly_id_00_00000000.wav", 0.1)]
    )
    assert path.read_bytes() == b"normal_id_00_00000000.wav,9.491290419806504\nanomaly_id_00_00000000.wav,0.1\n"
    assert [score.score for score in score_files.read_scores(path)] == [9.491290419806504, 0.1]


@pytest.mark.parametrize("score", [float("nan"), float("inf")])
def test_a_score_that_is_no_number_is_never_written(tmp_path, score):
    path = tmp_path / "scores.csv"
    path.write_text("before.wav,1.0\n")
    with pytest.raises(DataError, match=r"score of b\.wav is"):
        score_files.write_scores(path, [ClipScore("a.wav", 1.0), ClipScore("b.wav", score)])
    assert path.read_text() == "before.wav,1.0\n"


@pytest.mark.parametrize("line", ["a.wav", "a.wav,high", "a.wav,1,2", "a.wav,nan"])
def test_a_malformed_score_file_is_named_with_its_line(tmp_path, line):
    (tmp_path / "scores.csv").write_text(f"ok.wav,1\n{line}\n")
    with pytest.raises(DataError, match=r"line 2 of .*scores\.csv"):
        score_files.read_scores(tmp_path / "scores.csv")


def test_the_challenge_s_order():
    group = [clip("b", "02"), clip("anomaly", "00", 1), clip("normal_2", "00"), clip("normal_1", "00")]
    ordered = {key: [c.name for c in value] for key, value in clips.by_id(group).items()}
    assert ordered == {"00": ["normal_1", "normal_2", "anomaly"], "02": ["b"]}


def test_a_process_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "result.csv"
    path.write_text("old")
    script = (
        "import os, signal, sys, pathlib\n"
        "from ganad_tf.files import atomic\n"
        "with atomic.replacing(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == -9
    assert path.read_text() == "old"


def test_a_failing_writer_leaves_nothing_behind(tmp_path):
    def fail():
        raise RuntimeError("in mid-write")

    with pytest.raises(RuntimeError), atomic.new_directory(tmp_path / "model") as temporary:
        (temporary / "weights").write_text("half")
        fail()
    with pytest.raises(RuntimeError), atomic.replacing(tmp_path / "file") as temporary:
        temporary.write_text("half")
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a place that nobody can write to"
)
def test_an_unwritable_place_is_one_sentence():
    with pytest.raises(DataError, match=r"Can't write /proc/self/nothing"):
        atomic.write_text(Path("/proc/self/nothing"), "x")
