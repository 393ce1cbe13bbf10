import dataclasses
import logging

import numpy as np
import pytest
import soundfile
from conftest import tone, write_machine, write_wav

from ganad_tf import datasets
from ganad_tf.cache import manifest
from ganad_tf.clips import Clip
from ganad_tf.config import Config
from ganad_tf.config.sections import Dataset, FolderData, SyntheticData
from ganad_tf.datasets import synthetic
from ganad_tf.datasets.identical import identical_files
from ganad_tf.datasets.synthetic_machines import MACHINES
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results.metrics import auc
from ganad_tf.run import MachineRun


def listed(root, mode="dev", machines=(), **settings):
    config = Config(dev_directory=str(root), eval_directory=str(root), **settings)
    listings = datasets.list_clips(config, mode, machines)
    datasets.refuse_foreign([MachineRun(config, listing, mode) for listing in listings])
    return listings


def folder_config(**settings):
    return Dataset("folder", folder=FolderData(**settings))


class TestDcase2020:
    def test_development_layout(self, tmp_path):
        write_machine(tmp_path, "fan", ids=("00", "06"), n_train=3, n_test=2)
        write_machine(tmp_path, "ToyCar", ids=("01",), n_train=2, n_test=1)
        toy_car, fan = listed(tmp_path)
        assert (toy_car.machine, fan.machine) == ("ToyCar", "fan")
        kinds = [(clip.machine_id, clip.split, clip.label) for clip in fan.clips]
        expected = {("train", 0): 3, ("test", 0): 2, ("test", 1): 2}
        assert {key: kinds.count(key) for key in set(kinds)} == {
            (i, *kind): n for i in ("00", "06") for kind, n in expected.items()
        }
        clip = toy_car.clips[0]
        assert (clip.file, clip.name) == ("ToyCar/train/normal_id_01_00000000.wav", "normal_id_01_00000000.wav")
        assert clip.size == (tmp_path / clip.file).stat().st_size

    def test_evaluation_layout(self, tmp_path):
        write_wav(tmp_path / "fan/test/id_01_00000000.wav", tone())
        write_wav(tmp_path / "fan/test/id_01_00000001.wav", tone())
        (listing,) = listed(tmp_path, "eval")
        assert [(clip.name, clip.label) for clip in listing.clips] == [
            ("id_01_00000000.wav", None),
            ("id_01_00000001.wav", None),
        ]

    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("fan/train/anomaly_id_00_00000000.wav", "normal_id_00_00000000.wav"),
            ("fan/train/normal_id_0_00000000.wav", "normal_id_00_00000000.wav"),
            ("fan/test/normal_id_00_0000000a.wav", "anomaly_id_00_00000000.wav"),
            ("fan/test/normal_id_00_00000009.flac", "anomaly_id_00_00000000.wav"),
            ("fan/test/notes.txt", "anomaly_id_00_00000000.wav"),
            ("fan/extra/normal_id_00_00000000.wav", "only the folders `train` and `test`"),
        ],
    )
    def test_a_name_that_does_not_fit_is_refused_or_left_out(self, tmp_path, file, expected):
        write_machine(tmp_path, "fan")
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(b"x")
        with pytest.raises(DataError, match=expected) as raised:
            listed(tmp_path)
        assert str((tmp_path / file).parent) in str(raised.value)
        (listing,) = listed(tmp_path, on_bad_clip="skip")
        assert file not in {clip.file for clip in listing.clips}

    def test_all_misfits_are_named_at_once(self, tmp_path):
        write_machine(tmp_path, "fan")
        for name in ("a.wav", "b.wav"):
            (tmp_path / "fan" / "test" / name).write_bytes(b"x")
        with pytest.raises(DataError, match=r"2 files or folders don't fit(?s:.*)a\.wav(?s:.*)b\.wav"):
            listed(tmp_path)

    def test_hidden_files_are_nobody_s_business(self, tmp_path):
        write_machine(tmp_path, "fan")
        (tmp_path / "fan" / "test" / ".DS_Store").write_bytes(b"x")
        assert len(listed(tmp_path)[0].clips) == 24

    def test_real_recordings(self, real_data):
        listings = listed(real_data / "dcase2020" / "dev_data")
        assert [listing.machine for listing in listings] == ["ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve"]
        slider = listings[4]
        assert (len(slider.clips_of("train")), len(slider.clips_of("test"))) == (75, 20)


class TestFolder:
    def test_a_folder_is_a_machine(self, tmp_path):
        for index in range(10):
            write_wav(tmp_path / "my fan" / "normal" / f"monday {index}.wav", tone(seed=index))
        write_wav(tmp_path / "my fan" / "anomaly" / "friday.flac", tone())
        (listing,) = listed(tmp_path / "my fan", dataset=folder_config(test_split=0.3))
        assert listing.machine == "my fan"
        assert (len(listing.clips_of("train")), len(listing.clips_of("test"))) == (7, 4)
        assert {clip.label for clip in listing.clips_of("train")} == {0}
        assert [clip.name for clip in listing.clips if clip.label == 1] == ["anomaly/friday.flac"]

    def test_the_choice_of_test_clips_does_not_depend_on_dates_or_order(self, tmp_path):
        for index in range(20):
            write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", tone(seed=index))
        before = {clip.name for clip in listed(tmp_path / "fan", dataset=folder_config())[0].clips_of("test")}
        for index in range(20):
            write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", tone(seed=100 + index))
        assert {clip.name for clip in listed(tmp_path / "fan", dataset=folder_config())[0].clips_of("test")} == before
        assert before == {f"normal/{index}.wav" for index in (0, 1, 11, 17)}  # as it has always been

    def test_the_same_recording_is_never_in_training_and_in_the_test(self, tmp_path):
        """Clips 0, 1, 11 and 17 are held out; 0 is in training under another name, 11 and 17 are one recording."""
        for index in range(20):
            write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", tone(seed={0: 2, 17: 11}.get(index, index)))
        (listing,) = listed(tmp_path / "fan", dataset=folder_config())
        assert {clip.name for clip in listing.clips_of("test")} == {f"normal/{index}.wav" for index in (1, 11, 17)}
        assert len(listing.clips_of("train")) == 17

    def test_recordings_that_are_all_the_same_are_all_for_training(self, tmp_path):
        for index in range(5):
            write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", tone())
        (listing,) = listed(tmp_path / "fan", dataset=folder_config())
        assert (len(listing.clips_of("train")), len(listing.clips_of("test"))) == (5, 0)

    def test_folders_in_the_folder(self, tmp_path):
        """Recorders make one per day and begin to count anew in each."""
        names = [f"2026-11-{day:02d}/{index:04d}.wav" for day in range(1, 6) for index in range(4)]
        for number, name in enumerate(names):
            write_wav(tmp_path / "fan" / "normal" / name, tone(seed=number))
        write_wav(tmp_path / "fan" / "normal" / "first.wav", tone(seed=99))
        write_wav(tmp_path / "fan" / "anomaly" / "bearing" / "outer" / "1.flac", tone(hz=2000))
        (listing,) = listed(tmp_path / "fan", dataset=folder_config())
        assert sorted(clip.name for clip in listing.clips if clip.label == 0) == sorted(
            [*(f"normal/{name}" for name in names), "normal/first.wav"]
        )
        assert [clip.name for clip in listing.clips if clip.label == 1] == ["anomaly/bearing/outer/1.flac"]
        held_out = [clip.name for clip in listing.clips_of("test") if clip.label == 0]
        assert len(held_out) == 4
        assert len({name.rpartition("/")[2] for name in held_out}) > 1  # not one number of every day

    def test_folders_of_new_recordings(self, tmp_path):
        write_wav(tmp_path / "new" / "fan" / "2026-11-01" / "a.wav", tone())
        write_wav(tmp_path / "new" / "fan" / "b.wav", tone())
        (listing,) = listed(tmp_path / "new", "eval", dataset=folder_config())
        assert (listing.machine, [clip.name for clip in listing.clips]) == ("fan", ["2026-11-01/a.wav", "b.wav"])

    def test_a_folder_that_links_to_itself_is_gone_through_once(self, tmp_path):
        write_wav(tmp_path / "fan" / "normal" / "2026" / "a.wav", tone())
        (tmp_path / "fan" / "normal" / "2026" / "all").symlink_to(tmp_path / "fan" / "normal")
        (listing,) = listed(tmp_path / "fan", dataset=folder_config())
        assert [clip.name for clip in listing.clips] == ["normal/2026/a.wav"]

    @pytest.mark.parametrize("above", [False, True], ids=["the machine", "the folder of machines"])
    def test_recordings_that_lie_flat_are_the_normal_ones_and_that_is_said(self, tmp_path, caplog, above):
        caplog.set_level(logging.INFO, logger="ganad_tf")
        for index in range(10):
            write_wav(tmp_path / "data" / "fan" / f"{index}.wav", tone(seed=index))
        write_wav(tmp_path / "data" / "fan" / "abnormal" / "bad.wav", tone(hz=2000))
        folder = tmp_path / "data" if above else tmp_path / "data" / "fan"
        (listing,) = listed(folder, dataset=folder_config())
        assert listing.machine == "fan"
        assert {clip.name for clip in listing.clips if clip.label == 0} == {f"{index}.wav" for index in range(10)}
        assert [clip.name for clip in listing.clips if clip.label] == ["abnormal/bad.wav"]
        assert len(listing.clips_of("train")) == 8
        assert "fan has no folder `normal`: the 10 recordings in it are taken as normal." in caplog.text

    def test_beside_a_folder_normal_recordings_are_foreign(self, tmp_path):
        for name in ("a.wav", "normal/b.wav"):
            write_wav(tmp_path / "fan" / name, tone())
        with pytest.raises(DataError, match=r"a\.wav: expected only the folders `normal`"):
            listed(tmp_path / "fan", dataset=folder_config())

    def test_a_recording_beside_the_machines_makes_no_machine(self, tmp_path):
        for name in ("a.wav", "fan/normal/b.wav", "pump/c.wav"):
            write_wav(tmp_path / "data" / name, tone())
        listings = listed(tmp_path / "data", dataset=folder_config())
        assert [(listing.machine, len(listing.clips)) for listing in listings] == [("fan", 1), ("pump", 1)]

    def test_a_foreign_file_deep_down_is_refused(self, tmp_path):
        write_wav(tmp_path / "fan" / "normal" / "2026" / "a.wav", tone())
        (tmp_path / "fan" / "normal" / "2026" / "log.txt").write_text("x")
        with pytest.raises(DataError, match=r"2026/log\.txt: expected a recording"):
            listed(tmp_path / "fan", dataset=folder_config())

    def test_several_folders_are_several_machines(self, tmp_path):
        for machine in ("left", "right"):
            write_wav(tmp_path / machine / "normal" / "a.wav", tone())
        assert [listing.machine for listing in listed(tmp_path, dataset=folder_config())] == ["left", "right"]

    def test_every_format_of_soundfile_is_listed(self, tmp_path):
        names = ("a.wav", "b.FLAC", "c.ogg", "d.mp3", "e.aiff", "f.au", "g.w64", "h.caf")
        for name in names:
            (tmp_path / "fan" / "normal").mkdir(parents=True, exist_ok=True)
            (tmp_path / "fan" / "normal" / name).write_bytes(b"x")
        (listing,) = listed(tmp_path / "fan", dataset=folder_config())
        assert sorted(clip.name for clip in listing.clips) == sorted(f"normal/{name}" for name in names)

    def test_a_foreign_file_is_refused(self, tmp_path):
        write_wav(tmp_path / "fan" / "normal" / "a.wav", tone())
        (tmp_path / "fan" / "normal" / "log.txt").write_text("x")
        with pytest.raises(DataError, match=r"log\.txt: expected a recording"):
            listed(tmp_path / "fan", dataset=folder_config())

    def test_a_link_is_the_machine_that_it_is_called(self, tmp_path):
        write_wav(tmp_path / "archive" / "v1" / "normal" / "a.wav", tone())
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "pump").symlink_to(tmp_path / "archive" / "v1")
        (listing,) = listed(tmp_path / "data", dataset=folder_config())
        assert listing.machine == "pump"

    def test_the_folder_that_one_is_in(self, tmp_path, monkeypatch):
        write_wav(tmp_path / "my_fan" / "normal" / "a.wav", tone())
        monkeypatch.chdir(tmp_path / "my_fan")
        outside = {name: f"../{name}" for name in ("cache_directory", "model_directory", "result_directory")}
        (listing,) = listed(".", dataset=folder_config(), **outside)
        assert listing.machine == "my_fan"
        with pytest.raises(ConfigError, match="`cache_directory` outside of `dev_directory`"):
            listed(".", dataset=folder_config())

    def test_a_stray_file_does_not_make_a_machine(self, tmp_path):
        write_wav(tmp_path / "new" / "fan" / "a.wav", tone())
        (tmp_path / "new" / "README.txt").write_text("x")
        assert [listing.machine for listing in listed(tmp_path / "new", "eval", dataset=folder_config())] == ["fan"]

    def test_new_recordings_are_unlabelled(self, tmp_path):
        write_wav(tmp_path / "new" / "fan" / "a.wav", tone())
        write_wav(tmp_path / "new" / "fan" / "b.wav", tone())
        (listing,) = listed(tmp_path / "new", "eval", dataset=folder_config())
        assert [(clip.name, clip.split, clip.label) for clip in listing.clips] == [
            ("a.wav", "test", None),
            ("b.wav", "test", None),
        ]

    def test_mimii_layout_and_its_repeated_names(self, real_data):
        (listing,) = listed(real_data / "mimii" / "fan", dataset=folder_config(test_split=0.5))
        assert listing.machine == "id_00"
        names = [clip.name for clip in listing.clips]
        assert sorted(names) == [
            "abnormal/00000000.wav",
            "abnormal/00000001.wav",
            "normal/00000000.wav",
            "normal/00000001.wav",
        ]


class TestSynthetic:
    SMALL = SyntheticData(n_ids=1, n_train=1, n_normal=1, n_anomaly=3, seconds=1)

    def test_writes_real_wav_files_in_the_challenge_s_layout(self, tmp_path):
        assert synthetic.write(tmp_path / "data", self.SMALL)
        listings = listed(tmp_path / "data", dataset=Dataset("synthetic"))
        assert [listing.machine for listing in listings] == ["ToyCar", "ToyConveyor", "fan", "pump", "slider", "valve"]
        assert all(len(listing.clips) == 5 for listing in listings)
        info = soundfile.info(tmp_path / "data" / listings[0].clips[0].file)
        assert (info.samplerate, info.frames, info.subtype) == (16000, 16000, "PCM_16")

    def test_same_seed_same_bytes(self, tmp_path):
        for name in ("a", "b"):
            synthetic.write(tmp_path / name, self.SMALL)
        synthetic.write(tmp_path / "c", dataclasses.replace(self.SMALL, seed=1))
        files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").glob("*/*/*.wav"))
        assert len(files) == 30
        for file in files:
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
            assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes()

    def test_is_written_once_and_never_over_other_files(self, tmp_path):
        synthetic.write(tmp_path / "data", self.SMALL)
        assert not synthetic.write(tmp_path / "data", self.SMALL)
        with pytest.raises(DataError, match="made with other settings"):
            synthetic.write(tmp_path / "data", dataclasses.replace(self.SMALL, seed=1))
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "precious.wav").write_bytes(b"x")
        with pytest.raises(DataError, match="holds other files"):
            synthetic.write(tmp_path / "mine", self.SMALL)
        with pytest.raises(DataError, match="Received: the file"):
            synthetic.write(tmp_path / "mine" / "precious.wav", self.SMALL)
        assert (tmp_path / "mine" / "precious.wav").read_bytes() == b"x"

    @pytest.mark.parametrize("machine", MACHINES)
    def test_level_alone_does_not_tell_a_fault(self, machine):
        settings = SyntheticData(seconds=1)
        faults = MACHINES[machine][1]
        labels, levels = [], []
        for index in range(120):
            fault = faults[index % 3] if index % 2 else None
            samples = synthetic.recording(machine, index % 3, fault, (9, index), settings)
            labels.append(int(fault is not None))
            levels.append(np.mean(samples**2))
        assert 0.35 < auc(labels, levels) < 0.65

    @pytest.mark.parametrize(
        ("machine", "fault"), [(machine, fault) for machine, (_, faults) in MACHINES.items() for fault in faults]
    )
    def test_a_fault_changes_the_sound(self, machine, fault):
        settings = SyntheticData(seconds=2, snr_db=60)

        def spectrum(fault, index):
            samples = synthetic.recording(machine, 0, fault, (1, index), settings)
            power = np.abs(np.fft.rfft(samples / np.sqrt(np.mean(samples**2)))) ** 2
            return 10 * np.log10(np.add.reduceat(power, np.geomspace(20, 15999, 24).astype(int)) + 1e-9)

        healthy = np.array([spectrum(None, index) for index in range(12)])
        broken = np.array([spectrum(fault, index) for index in range(12, 24)])
        spread = healthy.std(axis=0) + broken.std(axis=0) + 0.1
        assert np.max(np.abs(healthy.mean(axis=0) - broken.mean(axis=0)) / spread) > 0.7

    def test_the_fault_is_as_loud_as_asked(self):
        """A whine far above the fan's own band: its share of the power follows fault_snr_db."""
        shares = {}
        for level in (-20.0, 0.0):
            settings = SyntheticData(seconds=2, snr_db=80, fault_snr_db=level)
            samples = synthetic.recording("pump", 0, "leak", (1, 1), settings)
            power = np.abs(np.fft.rfft(samples)) ** 2
            shares[level] = power[2 * 3000 :].sum() / power[: 2 * 3000].sum()
        assert 10 * np.log10(shares[0.0] / shares[-20.0]) == pytest.approx(20, abs=2)


def test_identical_files_are_those_of_the_same_bytes(tmp_path):
    middle = bytes(range(256)) * 64
    contents = {"a": middle, "b": middle, "c": b"x" + middle[1:], "d": middle[:-1] + b"x", "e": middle[:-1], "f": b""}
    contents |= {"g": b"", "h": middle[:9000] + b"x" + middle[9001:], "i": contents["d"]}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in (*contents, "missing")]
    found = [[path.name for path in group] for group in identical_files(paths)]
    assert sorted(found) == [["a", "b"], ["d", "i"], ["f", "g"]]


OF_THE_SYSTEM = (
    "Thumbs.db",
    "desktop.ini",
    "Desktop.ini",
    "normal_id_00_00000000.wav:Zone.Identifier",
    "normal_id_00_00000000.wav\uf03aZone.Identifier",
    ".DS_Store",
    "._normal_id_00_00000000.wav",
    "@eaDir/normal_id_00_00000000.wav/SYNOINDEX_MEDIA_INFO",
    "__MACOSX/._normal_id_00_00000000.wav",
    "lost+found/normal_id_00_00000009.wav",
    "$RECYCLE.BIN/$RX1.wav",
    ".Trash-1000/files/a.wav",
    "System Volume Information/IndexerVolumeGuid",
)


@pytest.mark.parametrize("layout", ["dcase2020", "folder", "folder, new", "synthetic", "imported"])
def test_what_systems_leave_is_nobody_s_clip_in_any_layout(tmp_path, layout):
    name, _, new = layout.partition(", ")
    cases = {
        "dcase2020": ("fan/train/normal_id_00_00000000.wav", ("", "fan", "fan/train")),
        "synthetic": ("fan/test/normal_id_00_00000000.wav", ("", "fan", "fan/test")),
        "folder": ("fan/normal/2026/a.wav", ("", "fan", "fan/normal", "fan/normal/2026")),
        "folder, new": ("fan/2026/a.wav", ("", "fan", "fan/2026")),
        "imported": ("fan/train/manifest.json", ("", "fan")),
    }
    file, folders = cases[layout]
    write_wav(tmp_path / "data" / "a.wav", tone())
    (tmp_path / "data" / file).parent.mkdir(parents=True)
    (tmp_path / "data" / "a.wav").rename(tmp_path / "data" / file)
    if name == "imported":
        clip = Clip("fan/train/a.wav", "a.wav", "fan", "00", "train", 0, 1, 1)
        entries = (manifest.Entry(clip, "a.tfrecord", 0, 1),)
        manifest.save(tmp_path / "data" / "fan" / "train", manifest.Manifest("f", {}, "", entries=entries))
    for folder in folders:
        for left in OF_THE_SYSTEM:
            path = tmp_path / "data" / folder / left
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
    (listing,) = listed(tmp_path / "data", "eval" if new else "dev", dataset=Dataset(name))
    assert (listing.machine, len(listing.clips), listing.foreign) == ("fan", 1, ())


def test_missing_and_empty_directories_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere, but there is none; set `dev_directory`"):
        listed(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found none in .*empty"):
        listed(tmp_path / "empty")


def test_unknown_dataset_and_machine_name_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match="did you mean `dcase2020`"):
        listed(tmp_path, dataset=Dataset("dcas2020"))
    write_machine(tmp_path, "slider")
    with pytest.raises(ConfigError, match="did you mean `slider`"):
        listed(tmp_path, machines=("slidr",))


def test_settings_of_a_machine_type_that_is_not_there_are_warned_of(tmp_path, caplog):
    write_machine(tmp_path, "slider")
    write_machine(tmp_path, "fan")
    own = {"fit": {"epochs": 1}}
    listed(tmp_path, machines={"fan": own, "slider": own})
    assert not caplog.messages
    config = dataclasses.replace(
        Config(), dev_directory=str(tmp_path), machines={"slidr": own, "fan": own, "ToyTrain": own}
    )
    assert [listing.machine for listing in datasets.list_clips(config, "dev", ["fan"])] == ["fan"]
    assert caplog.messages == [
        "`machines` has settings of `slidr` (did you mean `slider`?), `ToyTrain`, of which there are no clips in "
        f"{tmp_path}."
    ]
