"""Every command, every script and every settings file that README.md and docs/ show, run as far as a gate can.

`ganad` lines and Python blocks run for real, page after page, in one folder with a few small recordings, by `-m slow`.
What is made smaller for that is in `SMALL` and `PRELUDE` and nowhere else. What needs a cluster, a night or data that
aren't here is checked for what can be: files, options and extras exist. A block that no rule covers is an error, so
that a new kind of command needs a rule first.
"""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, tone, write_machine, write_wav
from test_config import OFFICIAL
from test_download import write_by_hand
from test_serving import Server
from test_tools import help_texts

from ganad_tf import config as configuration

DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in ROOT.glob("docs/*.md"))]
ADDRESS, GRPC_ADDRESS = "127.0.0.1:8501", "127.0.0.1:8500"

TINY = "fit.epochs=1 fit.min_steps=0 model.hidden=[16]"
FEW = (
    f"{TINY} feature.n_mels=16 dataset.synthetic.n_ids=1 dataset.synthetic.n_train=8 dataset.synthetic.n_normal=3 "
    "dataset.synthetic.n_anomaly=3 dataset.synthetic.seconds=1"
)
KINDS = list(enumerate(("normal", "anomaly", "normal")))  # of the evaluation data
# Added to the lines that begin so; the first that fits.
SMALL = {
    "ganad download": "--from by_hand",
    "ganad demo": f"--machine fan --set {FEW}",
    "ganad run yaml/demo.yaml": f"--machine fan --set {FEW}",
    "ganad export yaml/demo.yaml": f"--set {FEW}",
    "ganad run yaml/spectrum_density.yaml": "--set fit.epochs=1",
    "ganad run yaml/ganomaly_density.yaml": f"--set {TINY} threshold.folds=2",
    "ganad run my_encoder.yaml": "",
    "ganad export my_encoder.yaml": "",
    "ganad run my_fan-": "",
    "ganad run my_fan": (
        "--set feature.n_mels=16 fit.epochs=1 threshold.folds=2 "
        "'ensemble.members.ganomaly.model={name: SpectrumDensity}' 'selection.scorers=[{pooling: mean}]'"
    ),
    "ganad list my_fan": "",
    "ganad run yaml/recommended.yaml": "--set fit.epochs=1 ensemble.members.ganomaly.model.hidden=[16]",
    "ganad select yaml/recommended.yaml": (
        "--set fit.epochs=1 ensemble.members.ganomaly.model.hidden=[16] 'selection.scorers=[{pooling: mean}]'"
    ),
    "ganad evaluate --truth": "",
    "ganad search yaml/search.yaml": (
        "--set search.objective=val_loss 'search.space={fit.batch_size: [64]}' fit.epochs=1"
    ),
    "ganad search": (
        "--set 'model={name: SpectrumDensity}' fit.epochs=1 'search.space={scorer.pooling: [mean, lulls]}' "
        "search.trials=2 'search.seeds=[0]' search.strategy=random"
    ),
    "ganad train result/search": "--set fit.epochs=1",
    **{f"ganad {verb} fan.yaml": f"--set {TINY} threshold.folds=2" for verb in ("run", "score")},
    **{
        f"ganad {verb} ": f"--set {TINY}"
        for verb in ("run", "list", "prepare", "train", "score", "evaluate", "submission")
    },
    "ganad report": "--clips 1",
    "python my_ganad.py run": "--set fit.epochs=1 fit.min_steps=0 threshold.folds=2",
}
WINDOWS = """
import numpy as np
import tensorflow as tf
windows, held_out = (
    tf.data.Dataset.from_tensor_slices(np.random.default_rng(seed).normal(size=[64, 640]).astype("float32")).batch(32)
    for seed in range(2)
)
new_windows = some_windows = np.random.default_rng(2).normal(size=[32, 640]).astype("float32")
waveform = np.random.default_rng(3).normal(size=16000).astype("float32")
log_mel = np.zeros([40, 128], "float32")
"""
PRELUDE = {"README.md": WINDOWS, "docs/tensorboard.md": WINDOWS}
SHORTER = ("epochs=100", "epochs=2")  # in Python
QUICK = {"model": {"name": "SpectrumDensity"}, "fit": {"epochs": 1}, "threshold": {"folds": 2}}
ONE_SCRIPT = {"docs/python.md": ("Detector(false_alarms", f"Detector({QUICK}, false_alarms")}

RUNNER = """
import json, runpy, sys, time, traceback
from ganad_tf import models
from ganad_tf.cli.main import main
sys.path.insert(0, "")
detectors = dict(models.DETECTORS)
for number, words in enumerate(json.load(open(sys.argv[1]))):
    print(f"=== {number}", flush=True)
    sys.argv = words
    code, begin = 0, time.process_time()
    try:
        code = main(words[1:]) if words[0] == "ganad" else runpy.run_path(words[0], run_name="__main__") and 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    for name in models.DETECTORS.keys() - detectors.keys():
        del models.DETECTORS[name]
    print(f"\\n=== {time.process_time() - begin:.1f} s of computing\\n=== exit {code}", flush=True)
"""


@dataclass(frozen=True)
class Block:
    """A piece of a document that is not prose: its line, `python`, `yaml`, another language, or `` if indented."""

    document: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str:
        """The name in the first line's comment, or one of its own."""
        named = re.match(r"# (\S+\.(?:py|yaml))\n", self.text)
        suffix = "yaml" if self.language == "yaml" else "py"
        return named[1] if named else f"{Path(self.document).stem}_line_{self.line}.{suffix}"

    @property
    def is_named(self) -> bool:
        """Whether the document calls it by a name."""
        return "_line_" not in self.file

    @property
    def commands(self) -> list[str]:
        """One entry per command; a line that ends in a backslash or a pipe goes on, a comment ends it."""
        joined = re.sub(r"(\\|(?<=\|))\n\s*", " ", self.text)
        lines = (re.sub(r"\s#\s.*", "", line) for line in joined.splitlines())
        return [command.strip() for line in lines for command in line.split("&&") if command.strip()]


def blocks_of(document: str) -> list[Block]:
    """The fenced and the indented blocks of a document."""
    lines = (ROOT / document).read_text().splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        begin = number
        fence = re.match(r"```(\w*)", lines[number])
        if fence:
            number = lines.index("```", number + 1) + 1
            found.append(Block(document, begin + 1, fence[1], "\n".join(lines[begin + 1 : number - 1]) + "\n"))
        elif lines[number].startswith("    ") and (not number or not lines[number - 1].strip()):
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                number += 1
            text = "\n".join(line[4:] for line in lines[begin:number]).rstrip() + "\n"
            found.append(Block(document, begin + 1, "", text))
        else:
            number += 1
    return found


def joined(blocks: list[Block]) -> list[Block]:
    """The blocks of a page that is one script: all Python in the place of the first."""
    first, *others = [block for block in blocks if block.language == "python"]
    script = replace(first, text="\n".join(block.text for block in (first, *others)))
    return [script if block is first else block for block in blocks if block not in others]


BLOCKS = {document: blocks_of(document) for document in DOCUMENTS}
BLOCKS |= {document: joined(BLOCKS[document]) for document in ONE_SCRIPT}
COMMANDS = {
    document: [
        (block, command) for block in blocks if block.language in ("", "sh", "console") for command in block.commands
    ]
    for document, blocks in BLOCKS.items()
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, server):
    """A folder with the recordings and files that the documents speak of."""
    folder = tmp_path_factory.mktemp("reader")
    for machine in ("my_fan", "my_machines/fan", "my_machines/pump"):
        for index in range(15):
            write_wav(folder / machine / "normal" / f"{index}.wav", tone(seed=index))
    for index in range(3):
        write_wav(folder / "my_fan" / "anomaly" / f"{index}.wav", tone(hz=2000, seed=index))
        write_wav(folder / "new" / "my_fan" / f"{index}.wav", tone(seed=50 + index))
        write_wav(folder / "eval_data" / "fan" / "test" / f"id_01_{index:08d}.wav", tone(seed=60 + index))
    write_machine(folder / "dev_data", "fan")
    write_machine(folder / "DCASE2020" / "dev_data", "slider")
    write_machine(folder / "eval_data", "fan", ids=("01",), n_test=0)
    for index in range(6):
        name = f"section_00_source_train_normal_000{index}_m-n_X.wav"
        write_wav(folder / "DCASE2023" / "dev_data" / "fan" / "train" / name, tone(seed=index))
    for index, (_, kind) in enumerate(KINDS):
        name = f"section_00_target_test_{kind}_000{index}_m-n_Y.wav"
        write_wav(folder / "DCASE2023" / "dev_data" / "fan" / "test" / name, tone(seed=70 + index))
    labels = [f"id_01_{index:08d}.wav,{kind}_id_01_{index:08d}.wav,{kind != 'normal':d}" for index, kind in KINDS]
    (folder / "eval_data_list.csv").write_text("\n".join(["fan", *labels, ""]))
    write_wav(folder / "clip.wav", tone())
    write_wav(folder / "other.flac", tone(seed=1))
    (folder / "baseline.yaml").write_text(OFFICIAL)
    write_by_hand(folder / "by_hand")
    for name in ("yaml", "tests", "tools"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "exported_models", folder / "exported_models")
    for document, blocks in BLOCKS.items():
        for block in blocks:
            if block.language in ("python", "yaml"):
                prelude = PRELUDE.get(document, "") if block.language == "python" else ""
                text = block.text.replace(*SHORTER).replace(*ONE_SCRIPT.get(document, ("", "")))
                text = text.replace(GRPC_ADDRESS, f"127.0.0.1:{server.grpc_port}")
                (folder / block.file).write_text(prelude + text)
    return folder


@pytest.fixture(scope="module")
def server():
    """`ganad serve exported_models`, on ports that are free."""
    running = Server(ROOT / "exported_models", "--grpc-port", "0", launcher=["env"])  # as a reader starts it
    running.grpc_port = int(re.search(r"grpc://127.0.0.1:(\d+)", "".join(running.lines))[1])
    yield running
    running.stop()


@pytest.fixture(scope="module")
def ran(folder, server, request, tmp_path_factory):
    """Commands and what they printed, by document; everything in one process, for TensorFlow's sake.

    A page may build on those before it: they are run up to the last one that a test asks for.
    """
    wanted = [item.callspec.params["document"] for item in request.session.items if "ran" in item.fixturenames]
    pages = DOCUMENTS[: 1 + max(map(DOCUMENTS.index, wanted))]
    jobs = [(document, words) for document in pages for words in jobs_of(document, server.port, server.grpc_port)]
    plan, log = (tmp_path_factory.mktemp("runner") / name for name in ("jobs.json", "jobs.log"))
    plan.write_text(json.dumps([words for _, words in jobs]))
    with log.open("w") as stream:
        command = [sys.executable, "-c", RUNNER, plan]
        subprocess.run(command, cwd=folder, stdout=stream, stderr=subprocess.STDOUT, check=False)
    outputs = re.split(r"^=== \d+\n", log.read_text(), flags=re.MULTILINE)[1:]
    results = defaultdict(list)
    for (document, words), output in zip(jobs, outputs, strict=True):
        results[document].append((shlex.join(words), output))
    return results


def jobs_of(document: str, port: int, grpc_port: int = 0) -> list[list[str]]:
    """Command lines of the runner: `ganad`, unnamed Python blocks, and named ones where a line runs them."""
    jobs = []
    for block in BLOCKS[document]:
        if block.language == "python" and not block.is_named:
            jobs.append([block.file])
        for command in block.commands if block.language in ("", "sh", "console") else ():
            changed = command.replace(ADDRESS, f"127.0.0.1:{port}").replace(GRPC_ADDRESS, f"127.0.0.1:{grpc_port}")
            words = reduced(changed.removeprefix("python3 tools/start.py "))
            if words[0] == "ganad" and words[1] != "serve":
                jobs.append(words)
            elif words[0] == "python" and not words[1].startswith(("tools/", "-m")):
                jobs.append(words[1:])
    return jobs


def reduced(command: str) -> list[str]:
    """The words of a command, with what makes it small enough."""
    more = next((more for start, more in SMALL.items() if command.startswith(start)), "")
    return shlex.split(f"{command} {more}")


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_and_scripts_run(document, ran):
    assert len(ran[document]) == len(jobs_of(document, 0))
    for command, output in ran[document]:
        assert output.rstrip().endswith("=== exit 0"), f"{document}: {command}\n{output}"


def test_blocks_are_found():
    """Also where commands go on in the next line."""
    block = Block(
        "x.md", 1, "", "ganad run fan.yaml \\\n    --eval  # new\nprintf x |\n    curl -d @- y && frobnicate z\n"
    )
    assert block.commands == ["ganad run fan.yaml  --eval", "printf x | curl -d @- y", "frobnicate z"]
    assert "frobnicate" not in RULES
    assert len(jobs_of("README.md", 0)) > 10
    assert {block.language for blocks in BLOCKS.values() for block in blocks} == {"", "python", "yaml"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_are_settings(document, tmp_path):
    for block in BLOCKS[document]:
        if block.language == "yaml":
            path = tmp_path / block.file
            path.write_text(block.text)
            configuration.load(path)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_named_script_is_used(document):
    text = "\n".join([command for _, command in COMMANDS[document]] + [block.text for block in BLOCKS[document]])
    for block in BLOCKS[document]:
        if block.language == "python" and block.is_named:
            stem = block.file.removesuffix(".py")
            assert re.search(rf"python {stem}\.py|from {stem} import", text), block.file


@pytest.mark.parametrize("document", DOCUMENTS)
def test_no_block_is_of_an_unknown_kind(document, folder):
    for block in BLOCKS[document]:
        where = f"{document}:{block.line}"
        assert block.language in ("", "sh", "console", "python", "yaml"), where
        for command, words in words_of(block):
            rule = RULES.get(words[0])
            assert rule or "/" in words[0], f"{where}: no rule for `{words[0]}`"
            if rule and rule is not has_logs:
                rule(command, words, folder)


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_find_what_those_before_have_written(document, folder, ran):
    assert len(ran[document]) == len(jobs_of(document, 0))
    for block in BLOCKS[document]:
        for command, words in words_of(block):
            if words[0] not in RULES:
                assert list(folder.glob(words[0])), f"{document}:{block.line}: no file like {words[0]} here"
            elif RULES[words[0]] is has_logs:
                has_logs(command, words, folder)


def words_of(block):
    """Each command of a block and its words, without the variables that are set for it."""
    commands = block.commands if block.language in ("", "sh", "console") else ()
    return [(command, shlex.split(re.sub(r"^(\w+=\S+ )*", "", command))) for command in commands]


def test_the_pipe_to_the_server_gets_scores(server, folder):
    for document, commands in COMMANDS.items():
        for _, command in commands:
            if "curl" in command:
                changed = command.replace(ADDRESS, f"127.0.0.1:{server.port}")
                done = subprocess.run(["bash", "-c", changed], cwd=folder, capture_output=True, text=True, check=True)
                assert json.loads(done.stdout)["predictions"][0]["anomaly_score"] > 0, document


def is_run(*_: object) -> None:
    """By the runner, or by the fixture `server`."""


def knows_options(command: str, words: list[str], folder: Path) -> None:
    """A tool: it has the options that it is given. A script of the document: it is there."""
    if words[1:2] == ["tools/start.py"]:
        RULES[words[2]](command, words[2:], folder)
    elif words[1] == "tools/check.py":
        assert (ROOT / words[1]).is_file()  # what runs this test
    elif words[1] == "-m":
        assert words[2:5] == ["pytest", "-m", "slow"], command  # what runs the others
    elif words[1].startswith("tools/"):
        options = {word for word in words if word.startswith("--")}
        assert options <= set(re.findall(r"--[\w-]+", help_texts()[Path(words[1]).name])), command
    else:
        assert (folder / words[1]).is_file(), command


def has_extra(command: str, words: list[str], _: Path) -> None:
    """`pip install '.[extra]'`: the extra is in setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert words[1] == "install", command
    for extra in re.findall(r"\[(\w+)\]", command):
        assert extra in parser["options.extras_require"], command


def has_tests(command: str, words: list[str], _: Path) -> None:
    """The file has such tests, and reads the variables that are set."""
    text = (ROOT / words[1]).read_text()
    for name in re.findall(r"^(\w+)=", command):
        assert name in text, command
    if "-k" in words:
        assert re.search(rf"def test_\w*{words[words.index('-k') + 1]}", text), command


def names_files(command: str, *_: object) -> None:
    """docker and kubectl: each file that is named is there, and YAML can be read."""
    paths = re.findall(r"(?:-f |\$PWD/|/models/)([\w./]+)", command)
    assert paths, command
    for name in paths:
        path = ROOT / name if (ROOT / name).exists() else ROOT / "exported_models" / name
        assert path.exists(), f"{command}: {name}"
        if path.suffix == ".yaml":
            assert all(document["kind"] for document in yaml.safe_load_all(path.read_text())), name


def has_logs(command: str, words: list[str], folder: Path) -> None:
    """Tensorboard: the commands before have written something there."""
    assert list((folder / words[words.index("--logdir") + 1]).rglob("events.out.*")), command


RULES = {
    "ganad": is_run,
    "python": knows_options,
    "python3": knows_options,
    "pip": has_extra,
    "pytest": has_tests,
    "docker": names_files,
    "kubectl": names_files,
    "printf": is_run,  # `test_the_pipe_to_the_server_gets_scores`
    "tensorboard": has_logs,
}
