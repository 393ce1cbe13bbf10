import math
from pathlib import Path

import pytest

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.errors import DataError
from ganad_tf.results import evaluate, official_files, score_files
from ganad_tf.results.score_files import ClipScore
from ganad_tf.run import machine_runs


def clip(machine, machine_id, label, index):
    name = f"{'anomaly' if label else 'normal'}_id_{machine_id}_{index:08d}.wav"
    return Clip(f"{machine}/test/{name}", name, machine, machine_id, "test", label, 1, 1)


@pytest.fixture
def config(tmp_path):
    return Config(result_directory=str(tmp_path / "result"))


def write(config, machine, machine_id, normal, anomalous):
    """Score files of one ID; the clips they are of."""
    scored = [(clip(machine, machine_id, 0, i), s) for i, s in enumerate(normal)] + [
        (clip(machine, machine_id, 1, i), s) for i, s in enumerate(anomalous)
    ]
    score_files.write_scores(
        Path(config.result_directory, f"anomaly_score_{machine}_id_{machine_id}.csv"),
        [ClipScore(c.name, s) for c, s in scored],
    )
    return [c for c, _ in scored]


def listing(machine, tmp_path, *groups):
    return Listing(machine, tmp_path, tuple(c for group in groups for c in group))


def test_result_csv_is_the_challenge_s_byte_for_byte(config, tmp_path):
    fan = listing(
        "fan", tmp_path, write(config, "fan", "00", [1, 3], [2, 4]), write(config, "fan", "02", [1, 2], [3, 4])
    )
    pump = listing("pump", tmp_path, write(config, "pump", "04", [3, 4], [1, 2]))
    official_files.evaluate_runs(machine_runs(config, [fan, pump], "dev"), keep=False)
    # id 00: AUC 3/4; up to a rate of 0.1 the curve is at 1/2: area 0.05, chance 0.005, (1 + 0.045 / 0.095) / 2.
    partial = (1 + (0.05 - 0.005) / (0.1 - 0.005)) / 2
    text = Path(config.result_directory, config.result_file).read_text()
    rows = [line.split(",") for line in text.splitlines()]
    assert rows == [
        ["fan"],
        ["id", "AUC", "pAUC"],
        ["00", "0.75", rows[2][2]],
        ["02", "1.0", "1.0"],
        ["Average", "0.875", rows[4][2]],
        [""],
        ["pump"],
        ["id", "AUC", "pAUC"],
        ["04", "0.0", rows[8][2]],
        ["Average", "0.0", rows[9][2]],
        [""],
    ]
    assert float(rows[2][2]) == pytest.approx(partial)
    assert float(rows[4][2]) == pytest.approx((partial + 1) / 2)
    assert text.endswith("\n\n")
    assert "\r" not in text


def test_an_id_without_both_classes_is_undefined_not_zero(config, tmp_path):
    fan = listing(
        "fan",
        tmp_path,
        write(config, "fan", "00", [1, 2], [3, 4]),
        write(config, "fan", "02", [1, 2], []),
        write(config, "fan", "04", [], [1]),
    )
    (result,) = official_files.evaluate_runs(machine_runs(config, [fan], "dev"), keep=False)
    assert [row.auc for row in result.ids[:1]] == [1.0]
    assert all(math.isnan(row.auc) and math.isnan(row.pauc) for row in result.ids[1:])
    assert result.auc == 1.0  # the mean of what is defined
    assert "02,nan,nan\n" in Path(config.result_directory, config.result_file).read_text()
    table = evaluate.table([result])
    assert "n/a" in table
    assert "undefined: fan id 02, fan id 04" in table


def test_the_table_has_plain_and_weighted_means(config, tmp_path):
    small = listing("fan", tmp_path, write(config, "fan", "00", [1], [2]))
    large = listing("pump", tmp_path, write(config, "pump", "00", [2, 2, 2], [1, 1, 1]))
    lines = evaluate.table(
        official_files.evaluate_runs(machine_runs(config, [small, large], "dev"), keep=False)
    ).splitlines()
    assert lines[-2].split()[:3] == ["all", "mean", "50.00"]
    assert lines[-1].split()[:3] == ["all", "weighted", "25.00"]


@pytest.mark.parametrize("on_bad_clip", ["error", "skip"])
def test_a_clip_without_score_is_never_passed_over(config, tmp_path, on_bad_clip):
    """Also when skipping: only what the cache says was left out may lack a score."""
    config = Config(result_directory=config.result_directory, on_bad_clip=on_bad_clip)
    group = write(config, "fan", "00", [1, 2], [3, 4])
    fan = listing("fan", tmp_path, [*group, clip("fan", "00", 1, 77)])
    with pytest.raises(
        DataError, match=r"1 missing, 0 others, such as anomaly_id_00_00000077\.wav\); run `ganad score`"
    ):
        official_files.evaluate_runs(machine_runs(config, [fan], "dev"), keep=False)


def test_scores_of_other_clips_are_refused(config, tmp_path):
    group = write(config, "fan", "00", [1, 2], [3, 4])
    with pytest.raises(DataError, match="0 missing, 1 others"):
        official_files.evaluate_runs(machine_runs(config, [listing("fan", tmp_path, group[:-1])], "dev"), keep=False)


def test_missing_score_files_say_what_to_run(config, tmp_path):
    with pytest.raises(DataError, match="Run `ganad score` first"):
        official_files.evaluate_runs(
            machine_runs(config, [listing("fan", tmp_path, [clip("fan", "00", 0, 0)])], "dev"), keep=False
        )


def test_unlabelled_clips_can_t_be_evaluated(config, tmp_path):
    unlabelled = Clip("fan/test/id_00_00000000.wav", "id_00_00000000.wav", "fan", "00", "test", None, 1, 1)
    with pytest.raises(DataError, match="there is nothing to evaluate"):
        official_files.evaluate_runs(machine_runs(config, [listing("fan", tmp_path, [unlabelled])], "dev"), keep=False)


@pytest.mark.parametrize("content", [b"\xff\xfe", b'"' + b"0" * 200_000])
def test_a_result_file_that_cannot_be_read_is_not_replaced(config, tmp_path, content):
    """Its other machine types are kept only if it can be read."""
    group = write(config, "fan", "00", [1, 2], [3, 4])
    table = Path(config.result_directory, "result.csv")
    table.write_bytes(content)
    runs = machine_runs(config, [listing("fan", tmp_path, group)], "dev")
    with pytest.raises(DataError, match=r"Can't read the results in .*result\.csv"):
        official_files.evaluate_runs(runs, keep=True)
    assert table.read_bytes() == content
