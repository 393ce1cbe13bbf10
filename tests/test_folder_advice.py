"""What `ganad list FOLDER` and `ganad run FOLDER` make of trees and names that users have, and what they say."""

import pytest
from test_groups import groups_of, listings, numbered, write

from ganad_tf.errors import DataError


def takes(*endings, stems=("take00", "take01", "take02")):
    return [f"fan/normal/{stem}{ending}.wav" for stem in stems for ending in endings]


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        (takes("_L", "_R"), {"take00", "take01", "take02"}),
        (takes("_left", "_right"), {"take00", "take01", "take02"}),
        ([f"fan/normal/mon/ch{n}_take0{k}.wav" for n in (1, 2) for k in range(3)], {f"mon/take0{k}" for k in range(3)}),
        (takes("_000", "_010", "_020"), {"take00", "take01", "take02"}),
        (takes("_0-10", "_10-20", "_20-25"), {"take00", "take01", "take02"}),
        (takes(" (1)", " (2)"), {"take00", "take01", "take02"}),
        (takes("_part1of4", "_part2of4"), {"take00", "take01", "take02"}),
        (takes("_out001", "_out002"), {"take00", "take01", "take02"}),
        (takes("a", "b", "c"), {"take00", "take01", "take02"}),
        # Machines, speeds, loads, angles, dates and times of day are no parts of recordings.
        (takes("a", "b", stems=("pump1", "pump2")), {""}),
        (takes("_000", "_090", "_180", "_270", stems=("open", "shut")), {""}),
        (takes("-02-04", "-03-06", "-01-02", stems=("2025", "2026")), {""}),
        (takes("_10-20", "_11-22", stems=("mon", "tue")), {""}),
        (takes("_L", stems=("a", "b", "c")), {""}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_parts_of_recordings_by_their_names(tmp_path, files, groups):
    write(tmp_path, *files)
    assert set(groups_of(tmp_path / "fan").values()) == groups


def test_pieces_of_a_single_recording_are_mentioned(tmp_path):
    write(tmp_path / "one", *numbered("rec12", count=24))
    (listing,) = listings(tmp_path / "one" / "fan")
    assert "the 24 normal files, rec12_001 to rec12_024, may be pieces of one recording" in listing.note
    for name, files in {"series": numbered("clip", count=24), "two": numbered("rec1", "rec2", count=9)}.items():
        write(tmp_path / name, *files)
        (listing,) = listings(tmp_path / name / "fan")
        assert "may be pieces" not in listing.note


def test_individuals_as_machine_types_and_mimii_a_level_higher(tmp_path):
    files = [f"fan/id_{n:02d}/{label}/0.wav" for n in (0, 2) for label in ("normal", "abnormal")]
    write(tmp_path / "6_dB", *files)
    first, second = listings(tmp_path / "6_dB" / "fan")
    assert (first.machine, second.machine, second.note) == ("id_00", "id_02", "")
    assert "fan: each of the folders id_00, id_02 is taken as a machine type of its own" in first.note
    assert "set `--machine-type fan`" in first.note
    (fan,) = listings(tmp_path / "6_dB")
    assert (fan.machine, fan.note) == ("fan", "")
    write(tmp_path / "mimii" / "6_dB", *files)
    with pytest.raises(DataError, match=r"Folders such as 6_dB/fan/id_00 .*: take .*/mimii/6_dB, .*name: mimii"):
        listings(tmp_path / "mimii")


class TestFolders:
    def test_training_without_a_test(self, tmp_path):
        write(tmp_path, *(f"fan/train/{number}.wav" for number in range(10)))
        (fan,) = listings(tmp_path / "fan")
        assert [len(fan.clips_of(split)) for split in ("train", "test")] == [8, 2]
        assert (fan.machine, {clip.label for clip in fan.clips}) == ("fan", {0})
        assert "fan has no folder `test`" in fan.note
        assert [listing.machine for listing in listings(tmp_path)] == ["fan"]
        write(tmp_path / "toys", "train/normal/a.wav", "car/normal/a.wav")  # a toy train
        assert [listing.machine for listing in listings(tmp_path / "toys")] == ["car", "train"]

    def test_names_in_capitals(self, tmp_path):
        write(tmp_path, "fan/Normal/a.wav", "fan/Anomaly/b.wav", "fan/Calibration/c.wav", "pump/Train/a.wav")
        write(tmp_path, "pump/TEST/Normal/b.wav", "pump/TEST/Abnormal/c.wav")
        fan, pump = listings(tmp_path)
        kinds = {(clip.name, clip.split, clip.label) for clip in (*fan.clips, *pump.clips)}
        assert kinds == {
            ("Normal/a.wav", "train", 0),
            ("Anomaly/b.wav", "test", 1),
            ("Calibration/c.wav", "calibration", 0),
            ("Train/a.wav", "train", 0),
            ("TEST/Normal/b.wav", "test", 0),
            ("TEST/Abnormal/c.wav", "test", 1),
        }

    def test_a_folder_that_does_not_fit_is_called_one(self, tmp_path):
        write(tmp_path, "fan/normal/a.wav", "fan/anomalies/b.wav")
        with pytest.raises(
            DataError, match=r"^1 file or folder doesn't fit .*; move it, .*\n.*anomalies: expected only"
        ):
            listings(tmp_path / "fan")
