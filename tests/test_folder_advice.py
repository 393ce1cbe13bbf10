"""Trees and names that users have: what `ganad list FOLDER` and `ganad run FOLDER` make of them, and say."""

import io

import numpy as np
import pytest
import soundfile
from conftest import tone, write_wav
from test_groups import groups_of, listings, numbered, write

from ganad_tf import datasets
from ganad_tf.audio import lengths
from ganad_tf.config import Config, from_mapping
from ganad_tf.config.sections import Audio, Dataset
from ganad_tf.datasets import sample_rates
from ganad_tf.errors import DataError
from ganad_tf.run import machine_runs
from ganad_tf.serving.models.audio_format import AudioFormat
from ganad_tf.serving.predict import client
from ganad_tf.storage import placeholders
from ganad_tf.storage.store import Stored


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
        (takes("-02-04", "-04-06", "-01-02", stems=("2025", "2026")), {""}),
        (takes("_10-20", "_22-33", stems=("mon", "tue")), {""}),
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


def test_recordings_that_are_resampled_beside_others_are_named(tmp_path):
    for index, rate in enumerate((8000, 8000, 16000, 22050)):
        write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", tone(0.1, seed=index), rate)
    write_wav(tmp_path / "pump" / "normal" / "0.wav", tone(0.1), 48000)

    def lines_with(**audio):
        config = Config(dev_directory=str(tmp_path), dataset=Dataset("folder"), audio=Audio(**audio))
        runs = machine_runs(config, datasets.list_clips(config, "dev"), "dev")
        return [line for run in runs for line in sample_rates.lines(run)]

    assert lines_with(resample=True) == [
        "fan: 2 of 4 recordings are at 8000 Hz and resampled to 16000 Hz; they have nothing above 4 kHz.",
        "fan: 1 of 4 recordings is at 22050 Hz and resampled to 16000 Hz.",
    ]
    assert lines_with(resample=True, sample_rate=96000)[-1] == (
        "pump: 1 of 1 recordings is at 48000 Hz and resampled to 96000 Hz; they have nothing above 24 kHz."
    )
    assert lines_with() == []


def test_a_client_judges_each_channel_as_a_clip(tmp_path):
    path = write_wav(tmp_path / "a.wav", np.stack([np.full(40000, value, np.int16) for value in (1, 2, 3)], axis=1))
    clip_format, sent = AudioFormat(Audio(channel="all", clip_seconds=2), 2048), []

    def ask(signature, inputs):
        if signature == "audio_format":
            return {name: [value] for name, value in clip_format.as_numbers().items()}
        sent.append(soundfile.read(io.BytesIO(inputs["wav_bytes"][0]), dtype="int16")[0][0])
        return {"anomaly_score": [1.0], "is_anomaly": [False], "threshold": [2.0]}

    found = [row.file for row in client.predict(ask, [path])]
    assert found == [f"{path}#ch{channel}#{span}s" for channel in range(3) for span in ("0-2", "0.5-2.5")]
    assert sorted(sent) == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("n_normal", "settings", "sentence"),
    [
        (3, {}, r"Received: 2; add recordings \(1 of the 3 normal clips is for the test; 4 in all are enough\)\."),
        (1, {}, r"Received: 1; add recordings \(4 in all are enough\)\."),
        (
            12,
            {"threshold": {"method": "conformal", "false_alarms": 0.05, "confidence": 0.95}},
            r"^fan: Expected at least 59 normal clips .*confidence: 0\.95`\. Received: 10; add recordings, or set at",
        ),
    ],
)
def test_too_few_recordings_are_refused_before_the_training(tmp_path, n_normal, settings, sentence):
    from ganad_tf.cli import folders

    write(tmp_path, *(f"fan/normal/{number}.wav" for number in range(n_normal)))
    scorer = {"name": "density", "density": "knn", "neighbors": 2}
    mapping = {"dev_directory": str(tmp_path / "fan"), "dataset": {"name": "folder"}, "scorer": scorer, **settings}
    config = from_mapping(mapping | {"model_directory": str(tmp_path / "model")}, source="test")
    with pytest.raises(DataError, match=sentence):
        folders._check(machine_runs(config, datasets.list_clips(config, "dev"), "dev"), fresh=False)


def test_pieces_of_too_few_recordings_are_refused_before_the_training(tmp_path):
    from ganad_tf.cli import folders

    names = [f"rec{recording:02}_{piece:03}.wav" for recording in range(8) for piece in range(4)]
    write(tmp_path, *(f"fan/normal/{name}" for name in names))
    mapping = {
        "dev_directory": str(tmp_path / "fan"),
        "dataset": {"name": "folder", "folder": {"test_split": 0.25}},
        "threshold": {"method": "conformal", "false_alarms": 0.05},
        "model_directory": str(tmp_path / "model"),
    }
    config = from_mapping(mapping, source="test")
    with pytest.raises(
        DataError, match=r"^fan: Expected at least 19 normal recordings .*Received: 6 \(24 clips\); add"
    ):
        folders._check(machine_runs(config, datasets.list_clips(config, "dev"), "dev"), fresh=False)


def test_files_in_an_object_store_are_not_fetched_for_a_remark(tmp_path):
    here = write_wav(tmp_path / "here.wav", tone(0.1))
    there = tmp_path / "there.wav"
    placeholders.make(there, Stored(5000, "", 10**18))
    assert lengths.in_headers(lengths.sample_rate, [here]) == [16000]
    assert lengths.in_headers(lengths.sample_rate, [here, there]) == []
    assert placeholders.is_placeholder(there)
