"""Commands and scripts where Keras is set for something else, where output has no UTF-8, or nobody reads it."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, tone, write_wav

from ganad_tf.cli import arguments, main

MACHINE = "größe"
YAML = """
dev_directory: ./data
dataset: {name: folder}
model: {hidden: [16], latent: 4}
fit: {epochs: 3, batch_size: 32, min_steps: 0}
threshold: {quantile: 0.9}
"""

# Set for other programs, or to try something out; each of them would end a command or change its scores.
FOREIGN_KERAS = {"KERAS_BACKEND": "jax", "KERAS_MAX_EPOCHS": "1", "KERAS_NNX_ENABLED": "1", "TF_USE_LEGACY_KERAS": "1"}
FOREIGN_FILE = {"backend": "jax", "floatx": "float16", "epsilon": 0.1, "image_data_format": "channels_first"}

SCRIPT = """
import numpy as np, tensorflow as tf
from ganad_tf.features import LogMel
from ganad_tf.models import GANomaly
windows = np.random.default_rng(0).normal(size=[64, 64]).astype("float32")
detector = GANomaly(input_dim=64, hidden=[8], latent=4)
detector.compile(optimizer="adam")
detector.fit(tf.data.Dataset.from_tensor_slices(windows).batch(32), epochs=1, verbose=0)
print(detector.anomaly_score(windows).dtype.name, LogMel()(tf.zeros([1, 16000])).dtype.name)
"""
IMPORT = """
import sys
from ganad_tf.errors import GanadError
try:
    import ganad_tf.{0}
except ImportError as error:
    print(isinstance(error, GanadError), error)
"""


COMMANDS = """
import json, sys
from ganad_tf.cli.main import main
for words in json.loads(sys.argv[1]):
    code = main(words)
    print("=== exit", code, flush=True)
"""


def python(*arguments, cwd, **environment):
    """A Python process, as a user starts it, whatever commands within this process have settled for Keras."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=inherited | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=300,
        check=False,
    )


def command(*words, cwd, check=0, **environment):
    """Standard output and standard error of a command, in bytes."""
    done = python("-m", "ganad_tf", *words, cwd=cwd, **environment)
    assert done.returncode == check, done.stderr.decode(errors="replace")
    assert b"Traceback" not in done.stderr
    return done.stdout, done.stderr


def keras_home(folder, settings):
    """A folder with these settings as `keras.json`."""
    (folder / "keras_home").mkdir()
    (folder / "keras_home" / "keras.json").write_text(json.dumps(settings))
    return str(folder / "keras_home")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A project with a machine type that ASCII can't name."""
    folder = tmp_path_factory.mktemp("environment")
    for index in range(12):
        write_wav(folder / "data" / MACHINE / "normal" / f"{index}.wav", tone(seed=index))
    for index in range(2):
        write_wav(folder / "data" / MACHINE / "anomaly" / f"{index}.wav", tone(hz=2000, seed=index))
    (folder / "machine.yaml").write_text(YAML)
    return folder


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """An environment that is set for other programs, of a terminal that knows ASCII alone."""
    home = keras_home(tmp_path_factory.mktemp("foreign"), FOREIGN_FILE)
    return FOREIGN_KERAS | {"KERAS_HOME": home, "PYTHONIOENCODING": "ascii", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def finished(recordings, foreign, ganad):
    """Output of commands that one process runs in the foreign environment; the usual one's files are below `plain`."""
    commands = [["run", "machine.yaml"]]
    commands += [["predict", str(ROOT / "exported_models/demo"), f"data/{MACHINE}/normal/0.wav"]]
    done = python("-c", COMMANDS, json.dumps(commands), cwd=recordings, **foreign)
    table, predicted, rest = done.stdout.split(b"=== exit 0\n")
    assert (rest, b"Traceback" in done.stderr) == (b"", False), done.stderr.decode(errors="replace")
    plain = [f"{name}_directory=plain/{name}" for name in ("cache", "model", "result")]
    ganad("run", "machine.yaml", "--set", *plain, cwd=recordings)
    return {"run": table, "predict": predicted}


@pytest.mark.slow
def test_however_keras_is_set_a_command_gives_the_same_scores(finished, recordings):
    assert rb"gr\xf6\xdfe" in finished["run"]
    files = {path.name: path.read_text() for path in (recordings / "result").glob("*.csv")}
    assert files == {path.name: path.read_text() for path in (recordings / "plain" / "result").glob("*.csv")}
    records = [
        json.loads((recordings / folder / "dev" / MACHINE / "training.json").read_text())
        for folder in ("model", "plain/model")
    ]
    assert records[0]["history"] == records[1]["history"]
    assert len(records[0]["history"]["loss"]) == 3


@pytest.mark.slow
def test_predictions_name_their_recordings_as_the_terminal_can(finished):
    assert rb"gr\xf6\xdfe" in finished["predict"]
    assert finished["predict"].isascii()


@pytest.mark.slow
def test_a_report_is_announced_as_the_terminal_can(finished, recordings, foreign):
    assert finished
    out, _ = command("report", "result", cwd=recordings, **foreign)
    assert rb"gr\xf6\xdfe" not in out
    assert out.isascii()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("environment", "written"),
    [
        ({"PYTHONIOENCODING": "ascii"}, rb"gr\xf6\xdfe"),
        ({"PYTHONIOENCODING": "cp1252"}, MACHINE.encode("cp1252")),
        ({"LC_ALL": "C"}, MACHINE.encode()),  # for which Python takes UTF-8
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, rb"gr\udcc3\udcb6\udcc3\udc9fe"),
    ],
    ids=["ascii", "cp1252", "C", "C without UTF-8"],
)
def test_a_name_is_printed_as_the_terminal_can(finished, recordings, environment, written):
    assert finished
    commands = [["list", "machine.yaml"], ["evaluate", "machine.yaml"]]
    for words in commands if "PYTHONUTF8" not in environment else commands[:1]:
        assert written in command(*words, cwd=recordings, **environment)[0]
    assert b"comparison" in command("compare", "result", cwd=recordings, **environment)[1]
    _, said = command("list", "machine.yaml", "--machine", MACHINE + "x", cwd=recordings, check=2, **environment)
    assert b"No machine `" + written + b"x` in data; did you mean" in said


@pytest.mark.parametrize(
    ("closing", "code", "said"),
    [
        ("| true", 141, ""),
        (">&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        (">/dev/full", 2, "ganad: the output: No space left on device.\n"),
    ],
)
def test_output_that_nobody_takes(recordings, closing, code, said):
    script = "import time; time.sleep(0.5); from ganad_tf.cli.main import main; raise SystemExit(main())"
    words = f'env -u PYTHONUNBUFFERED {sys.executable} -c "{script}"'  # buffered, as users have it
    script = f"{words} list machine.yaml {closing}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], cwd=recordings, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (f"{code}\n", said)


def test_no_folder_named_after_the_home_is_made(recordings, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    parser = arguments.parser(main.VERBS)
    assert parser.parse_args(["report", "result", "--out=~/x"]).out == Path("/home/me/x")
    assert parser.parse_args(["demo", "--out=${HOME}/x"]).out == Path("/home/me/x")
    assert parser.parse_args(["compare", "a", "--out=a$"]).out == Path("a$")
    _, said = command("list", "machine.yaml", "--set", "dev_directory=~/none", cwd=recordings, check=2, HOME="/home/me")
    assert said == b"ganad: Expected a folder of recordings in /home/me/none, but there is none; set `dev_directory`.\n"
    _, said = command("report", "result", "--out=$NOT_SET/x", cwd=recordings, check=2)
    assert b"--out: expected a path, but the environment variable `NOT_SET` is not set" in said


@pytest.mark.parametrize("module", ["models", "features", "tensorboard"])
def test_a_script_is_told_that_keras_has_another_backend(tmp_path, module):
    for backend in ("jax", "torch", "of_my_own") if module == "models" else ("jax",):
        done = python("-c", IMPORT.format(module), cwd=tmp_path, KERAS_BACKEND=backend)
        assert done.returncode == 0, done.stderr.decode()
        assert done.stdout.startswith(b"True Keras can't be imported as it is configured: ")
        assert b"Set the environment variable KERAS_BACKEND=tensorflow" in done.stdout


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "jax"}, "Keras can't be imported as it is configured: No module named 'jax'. Set the environment"),
        ({"floatx": "float16"}, "Expected Keras with numbers in float32. Received: floatx='float16'; call keras"),
        pytest.param(
            {"floatx": "float64"},
            "Expected Keras with numbers in float32. Received: floatx='float64'; call keras",
            marks=pytest.mark.slow,
        ),
        ({"floatx": "single"}, "Keras can't be imported as it is configured: "),
    ],
)
def test_a_script_is_told_what_to_change_in_keras_json(tmp_path, settings, message):
    done = python("-c", IMPORT.format("models"), cwd=tmp_path, KERAS_HOME=keras_home(tmp_path, settings))
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().startswith(f"True {message}")


@pytest.mark.slow
def test_other_settings_of_keras_are_a_script_s_own(tmp_path):
    home = keras_home(tmp_path, {"image_data_format": "channels_first", "epsilon": 1e-6})
    done = python("-c", SCRIPT, cwd=tmp_path, KERAS_HOME=home, TF_USE_LEGACY_KERAS="1")
    assert done.stdout.decode() == "float32 float32\n", done.stderr.decode()


# What Python has on some systems alone.
UNIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
UNIX_NAMES = {
    "os": {"chown", "fork", "getuid", "geteuid", "killpg", "mkfifo", "pread", "pwrite", "sched_getaffinity", "setsid"},
    "signal": {"alarm", "pthread_sigmask", "setitimer", "SIGALRM", "SIGHUP", "SIGKILL", "SIGUSR1"},
    "socket": {"AF_UNIX"},
}


def test_nothing_is_used_that_other_systems_lack():
    paths = sorted((ROOT / "ganad_tf").rglob("*.py"))
    assert len(paths) > 100
    found = {path.name: lacking for path in paths if (lacking := unix_alone(path.read_text()))}
    assert found == {"connections.py": {"resource"}}  # of `ganad serve`, which says that it needs Linux or macOS
    assert unix_alone("import fcntl, os\nfrom pwd import getpwall\nos.pread(0, 1, 2)") == {"fcntl", "pwd", "os.pread"}


def unix_alone(source):
    """The modules and names of `source` that only some systems have."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    dotted = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    names = {f"{node.value.id}.{node.attr}" for node in dotted if node.attr in UNIX_NAMES.get(node.value.id, ())}
    return modules & UNIX_MODULES | names
