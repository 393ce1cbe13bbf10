"""Units of work and who does them: order, failures, what a command notes of them; blocks of clips."""

import hashlib
import logging
import pickle
import shutil
from dataclasses import replace

import pytest
from conftest import tone, write_machine, write_wav

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import blocks
from ganad_tf.cache.directory import Cache
from ganad_tf.cache.prepare import prepare_cache, preparing
from ganad_tf.cli import preparing as by_blocks
from ganad_tf.cli.main import main
from ganad_tf.cli.preparing import Caching
from ganad_tf.engine import driver, versions
from ganad_tf.engine.driver import HereWorkers
from ganad_tf.engine.failures import Failures
from ganad_tf.engine.units import Unit, patiently, recorded_log
from ganad_tf.errors import ConfigError, DataError, MemoryShortageError, StageInterrupt, StorageError, WriteError
from ganad_tf.files import lock
from ganad_tf.run import MachineRun


class Diary:
    """Work that keeps a list of what was done, and fails where it is told to."""

    def __init__(self, **failing):
        self.done, self.failing = [], failing

    def do(self, name):
        self.done.append(name)
        if name in self.failing:
            raise self.failing[name]
        return name.upper()

    def unit(self, verb, machine, *needs):
        return Unit(verb, machine, machine, self.do, (f"{verb}_{machine}",), needs)


def test_a_failing_machine_type_stops_no_other_and_is_named():
    diary = Diary(train_pump=DataError("The pump is broken."))
    machines = ("fan", "pump", "valve")
    units = [diary.unit("train", machine) for machine in machines]
    units += [diary.unit("score", machine, f"train {machine}") for machine in machines]
    boards = []
    outcomes = driver.run(units, HereWorkers(), lambda board: boards.append(board.table()))
    assert diary.done == ["train_fan", "train_pump", "train_valve", "score_fan", "score_valve"]
    assert outcomes["score fan"].value == "SCORE_FAN"
    assert "score pump" not in outcomes
    assert [line.split() for line in boards[-1][1:]] == [
        ["train", "0", "0", "2", "1", "0"],
        ["score", "0", "0", "2", "0", "1"],
    ]
    errors = driver.failures(outcomes)
    with pytest.raises(DataError, match=r"^The pump is broken\.\n1 of 3 machine types failed: pump\. --only-failed"):
        driver.refuse(errors, 3)
    with pytest.raises(DataError, match=r"^The pump is broken\.$"):
        driver.refuse(errors, 1)
    driver.refuse({}, 3)
    with pytest.raises(DataError, match=r"^Foreign\.$"):
        driver.refuse({"": DataError("Foreign.")}, 3)
    with pytest.raises(DataError, match=r"^Foreign\.\nBroken\.\n1 of 3 machine types failed: fan\. --only"):
        driver.refuse({"": DataError("Foreign."), "fan": DataError("Broken.")}, 3)


def test_a_full_disk_a_lost_store_and_a_bug_are_no_failures_of_a_machine_type():
    for error in (WriteError("Can't write."), StorageError("s3://plant can't be read in 6 attempts.")):
        diary = Diary(train_fan=error)
        with pytest.raises(type(error)):
            driver.run([diary.unit("train", "fan"), diary.unit("train", "pump")], HereWorkers())
        assert diary.done == ["train_fan"]
    with pytest.raises(ZeroDivisionError):
        driver.run([Diary(train_fan=ZeroDivisionError()).unit("train", "fan")], HereWorkers())


def test_after_an_interruption_it_is_said_what_is_kept():
    diary = Diary(train_pump=KeyboardInterrupt())
    with pytest.raises(StageInterrupt, match="running train pump") as caught:
        driver.run([diary.unit("train", machine) for machine in ("fan", "pump", "valve")], HereWorkers())
    assert caught.value.kept.startswith("1 of 3 units are finished")


@pytest.mark.parametrize("needs", [("train valve",), ("train pump",)])
def test_units_that_can_never_begin_are_refused(needs):
    diary = Diary()
    with pytest.raises(ValueError, match=r"no circle\. Received: \['train fan', 'train pump'\]"):
        driver.run([diary.unit("train", "fan", *needs), diary.unit("train", "pump", "train fan")], HereWorkers())
    with pytest.raises(ValueError, match="different units"):
        driver.run([diary.unit("train", "fan")] * 2, HereWorkers())


def test_failures_are_kept_until_the_machine_type_succeeds(tmp_path):
    known = Failures.of(str(tmp_path / "model"), "train", "dev")
    assert known.read() == {}
    known.update(["fan", "pump", "valve"], {"fan": DataError("no\nsound"), "pump": DataError("too few")})
    assert known.read() == {"fan": "no sound", "pump": "too few"}
    known.update(["fan"], {})
    assert known.read() == {"pump": "too few"}
    known.update(["pump"], {})
    assert not known.path.exists()
    known.path.write_text("[")
    with pytest.raises(DataError, match=r"Can't read .*failed_train_dev\.json .*without --only-failed"):
        known.read()
    known.update(["fan"], {"fan": DataError("again")})
    assert known.read() == {"fan": "again"}


def test_a_worker_of_another_version_is_refused():
    here = versions.versions()
    assert {"Python", "ganad_tf", "tensorflow", "keras", "numpy"} <= here.keys()
    versions.refuse_others(here, dict(here), "node-2")
    there = {**here, "ganad_tf": "0.0.9", "keras": "3.0.0"}
    expected = f"Expected ganad_tf {here['ganad_tf']}, keras {here['keras']} on every node .* as here"
    with pytest.raises(ConfigError, match=rf"{expected}\. Received: ganad_tf 0\.0\.9, keras 3\.0\.0 on node-2\."):
        versions.refuse_others(here, there, "node-2")


def test_a_unit_waits_for_a_lock_and_its_log_is_carried(tmp_path, caplog):
    def work():
        logging.getLogger("ganad_tf.training").warning("little of %s", "fan")
        with lock.exclusive(tmp_path / "fan"):
            raise DataError("no")

    unit = Unit("train", "fan", "fan", work)
    with recorded_log() as messages:
        outcome = patiently(unit, 5.0)
    assert messages == [("ganad_tf.training", logging.WARNING, "little of fan")]
    assert str(outcome.error) == "no"
    assert not caplog.records
    with lock.exclusive(tmp_path / "fan"):
        outcome = patiently(unit, 0.3)
    assert "is being written by process" in str(outcome.error)


def test_an_error_is_the_same_when_a_worker_sends_it():
    for error in (MemoryShortageError("fan.wav"), ConfigError("Expected."), WriteError("Full.")):
        sent = pickle.loads(pickle.dumps(error))
        assert (type(sent), str(sent)) == (type(error), str(error))


CONFIG = """
dev_directory: {root}/dev
cache_directory: {root}/{name}
model_directory: {root}/model
result_directory: {root}/result
feature: {{n_mels: 16, frames: 3}}
on_bad_clip: skip
"""


def run_of(root, name):
    path = root / f"{name}.yaml"
    path.write_text(CONFIG.format(root=root, name=name))
    config = configuration.load(path)
    (listing,) = datasets.list_clips(config, "dev")
    return MachineRun(config.for_machine("fan"), listing, "dev")


def contents(folder):
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(blocks, "CLIPS_PER_SHARD", 3)
    monkeypatch.setattr(blocks, "CLIPS_PER_BLOCK", 6)


@pytest.fixture
def recordings(tmp_path):
    write_machine(tmp_path / "dev", ids=("00",), n_train=13, n_test=1)
    write_wav(tmp_path / "dev" / "fan" / "train" / "normal_id_00_00000099.wav", tone(seconds=0.01))  # too short
    return tmp_path


@pytest.mark.usefixtures("small_blocks")
def test_a_cache_of_blocks_is_that_of_one_process_to_the_last_bit(recordings):
    """Also after the command was killed between blocks, and while it took them over."""
    plain = run_of(recordings, "plain")
    done = prepare_cache(plain, "train")
    wide = run_of(recordings, "wide")
    steps = preparing(wide, "train")
    made = list(blocks.of_clips(next(steps).block))
    assert [len(block.clips) for block in made] == [6, 6, 2]
    blocks.process(made[0])
    blocks.process(made[1])
    steps.close()  # killed
    finished = made[0].path / "manifest.json"
    before = finished.stat().st_mtime_ns
    blocks.process(made[0])
    assert finished.stat().st_mtime_ns == before
    (made[1].path / blocks.SUMS).write_bytes(b"damaged")
    cache = Caching(wide, "train", "fan")
    by_blocks.prepare_in_blocks([cache], HereWorkers(), fresh=False)
    assert (cache.result, cache.error) == (done, None)
    assert contents(Cache(wide, "train").path) == contents(Cache(plain, "train").path)


@pytest.mark.usefixtures("small_blocks")
def test_a_block_that_fails_leaves_the_others_for_the_next_command(recordings):
    run = run_of(recordings, "wide")
    caches = [Caching(run, split, "fan") for split in ("train", "test")]

    class Failing(HereWorkers):
        def start(self, unit):
            lost = Diary(block=DataError("Its worker was lost."))
            is_second = unit.name == "fan train 1"
            super().start(replace(unit, work=lost.do, arguments=("block",)) if is_second else unit)

    by_blocks.prepare_in_blocks(caches, Failing(), fresh=False)
    assert str(caches[0].error) == "Its worker was lost."
    assert caches[1].result.n_new == 2
    assert len(list((Cache(run, "train").path / blocks.FOLDER).iterdir())) == 2
    again = Caching(run, "train", "fan")
    by_blocks.prepare_in_blocks([again], HereWorkers(), fresh=False)
    assert again.result.n_new == 13
    assert not (Cache(run, "train").path / blocks.FOLDER).exists()


def test_only_failed_runs_those_again(tmp_path, capsys):
    for machine in ("fan", "pump"):
        write_machine(tmp_path / "dev", machine, ids=("00",), n_train=2, n_test=1)
    broken = tmp_path / "dev" / "pump" / "train" / "normal_id_00_00000000.wav"
    sound = broken.read_bytes()
    broken.write_bytes(sound[:30])
    path = tmp_path / "both.yaml"
    path.write_text(CONFIG.format(root=tmp_path, name="cache").replace("skip", "error"))
    assert main(["prepare", str(path)]) == 2
    said = capsys.readouterr().err
    assert "1 of 2 machine types failed: pump. --only-failed runs them again." in said
    assert (tmp_path / "cache" / "dev" / "fan" / "test" / "manifest.json").exists()
    shutil.rmtree(tmp_path / "cache" / "dev" / "fan")
    broken.write_bytes(sound)
    assert main(["prepare", str(path), "--only-failed"]) == 0
    assert not (tmp_path / "cache" / "dev" / "fan").exists()
    assert (tmp_path / "cache" / "dev" / "pump" / "train" / "manifest.json").exists()
    assert not list((tmp_path / "cache").glob("failed*"))
    shutil.rmtree(tmp_path / "cache")
    assert main(["prepare", str(path), "--only-failed"]) == 0
    assert not (tmp_path / "cache").exists()
