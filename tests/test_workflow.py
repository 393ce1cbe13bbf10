"""The real command line on real files: what somebody notices who uses nothing else."""

import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import ROOT, tone, write_machine, write_wav
from processes import Command
from sklearn.metrics import roc_auc_score
from test_config import OFFICIAL

from ganad_tf.cli import main

FAST = ["--set", "model.hidden=[64]", "fit.epochs=15", "fit.batch_size=32", "fit.compile.learning_rate=0.004"]
FAST += ["feature.standardize=true"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, ganad):
    """A folder in which the challenge's own baseline.yaml was run, once for all tests that only look."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "baseline.yaml").write_text(OFFICIAL)
    write_machine(folder / "dev_data", "fan")
    write_machine(folder / "dev_data", "pump", ids=("04",))
    write_machine(folder / "eval_data", "fan", ids=("01",), n_test=0)
    for index in range(4):
        write_wav(
            folder / "eval_data" / "fan" / "test" / f"id_01_{index:08d}.wav",
            tone(hz=440 if index < 2 else 2000, seed=index),
        )
    for verb, mode in (
        ("prepare", "--dev"),
        ("train", "--dev"),
        ("score", "--dev"),
        ("evaluate", "-d"),
    ):
        done = ganad(verb, "baseline.yaml", mode, *FAST, cwd=folder)
        (folder / f"{verb}.out").write_text(done.stdout)
        (folder / f"{verb}.err").write_text(done.stderr)
    (folder / "run.out").write_text(ganad("run", "baseline.yaml", "--eval", *FAST, cwd=folder).stdout)
    return folder


@pytest.fixture
def copied(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run", copy_function=shutil.copy2)
    return tmp_path / "run"


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


def test_the_challenge_s_files_are_there_and_no_others(finished):
    names = sorted(path.name for path in (finished / "result").iterdir())
    pairs = [("fan", "00"), ("fan", "01"), ("fan", "02"), ("pump", "04")]
    expected = [
        f"{kind}_{machine}_id_{key}.csv" for kind in ("anomaly_score", "decision_result") for machine, key in pairs
    ]
    origins = [f"score_origin_{mode}.json" for mode in ("dev_fan", "dev_pump", "eval_fan")]
    training = [f"train_score_{mode}.csv" for mode in ("dev_fan", "dev_pump", "eval_fan")]
    assert names == sorted([*expected, *origins, *training, "result.csv", "result_modes.json"])


def test_score_files_list_every_test_clip_in_the_challenge_s_order(finished):
    names = [row[0] for row in rows(finished / "result" / "anomaly_score_fan_id_02.csv")]
    assert names == [f"{label}_id_02_{index:08d}.wav" for label in ("normal", "anomaly") for index in range(3)]
    unlabelled = [row[0] for row in rows(finished / "result" / "anomaly_score_fan_id_01.csv")]
    assert unlabelled == [f"id_01_{index:08d}.wav" for index in range(4)]


def test_result_csv_says_what_the_score_files_say(finished):
    result = rows(finished / "result" / "result.csv")
    assert [row[:1] for row in result] == [
        ["fan"],
        ["id"],
        ["00"],
        ["02"],
        ["Average"],
        [],
        ["pump"],
        ["id"],
        ["04"],
        ["Average"],
        [],
    ]
    scores = rows(finished / "result" / "anomaly_score_fan_id_00.csv")
    labels, values = [name.startswith("anomaly") for name, _ in scores], [float(score) for _, score in scores]
    assert float(result[2][1]) == pytest.approx(roc_auc_score(labels, values), abs=1e-12)
    assert float(result[2][2]) == pytest.approx(roc_auc_score(labels, values, max_fpr=0.1), abs=1e-12)
    assert float(result[4][1]) == pytest.approx((float(result[2][1]) + float(result[3][1])) / 2)


def test_the_detector_hears_the_difference(finished):
    """A tone at 440 Hz is normal here, one at 2 kHz is not; few epochs are enough for that."""
    result = rows(finished / "result" / "result.csv")
    assert float(result[4][1]) > 0.95
    scores = {name: float(score) for name, score in rows(finished / "result" / "anomaly_score_fan_id_01.csv")}
    assert max(scores["id_01_00000000.wav"], scores["id_01_00000001.wav"]) < min(
        scores["id_01_00000002.wav"], scores["id_01_00000003.wav"]
    )


def test_decisions_are_the_scores_against_one_threshold(finished):
    for machine, ids in (("fan", ("00", "02")), ("pump", ("04",))):
        pairs = []
        for machine_id in ids:
            scores = rows(finished / "result" / f"anomaly_score_{machine}_id_{machine_id}.csv")
            decisions = rows(finished / "result" / f"decision_result_{machine}_id_{machine_id}.csv")
            assert [row[0] for row in scores] == [row[0] for row in decisions]
            pairs += [
                (float(score), int(decision)) for (_, score), (_, decision) in zip(scores, decisions, strict=True)
            ]
        below = [score for score, decision in pairs if decision == 0]
        above = [score for score, decision in pairs if decision == 1]
        assert above
        assert max(below, default=0) <= min(above)


def test_tables_go_to_stdout_and_the_rest_to_stderr(finished):
    assert "fan" in (finished / "evaluate.out").read_text()
    assert (finished / "train.out").read_text() == ""
    assert "fan: trained on 10 clips" in (finished / "train.err").read_text()
    for name in ("prepare.err", "train.err", "score.err"):
        assert not [
            word for word in ("oneDNN", "cuda", "WARNING", "I0000", "E0000") if word in (finished / name).read_text()
        ]


def test_evaluation_mode_has_no_result(finished):
    assert (finished / "run.out").read_text() == ""


def test_a_trained_machine_is_skipped_and_a_cached_clip_not_read_again(copied, ganad):
    assert "fan: already trained with this configuration" in ganad("train", "baseline.yaml", *FAST, cwd=copied).stderr
    done = ganad("prepare", "baseline.yaml", "-v", cwd=copied)
    assert "fan train: 12 clips are in the cache, nothing has changed" in done.stderr


def test_other_settings_are_refused_and_nothing_is_lost(copied, ganad):
    before = {path: path.read_bytes() for path in (copied / "model").rglob("*") if path.is_file()}
    for verb in ("train", "score"):
        done = ganad(verb, "baseline.yaml", *FAST, "fit.epochs=3", cwd=copied, check=2)
        assert "was made with `fit.epochs: 15`, this configuration has `fit.epochs: 3`" in done.stderr
    assert {path: path.read_bytes() for path in (copied / "model").rglob("*") if path.is_file()} == before


def test_new_recordings_are_not_scored_by_guesswork(copied, ganad):
    """New test clips are read and scored; new training clips make the cache stale and the detector another."""
    write_wav(copied / "dev_data" / "pump" / "test" / "anomaly_id_04_00000099.wav", tone(hz=2000))
    ganad("score", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied)
    assert len(rows(copied / "result" / "anomaly_score_pump_id_04.csv")) == 7
    write_wav(copied / "dev_data" / "pump" / "train" / "normal_id_04_00000099.wav", tone())
    done = ganad("train", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied, check=2)
    assert "stale: 1 clips were added, changed or removed" in done.stderr
    assert "Run `ganad prepare`" in done.stderr
    ganad("prepare", "baseline.yaml", "--machine", "pump", cwd=copied)
    done = ganad("train", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied, check=2)
    assert "trained on other recordings" in done.stderr


@pytest.mark.slow
def test_same_seed_same_result_to_the_last_digit(finished, copied, ganad):
    """Also when the machine is trained alone, and another seed gives other scores."""
    before = (finished / "result" / "anomaly_score_pump_id_04.csv").read_bytes()
    ganad(
        "run",
        "baseline.yaml",
        "--machine",
        "pump",
        *FAST,
        "model_directory=again",
        "result_directory=again",
        cwd=copied,
    )
    assert (copied / "again" / "anomaly_score_pump_id_04.csv").read_bytes() == before
    ganad(
        "run",
        "baseline.yaml",
        "--machine",
        "pump",
        *FAST,
        "model_directory=other",
        "result_directory=other",
        "seed=1",
        cwd=copied,
    )
    assert (copied / "other" / "anomaly_score_pump_id_04.csv").read_bytes() != before


@pytest.mark.slow
def test_streamed_training_works_from_the_command_line(copied, ganad):
    ganad(
        "train",
        "baseline.yaml",
        "--machine",
        "pump",
        *FAST,
        "model_directory=streamed",
        "fit.memory_budget_mb=0",
        "fit.epochs=3",
        cwd=copied,
    )
    assert (copied / "streamed" / "dev" / "pump" / "detector.keras").exists()


@pytest.mark.slow
def test_ganomaly_by_its_yaml(copied, ganad):
    arguments = ["--set", "fit.epochs=2", "model.hidden=[32,32]", "dataset.name=dcase2020"]
    done = ganad("run", ROOT / "yaml" / "ganomaly.yaml", "--machine", "fan", *arguments, cwd=copied)
    assert "weighted" not in done.stdout
    assert len(rows(copied / "result" / "ganomaly" / "anomaly_score_fan_id_00.csv")) == 6


@pytest.mark.slow
def test_a_folder_of_recordings_and_new_ones(tmp_path, ganad):
    """A user with a fan has normal recordings, a few bad ones, and tomorrow's."""
    for index in range(10):
        write_wav(tmp_path / "my_fan" / "normal" / f"monday_{index}.flac", tone(seed=index))
    for index in range(2):
        write_wav(tmp_path / "my_fan" / "abnormal" / f"broken_{index}.wav", tone(hz=2000, seed=index))
        write_wav(
            tmp_path / "new" / "my_fan" / f"tomorrow_{index}.wav", tone(hz=440 if index else 2000, seed=50 + index)
        )
    (tmp_path / "fan.yaml").write_text(
        "dev_directory: my_fan\neval_directory: new\ndataset: {name: folder}\n"
        "fit: {epochs: 20, batch_size: 32, min_steps: 0, compile: {learning_rate: 0.004}}\n"
        "feature: {standardize: true}\nmodel: {hidden: [64]}\nthreshold: {quantile: 0.9}\n"
    )
    assert "100.00" in ganad("run", "fan.yaml", cwd=tmp_path).stdout
    assert [row[0] for row in rows(tmp_path / "result" / "anomaly_score_my_fan_id_00.csv")][-2:] == [
        "abnormal/broken_0.wav",
        "abnormal/broken_1.wav",
    ]
    ganad("run", "fan.yaml", "--eval", cwd=tmp_path)  # scored by the detector of --dev
    tomorrow = dict(rows(tmp_path / "result" / "anomaly_score_my_fan_id_new.csv"))
    assert float(tomorrow["tomorrow_0.wav"]) > float(tomorrow["tomorrow_1.wav"])
    ganad("evaluate", "fan.yaml", cwd=tmp_path)  # the test's own scores are still there


def test_list_and_help_don_t_wait_for_tensorflow(finished):
    for arguments in (["--help"], ["list", "baseline.yaml"], ["evaluate", "baseline.yaml"]):
        call = f"import sys; from ganad_tf.cli.main import main\ntry: main({arguments!r})\nexcept SystemExit: pass\n"
        script = call + "assert 'tensorflow' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", script], cwd=finished, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_list_counts_clips(finished, ganad):
    lines = [line.split() for line in ganad("list", "baseline.yaml", cwd=finished).stdout.splitlines()]
    assert ["fan", "02", "6", "3", "3", "0"] in lines
    lines = [line.split() for line in ganad("list", "baseline.yaml", "--eval", cwd=finished).stdout.splitlines()]
    assert ["fan", "01", "6", "0", "0", "4"] in lines


def test_every_bad_clip_of_every_machine_is_named_at_once(copied, ganad):
    data = copied / "dev_data"
    (data / "fan" / "train" / "normal_id_00_00000070.wav").write_bytes(b"")
    write_wav(data / "fan" / "test" / "anomaly_id_00_00000071.wav", tone(), rate=44100)
    write_wav(data / "pump" / "test" / "normal_id_04_00000072.wav", tone(seconds=0.05))
    (data / "pump" / "test" / "note.txt").write_text("x")
    done = ganad("prepare", "baseline.yaml", cwd=copied, check=2)
    for name in ("normal_id_00_00000070.wav", "anomaly_id_00_00000071.wav", "normal_id_04_00000072.wav", "note.txt"):
        assert done.stderr.count(name) == 1, name
    done = ganad("score", "baseline.yaml", *FAST, cwd=copied, check=2)
    for name in ("anomaly_id_00_00000071.wav", "normal_id_04_00000072.wav", "note.txt"):
        assert name in done.stderr
    ganad("score", "baseline.yaml", "--machine", "pump", *FAST, "on_bad_clip=skip", cwd=copied)
    names = [row[0] for row in rows(copied / "result" / "anomaly_score_pump_id_04.csv")]
    assert len(names) == 6
    assert "normal_id_04_00000072.wav" not in names
    listed = json.loads((copied / "cache" / "dev" / "pump" / "test" / "manifest.json").read_text())["manifest"]
    assert ["normal_id_04_00000072.wav" in clip["file"] for clip in listed["skipped"]] == [True]
    assert ["note.txt" in line for line in listed["foreign"]] == [True]


def test_clips_that_became_unusable_lose_their_old_scores(copied, ganad):
    for path in (copied / "dev_data" / "fan" / "test").glob("*_id_02_*"):
        path.write_bytes(b"")
    skip = [*FAST, "on_bad_clip=skip"]
    ganad("score", "baseline.yaml", "--machine", "fan", *skip, cwd=copied)
    assert rows(copied / "result" / "anomaly_score_fan_id_02.csv") == []
    assert rows(copied / "result" / "decision_result_fan_id_02.csv") == []
    done = ganad("evaluate", "baseline.yaml", "--machine", "fan", *skip, cwd=copied)
    assert "undefined: fan id 02" in done.stdout
    before = rows(copied / "result" / "result.csv")
    assert before[3][:2] == ["02", "nan"]
    assert ["pump"] in before  # what another machine type has in the file stays
    write_wav(copied / "dev_data" / "fan" / "test" / "anomaly_id_00_00000055.wav", tone(hz=2000))
    done = ganad("evaluate", "baseline.yaml", "--machine", "fan", *skip, cwd=copied, check=2)
    assert "1 missing, 0 others, such as anomaly_id_00_00000055.wav" in done.stderr


def test_the_same_names_in_another_folder_are_other_recordings(copied, ganad):
    other = copied / "other_data"
    shutil.copytree(copied / "dev_data", other, copy_function=shutil.copy2)
    done = ganad("train", "baseline.yaml", *FAST, "dev_directory=other_data", cwd=copied, check=2)
    assert "is of recordings in" in done.stderr
    done = ganad("prepare", "baseline.yaml", "--machine", "fan", "--set", "dev_directory=other_data", cwd=copied)
    assert "fan train: 12 clips prepared" in done.stderr


def test_machines_may_be_named_one_by_one(finished, ganad):
    done = ganad("list", "baseline.yaml", "--machine", "fan", "--machine", "pump", cwd=finished)
    assert "fan" in done.stdout
    assert "pump" in done.stdout


def test_a_full_disk_is_one_sentence(finished):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "ganad_tf", "list", "baseline.yaml"]
        done = subprocess.run(command, cwd=finished, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "ganad: the output: No space left on device.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["list", "nowhere.yaml"], "Can't read the configuration nowhere.yaml"),
        (["run", "my_fam"], "a folder of recordings. Received: my_fam, which does not exist."),
        (["list", "baseline.yaml", "--set", "fit.epoch=3"], "unknown key `fit.epoch`; did you mean `epochs`?"),
        (["list", "baseline.yaml", "--set", "dev_directory=nowhere"], "Expected a folder of recordings in nowhere"),
        (["list", "baseline.yaml", "--machine", "fam"], "did you mean `fan`?"),
        (["evaluate", "baseline.yaml", "--set", "result_directory=nowhere"], "Run `ganad score` first"),
        (["evaluate", "baseline.yaml", "--eval", *FAST], "there is nothing to evaluate"),
        (["train", "baseline.yaml", "--set", "cache_directory=nowhere"], "Run `ganad prepare`"),
        (["train", "baseline.yaml", "--set", "model.name=GANomoly", "model_directory=x"], "did you mean `GANomaly`?"),
        (
            ["train", "baseline.yaml", "--set", "model.latnt=3", "model_directory=x"],
            "Unknown key `model.latnt` for DenseAE; did you mean `latent`?",
        ),
        (["train", "baseline.yaml", "--set", "model.latent=eight", "model_directory=x"], "does not make a DenseAE"),
        (
            ["train", "baseline.yaml", "--set", "fit.compile.optimizer=adamm", "model_directory=x"],
            "`fit.compile` can't be used",
        ),
        (
            ["train", "baseline.yaml", "--set", "fit.compile.loss=mse2", "model_directory=x"],
            "`fit.compile` can't be used",
        ),
        (["score", "baseline.yaml", "--set", "model_directory=nowhere"], "run `ganad train` first"),
        (["evaluate", "baseline.yaml", "--set", "feature.n_mels=64"], "was made with `feature.n_mels: 128`"),
        (["train", "baseline.yaml", "--set", "model_directory=baseline.yaml/x"], "Can't write baseline.yaml/x"),
        (["prepare", "baseline.yaml", "--set", "cache_directory=baseline.yaml/x"], "Can't write baseline.yaml/x"),
        (
            ["list", "baseline.yaml", "--set", "cache_directory=dev_data/cache"],
            "outside of `dev_directory`",
        ),
        (
            ["list", "baseline.yaml", "--set", "model_directory=cache"],
            "different `cache_directory`",
        ),
        (["train", "baseline.yaml", "--set", "fit.compile.loss=ctc", "model_directory=x"], "can't be used together"),
        (
            ["train", "baseline.yaml", "--set", "model={name: GANomaly, w_adv: a}", "model_directory=x"],
            "can't be used together",
        ),
        (
            ["train", "baseline.yaml", "--set", "model={name: GANomaly, hidden: []}", "model_directory=x"],
            "one hidden layer",
        ),
        (
            ["train", "baseline.yaml", "--set", "fit.compile.learning_rate=1e30", "fit.epochs=3", "model_directory=x"],
            "`val_loss` became nan in epoch 1; the weights from before this epoch are kept",
        ),
    ],
)
def test_one_sentence_and_exit_code_2(finished, tmp_path, monkeypatch, capsys, arguments, message):
    for name in ("dev_data", "eval_data", "cache", "model", "result", "baseline.yaml"):
        (tmp_path / name).symlink_to(finished / name)
    monkeypatch.chdir(tmp_path)
    assert main.main(arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""
    assert not (tmp_path / "x").exists() or not list((tmp_path / "x").rglob("detector.keras"))


def test_a_broken_detector_is_named(copied, ganad):
    path = copied / "model" / "dev" / "pump" / "detector.keras"
    path.write_bytes(path.read_bytes()[:1000])
    done = ganad("score", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied, check=2)
    assert "can't be read" in done.stderr
    assert "remove the folder and run `ganad train`" in done.stderr


@pytest.mark.slow
def test_killed_while_training_there_is_no_detector_and_then_a_whole_one(copied, ganad):
    shutil.rmtree(copied / "model")
    folder = copied / "model" / "dev" / "pump"
    process = Command("train", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied)
    while not folder.with_name("pump.unfinished.npz").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.rest_of_log()
    assert not folder.exists()
    done = ganad("score", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied, check=2)
    assert "run `ganad train` first" in done.stderr
    ganad("train", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied)
    ganad("score", "baseline.yaml", "--machine", "pump", *FAST, cwd=copied)


@pytest.mark.slow
def test_real_slider_recordings(real_data, tmp_path, ganad):
    (tmp_path / "baseline.yaml").write_text(OFFICIAL)
    where = f"dev_directory={real_data / 'dcase2020' / 'dev_data'}"
    ganad("run", "baseline.yaml", "--dev", "--machine", "slider", "--set", where, "fit.epochs=3", cwd=tmp_path)
    result = rows(tmp_path / "result" / "result.csv")
    assert [row[0] for row in result if row] == ["slider", "id", "00", "02", "04", "06", "Average"]
    for machine_id, n_clips in (("00", 6), ("02", 4), ("04", 5), ("06", 5)):
        scores = [float(score) for _, score in rows(tmp_path / "result" / f"anomaly_score_slider_id_{machine_id}.csv")]
        assert len(set(scores)) == n_clips
        assert min(scores) > 0
