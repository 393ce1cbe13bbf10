import csv
import math

import numpy as np
import pytest

from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results import compare, published, score_files
from ganad_tf.results.compare import System
from ganad_tf.results.evaluate import Areas


def write_result(directory, **machines):
    """A result file in the layout of the challenge's baseline."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = []
    for machine, (auc, pauc) in machines.items():
        lines += [machine, "id,AUC,pAUC", f"00,{auc},{pauc}", f"Average,{auc},{pauc}", ""]
    (directory / "result.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("name", published.TABLE_7)
def test_the_paper_s_rows_give_the_paper_s_weighted_means(name):
    (system,) = [system for system in compare.published_systems() if system.name == f"{name} (paper)"]
    mean, _ = compare.weighted_mean(system.areas)
    assert (round(mean.auc, 2), round(mean.pauc, 2)) == published.TABLE_6[name]


@pytest.mark.parametrize(("name", "printed"), [("DCASE", 6.31), ("EGBAD", 14.12), ("GMADE", 7.18)])
def test_the_deviation_is_the_paper_s_where_its_table_agrees_with_itself(name, printed):
    areas = {machine: Areas(*pair) for machine, pair in published.TABLE_7[name].items()}
    assert compare.weighted_mean(areas)[1].auc == pytest.approx(printed, abs=0.006)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("DCASE (its README)", 66.7),
        ("IDNN (AE-ASD)", 68.8),
        ("GANomaly (paper)", 81.0),
        ("SKIP-GANomaly (paper)", 80.9),
        ("GMADE (paper)", 86.3),
        ("STgram-MFN (its README)", 89.4),
        ("AEGAN-AD (its README)", 80.4),
    ],
)
def test_published_systems_on_the_one_scale_that_all_have(name, printed):
    (system,) = [system for system in compare.published_systems() if system.name == name]
    of_machines = system.means_of_both or {machine: np.mean(areas) for machine, areas in system.areas.items()}
    assert list(of_machines) == list(published.MACHINES)
    assert np.mean(list(of_machines.values())) == pytest.approx(printed, abs=0.06)


def test_a_published_row_that_test_labels_chose_adds_no_column_and_is_named_so_in_the_bars():
    ours = System("ours", "measured", ({"fan": Areas(90.0, 80.0)},))
    systems = [*compare.published_systems(), ours]
    assert compare.table(systems)[0][4:-2] == ["fan"]
    panel = compare.bars(systems)["fan"]
    assert [name for name in panel if "oracle" in name] == ["STgram-MFN (its README), oracle"]


def test_the_weighted_mean_by_hand():
    areas = {"fan": Areas(60.0, 50.0), "valve": Areas(90.0, 80.0), "lathe": Areas(0.0, 0.0)}
    mean, deviation = compare.weighted_mean(areas)  # weights 1875 and 879; the paper has no lathe
    assert mean.auc == pytest.approx((60 * 1875 + 90 * 879) / 2754)
    assert deviation.auc == pytest.approx(30 * math.sqrt(1875 * 879) / 2754)
    assert math.isnan(compare.weighted_mean({"lathe": Areas(1.0, 1.0)})[0].auc)


def test_seeds_are_averaged_and_their_deviation_stands_beside(tmp_path):
    for seed, auc in enumerate((0.80, 0.82, 0.87)):
        write_result(tmp_path / str(seed), fan=(auc, 0.6), pump=(0.9, 0.7))
    listed = ",".join(str(tmp_path / str(seed)) for seed in range(3))
    (system,) = compare.read_systems([f"ours={listed}"])
    assert system.areas["fan"] == pytest.approx((83.0, 60.0))
    assert system.deviation("fan").auc == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    head, row = compare.table([system])
    assert head == [
        "system",
        "origin",
        "labels",
        "seeds",
        "fan",
        "pump",
        "mean",
        "weighted mean ± deviation over machines",
    ]
    assert row[:5] == ["ours", "measured", "none", "3", "83.00 ± 3.61 / 60.00 ± 0.00"]
    assert row[6] == "86.50 ± 1.80 / 65.00 ± 0.00"  # of 85, 86 and 88.5


def test_the_paper_s_score_is_a_row_of_its_own(tmp_path):
    write_result(tmp_path / "gan", fan=(0.9, 0.8))
    write_result(tmp_path / "gan" / "paper", fan=(0.6, 0.5))
    names = [system.name for system in compare.read_systems([str(tmp_path / "gan")])]
    assert names == ["gan", "gan, paper's score"]


def test_the_best_of_all_is_called_an_oracle(tmp_path):
    first = System("a", "measured", ({"fan": Areas(90.0, 60.0), "pump": Areas(70.0, 60.0)},))
    second = System("b", "measured", ({"fan": Areas(80.0, 80.0), "pump": Areas(75.0, 50.0)},))
    best = compare.best_system([first, second])
    assert best.origin == "oracle"
    assert best.areas == {"fan": Areas(90.0, 60.0), "pump": Areas(75.0, 50.0)}
    compare.write(tmp_path, [first, second, best])
    with (tmp_path / "comparison.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["origin"] for row in rows if "oracle" in row["system"]} == {"oracle"}
    assert [row["AUC"] for row in rows if row["system"] == "a"][:3] == ["90.0000", "70.0000", "80.0000"]
    lines = (tmp_path / "comparison.md").read_text().splitlines()
    assert len({line.count("|") for line in lines[:5]}) == 1
    assert lines[5:] == ["", compare.NOTE]


def test_both_means_are_over_the_machines_that_were_measured():
    ours = System("ours", "measured", ({"ToyCar": Areas(98.0, 90.0)},))
    rows = {row[0]: row[4:] for row in compare.table([*compare.published_systems(), ours])}
    assert rows["system"][0] == "ToyCar"
    assert rows["GANomaly (paper)"] == ["91.00 / 78.10", "91.00 / 78.10", "91.00 ± 0.00 / 78.10 ± 0.00"]
    assert rows["ours"] == ["98.00 / 90.00", "98.00 / 90.00", "98.00 ± 0.00 / 90.00 ± 0.00"]


def test_a_machine_that_the_paper_lacks_has_no_weight():
    ours = System("ours", "measured", ({"my_fan": Areas(98.0, 90.0), "fan": Areas(90.0, 80.0)},))
    rows = {row[0]: row[4:] for row in compare.table([*compare.published_systems(), ours])}
    assert rows["ours"] == ["90.00 / 80.00", "98.00 / 90.00", "94.00 / 85.00", ""]
    assert rows["GANomaly (paper)"] == ["91.00 / 80.00", "", "", ""]
    assert "mean" in compare.bars([ours])


def test_labels_and_what_was_chosen_by_test_labels_stand_beside(tmp_path):
    write_result(tmp_path / "ids", fan=(0.9, 0.8), ToyConveyor=(0.9, 0.7))
    origin = {"settings": {}, "takes_machine_ids": True}
    score_files.write_origin(tmp_path / "ids" / "score_origin_dev_fan.json", origin)
    systems = [*compare.read_systems([str(tmp_path / "ids")]), *compare.published_systems()]
    rows = {row[0]: row[1:] for row in compare.table(systems)}
    assert rows["ids"][:4] == ["measured", "machine ID", "1", "90.00 / 80.00"]
    assert rows["GMADE (paper)"][:2] == ["published", "machine ID"]
    assert rows["GANomaly (paper)"][:2] == ["published", "none"]
    assert rows["AEGAN-AD (its README)"] == ["published (oracle)", "none", "", "(77.01)", "(73.27)", "(75.14)", ""]
    assert rows["STgram-MFN (its README)"][:5] == [
        "published (oracle)",
        "machine ID",
        "",
        "94.04 / 88.97",
        "74.57 / 63.60",
    ]
    compare.write(tmp_path, systems)
    with (tmp_path / "comparison.csv").open(newline="") as stream:
        of_both = {(row["system"], row["machine"]): row["mean of AUC and pAUC"] for row in csv.DictReader(stream)}
    assert of_both["ids", "fan"] == "85.0000"
    assert of_both["AEGAN-AD (its README)", "pump"] == "81.2600"


def test_a_paper_s_score_left_from_another_detector_is_no_row(tmp_path):
    for folder, seed in ((tmp_path / "gan", 1), (tmp_path / "gan" / "paper", 0)):
        write_result(folder, fan=(0.9, 0.8))
        score_files.write_origin(folder / "score_origin_dev_fan.json", {"settings": {"seed": seed}})
    assert [system.name for system in compare.read_systems([str(tmp_path / "gan")])] == ["gan"]


def test_a_bar_in_a_name_begins_no_cell():
    head, line, row = compare.markdown([["system", "fan"], ["a|b", "1"]]).splitlines()
    assert (head, line, row) == ("| system | fan |", "|---|---|", r"| a\|b | 1 |")


def test_a_directory_may_have_an_equals_sign_and_a_file_no_last_line(tmp_path):
    write_result(tmp_path / "lr=0.1", fan=(0.9, 0.8), pump=(0.7, 0.6))
    path = tmp_path / "lr=0.1" / "result.csv"
    path.write_text(path.read_text().rstrip())
    (system,) = compare.read_systems([str(tmp_path / "lr=0.1")])
    assert (system.name, list(system.areas)) == ("lr=0.1", ["fan", "pump"])
    path.write_bytes(b"f\xe4n\n")
    with pytest.raises(DataError, match="Can't read the results"):
        compare.read_systems([str(tmp_path / "lr=0.1")])


def test_what_can_t_be_compared_is_refused(tmp_path):
    write_result(tmp_path / "a" / "result", fan=(0.9, 0.8))
    write_result(tmp_path / "b" / "result", pump=(0.9, 0.8))
    a, b = (str(tmp_path / name / "result") for name in "ab")
    with pytest.raises(ConfigError, match="'result' twice; say NAME=DIR"):
        compare.read_systems([a, b])
    with pytest.raises(ConfigError, match="same machine types"):
        compare.read_systems([f"x={a},{b}"])
    with pytest.raises(DataError, match="Expected a result file"):
        compare.read_systems([str(tmp_path)])
    (tmp_path / "a" / "result" / "result.csv").write_text("fan\nid,AUC,pAUC\n00,0.5,0.5\n\n")
    with pytest.raises(DataError, match="Average,AUC,pAUC"):
        compare.read_systems([a])
