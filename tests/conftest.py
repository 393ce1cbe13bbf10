"""Fixtures for all tests: real recordings, small trees of real WAV files, and the real command line."""

import fcntl
import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import CommandLines

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# For the workers of xdist and for every other process that tests start: the threads of linear algebra wait by spinning,
# which takes the processors from the other worker and costs more than all products of small matrices.
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

ROOT = Path(__file__).parents[1]
SAMPLE_RATE = 16000


# The files that take longest go first, so that no worker is left alone with one at the end. The last two make
# operations deterministic for their whole process: from then on Keras refuses to compile by XLA, which those before
# them do.
FIRST = (
    "test_export.py",
    "test_detectors.py",
    "test_keras_scripts.py",
    "test_edge_predict.py",
    "test_training.py",
    "test_workflow.py",
    "test_fused_steps.py",
    "test_dropout.py",
    "test_console.py",
    "test_report.py",
    "test_machine_ids.py",
    "test_tools.py",
    "test_documents.py",
    "test_estimator.py",
    "test_tensorboard.py",
    "test_resume.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files; xdist keeps the tests of a file, which share what they have trained, on one worker."""
    rank = {name: number for number, name in enumerate(FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(FIRST)))


def pytest_collection_finish() -> None:
    """Spares the collector what stays until the end; TensorFlow's traces make it run often."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real recordings, which are not part of the project."""
    folder = Path(os.environ.get("GANAD_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real recordings in {folder}; set GANAD_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def ganad(tmp_path_factory) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Runs the command line, in one process for all tests of a worker."""
    with command_lines(tmp_path_factory.mktemp("ganad")) as run:
        yield run


@contextmanager
def command_lines(place: Path, *launcher: str) -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """A way to run command lines one after another in one process; see commands.py.

    Args:
      place: A folder for their output.
      launcher: Words before those of the process, such as `setpriv` and its options; without any, it is forked with
        TensorFlow imported.
    """

    def start() -> CommandLines | subprocess.Popen[str]:
        if not launcher:
            return CommandLines()
        command = [*launcher, sys.executable, Path(__file__).with_name("commands.py")]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    commands = start()

    def run(*arguments: object, cwd: Path, check: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        nonlocal commands
        files = [place / name for name in ("stdout", "stderr")]
        for path in files:
            path.write_bytes(b"")
        words = [str(argument) for argument in arguments]
        job = {"words": words, "cwd": str(cwd), "environment": environment}
        job |= {"stdout": str(files[0]), "stderr": str(files[1])}
        print(json.dumps(job), file=commands.stdin, flush=True)
        answer = commands.stdout.readline()
        if not answer:
            commands = start()
            pytest.fail(f"`ganad {' '.join(words)}` ended the process of all commands; see SECONDS in commands.py")
        code = int(answer)
        stdout, stderr = (path.read_text() for path in files)
        assert code == check, f"exit {code}\n{stdout}\n{stderr}"
        assert "Traceback" not in stderr
        return subprocess.CompletedProcess(words, code, stdout, stderr)

    yield run
    commands.stdin.close()
    commands.wait(60)
    commands.stdout.close()


SYSTEM = """
dev_directory: ./dev
model_directory: ./model/{name}
result_directory: ./result/{name}
feature: {{n_mels: 16, frames: 3, standardize: true}}
model: {{name: {model}}}
fit: {{epochs: 2, batch_size: 64, verbose: 0}}
scorer: {{name: density, pooling: lulls, whiten: true, density: knn, neighbors: 2}}
"""
ENSEMBLE = """
dev_directory: ./dev
result_directory: ./result/both
ensemble: {members: [./result/gan, ./result/spectrum]}
threshold: {method: quantile}
"""


def private_settings(project: Path) -> list[str]:
    """Folders of other people in a configuration that is exported; they change no score."""
    return [
        f"dev_directory={project}/dev",
        f"result_directory={project.parent}/anna/results",
        "eval_directory=../ben/data",
        "tensorboard.directory=~/logs",
    ]


@pytest.fixture(scope="session")
def exported_project(tmp_path_factory, ganad) -> Path:
    """Two trained systems and an ensemble of them, each exported; for tests that leave them as they are.

    The worker of xdist that is first makes them, and the others get a copy.
    """
    place = tmp_path_factory.mktemp("exported")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make_exported(place / "project", ganad)
    original = tmp_path_factory.getbasetemp().parent / "exported"  # the folder of all workers of this run
    original.mkdir(exist_ok=True)
    with (original / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (original / "done").exists():
            make_exported(original / "project", ganad)
            (original / "done").touch()
    return Path(shutil.copytree(original, place, dirs_exist_ok=True)) / "project"


def make_exported(place: Path, ganad: Callable[..., object]) -> Path:
    """Trains and exports the systems of `exported_project`."""
    write_machine(place / "dev")
    (place / "gan.yaml").write_text(SYSTEM.format(name="gan", model="GANomaly, hidden: [24, 16]"))
    (place / "spectrum.yaml").write_text(SYSTEM.format(name="spectrum", model="SpectrumDensity"))
    (place / "both.yaml").write_text(ENSEMBLE)
    home = str(place.parent)
    for name in ("gan", "spectrum", "both"):
        ganad("run", f"{name}.yaml", "-q", cwd=place, HOME=home)
    shutil.copytree(place / "result" / "gan", place.parent / "anna" / "results")
    ganad("export", "gan.yaml", "-q", "--set", *private_settings(place), cwd=place, HOME=home)
    ganad("export", "both.yaml", "-q", cwd=place, HOME=home)
    return place


def gate_takes(values: Iterable[str], *names: str) -> list:
    """Parameters of a test: the gate runs those of these names, `-m slow` the others as well."""
    return [value if value in names else pytest.param(value, marks=pytest.mark.slow) for value in values]


def tone(seconds: float = 1.0, hz: float = 440.0, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """A tone in noise, `[samples]` float32."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (0.1 * np.sin(2 * np.pi * hz * time) + noise * np.random.default_rng(seed).normal(size=time.size)).astype(
        np.float32
    )


def write_wav(
    path: Path, samples: np.ndarray, rate: int = SAMPLE_RATE, subtype: str = "PCM_16", **kwargs: object
) -> Path:
    """Writes an audio file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype, **kwargs)
    return path


def write_machine(
    root: Path, machine: str = "fan", ids: tuple[str, ...] = ("00", "02"), n_train: int = 6, n_test: int = 3
) -> Path:
    """A small machine type in the challenge's layout: 440 Hz is normal, 2 kHz an anomaly."""
    for number, machine_id in enumerate(ids):
        for index in range(n_train):
            name = f"normal_id_{machine_id}_{index:08d}.wav"
            write_wav(root / machine / "train" / name, tone(seed=100 * number + index))
        for index in range(n_test):
            write_wav(
                root / machine / "test" / f"normal_id_{machine_id}_{index:08d}.wav",
                tone(seed=1000 + 100 * number + index),
            )
            write_wav(
                root / machine / "test" / f"anomaly_id_{machine_id}_{index:08d}.wav",
                tone(hz=2000, seed=2000 + 100 * number + index),
            )
    return root
