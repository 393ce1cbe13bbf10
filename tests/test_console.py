"""Output of the real command line on a terminal and in a log file, and the state that Ctrl-C leaves."""

import logging
import os
import pty
import re
import shutil
import signal
import termios
import threading
import time
from contextlib import suppress

import pytest
from conftest import tone, write_wav
from processes import Command

from ganad_tf.cli import main, terminal
from ganad_tf.config.sections import Fit
from ganad_tf.errors import StageInterrupt

EPOCHS = 40
N_NEW = 800
YAML = f"""
dev_directory: ./my_fan
dataset: {{name: folder}}
model: {{hidden: [16], latent: 4}}
fit: {{epochs: {EPOCHS}, batch_size: 256, min_steps: 0, validation_split: 0.1}}
threshold: {{quantile: 0.9}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("console")
    for index in range(40):
        write_wav(folder / "my_fan" / "normal" / f"{index}.wav", tone(seed=index))
    (folder / "fan.yaml").write_text(YAML)
    return folder


@pytest.fixture(scope="module")
def interrupted(folder):
    """The standard error of a training with a pipe for it, interrupted when some epochs are kept, and the exit code."""
    return interrupt(folder, "model/dev/my_fan.unfinished.npz", "run", "fan.yaml", "--fresh")


def interrupt(folder, kept, *arguments):
    """The standard error of a command that was interrupted when there was something that fits `kept`, and its code."""
    process = Command(*arguments, cwd=folder)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(process.stderr))
    reader.start()
    while not list(folder.glob(kept)) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    code = process.wait(60)
    reader.join()
    process.stderr.close()
    return "".join(lines), code


@pytest.fixture(scope="module")
def on_terminal(folder, interrupted):
    """The terminal's output of the same command, which goes on, and its table."""
    assert interrupted
    shutil.rmtree(folder / "cache")  # so that there is something to prepare as well
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = Command("run", "fan.yaml", cwd=folder, stderr=theirs, has_stdout=True)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while more := os.read(mine, 65536):
            shown += more
    os.close(mine)
    table = process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0, shown
    return shown.decode(), table


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(interrupted):
    err, code = interrupted
    assert code == 130
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    found = re.fullmatch(
        rf"ganad: interrupted while training my_fan; (\d+) of {EPOCHS} epochs are kept, and all that was finished "
        "before. To go on, with what else there is kept as it is: ganad run fan.yaml",
        last,
    )
    assert found, last
    assert 0 < int(found[1]) < EPOCHS


def test_without_a_terminal_there_are_plain_lines_alone(interrupted):
    err, _ = interrupted
    assert "\r" not in err
    assert "\x1b" not in err
    assert [line for line in err.splitlines() if line.startswith("my_fan train: 32 clips prepared")]


@pytest.mark.slow
def test_the_same_command_goes_on_from_there(interrupted, on_terminal, folder):
    n_kept = re.search(r"(\d+) of", interrupted[0].splitlines()[-1])[1]
    shown, _ = on_terminal
    assert f"going on after epoch {n_kept} of {EPOCHS}" in shown
    assert (folder / "model" / "dev" / "my_fan" / "detector.keras").exists()


@pytest.mark.slow
def test_ctrl_c_while_preparing_and_while_scoring(folder, on_terminal):
    assert on_terminal  # the detector is there
    new = folder / "new" / "my_fan"
    new.mkdir(parents=True)
    for number in range(N_NEW):
        os.link(folder / "my_fan" / "normal" / "0.wav", new / f"{number}.wav")
    command = ("score", "fan.yaml", "--eval", "--set", "eval_directory=./new")
    again = f" To go on: ganad {' '.join(command)}"
    preparing, code = interrupt(folder, "cache/eval/my_fan/test/*-00002.tfrecord", *command)
    assert code == 130
    found = re.fullmatch(
        rf"ganad: interrupted while preparing my_fan test; (\d+) of {N_NEW} clips are in the cache, "
        rf"and all that was finished before\.{re.escape(again)}",
        preparing.splitlines()[-1],
    )
    assert 0 < int(found[1]) < N_NEW
    scoring, code = interrupt(folder, "result/.unfinished_eval_my_fan.json", *command)
    assert code == 130
    assert f"my_fan test: {N_NEW - int(found[1])} clips prepared, {found[1]} kept, 0 dropped" in scoring
    assert scoring.splitlines()[-1] == (
        "ganad: interrupted while scoring my_fan; its scores are kept, but perhaps for the last ones, "
        f"and all that was finished before.{again}"
    )
    assert not (folder / "result" / "anomaly_score_my_fan_id_new.csv").exists()


class InterruptedWhenDeleted:
    """Interrupts the process while Python drops exceptions."""

    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)


def test_ctrl_c_that_python_drops_ends_the_command_all_the_same(monkeypatch, capfd):
    seen = []

    def work(_):
        with terminal.bar("clips") as progress:
            for number in progress(range(10), 10):
                seen.append(number)
                if number == 3:
                    InterruptedWhenDeleted()

    monkeypatch.setitem(main.VERBS, "list", work)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main.main(["list", "fan.yaml"]) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [0, 1, 2, 3]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "unit"), [("my_fan train", "clip"), ("my_fan train", "epoch"), ("my_fan score", "clip")]
)
def test_bars_have_rate_and_remaining_time(on_terminal, label, unit):
    shown, _ = on_terminal
    bars = [piece for piece in shown.split("\r") if piece.startswith(label)]
    assert [bar for bar in bars if re.search(rf"\d+/\d+ \[\d\d:\d\d<\d\d:\d\d, +[\d.]+({unit}/s|s/{unit})", bar)], bars


@pytest.mark.slow
def test_without_anomalies_there_is_a_table_all_the_same(on_terminal):
    assert "undefined: my_fan id 00" in on_terminal[1]


@pytest.mark.slow
def test_lines_are_not_written_into_a_bar(on_terminal):
    shown, _ = on_terminal
    for line in ("my_fan: trained on", "my_fan: scored"):
        assert re.search(rf"(^|[\r\n]){line}", shown), line


@pytest.fixture
def talkative(caplog):
    caplog.set_level(logging.INFO, logger="ganad_tf")
    return caplog


def test_a_log_file_gets_a_line_now_and_then(talkative, monkeypatch):
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    with terminal.bar("fan score") as bar:
        assert list(bar(range(3), 3)) == [0, 1, 2]
    lines = [record.getMessage() for record in talkative.records]
    assert len(lines) == 3
    assert re.fullmatch(r"fan score: 2 of 3 clips, .*clip/s, 00:00 left", lines[1]), lines


def test_a_second_pass_is_counted_from_its_beginning(talkative, monkeypatch):
    """As of directories by URL, of which an ensemble has several of one kind."""
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    with terminal.bar("cache_directory fetch", "unit") as bar:
        for total in (3, 2):
            list(bar(range(total), total))
    counts = [record.getMessage().partition(" units")[0].rpartition(": ")[2] for record in talkative.records]
    assert counts == ["1 of 3", "2 of 3", "3 of 3", "1 of 2", "2 of 2"]


def test_what_is_short_says_nothing_in_between(talkative):
    with terminal.bar("fan score") as bar:
        list(bar(range(3), 3))
    assert not talkative.records


def test_a_training_that_goes_on_counts_from_there(talkative, monkeypatch):
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    with terminal.epochs(Fit(epochs=10), "fan train") as (callback,):
        callback.on_epoch_end(7, {"loss": 1.0})
    assert talkative.records[0].getMessage().startswith("fan train: 8 of 10 epochs, ")


def test_the_epochs_are_those_of_the_training(talkative, monkeypatch):
    """The bar of an ensemble's member is made by the ensemble's settings."""
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    with terminal.epochs(Fit(epochs=100), "fan gan trial 1 of 4") as (callback,):
        callback.set_params({"epochs": 30})
        callback.on_train_begin()
        callback.on_epoch_end(0, {"loss": 1.0})
    assert talkative.records[0].getMessage().startswith("fan gan trial 1 of 4: 1 of 30 epochs, ")


@pytest.mark.parametrize("fit", [Fit(verbose=0), None])
def test_quiet_and_verbose_0_silence_it(caplog, monkeypatch, fit):
    monkeypatch.setattr(terminal, "SECONDS_PER_LINE", 0.0)
    caplog.set_level(logging.INFO if fit else logging.WARNING, logger="ganad_tf")  # -q
    with terminal.epochs(fit or Fit(), "fan") as (callback,):
        callback.on_epoch_end(0, {"loss": 1.0})
    assert not caplog.records


def test_what_fresh_leaves():
    error = StageInterrupt("scoring fan", "its scores are kept")
    message = terminal.interruption_message(error, ["score", "fan.yaml", "--fresh", "--set", "seed=1"])
    assert message.startswith("interrupted while scoring fan; its scores are kept, and all")
    assert message.endswith(": ganad score fan.yaml --set seed=1")
