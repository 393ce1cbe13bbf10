"""Layouts of public data sets, on miniature trees with their real names; fact sheets and `ganad list`."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import tone, write_wav

from ganad_tf import config as configuration
from ganad_tf import datasets
from ganad_tf.cache import manifest
from ganad_tf.cli import listing as tables
from ganad_tf.cli import main
from ganad_tf.clips import Clip, Listing
from ganad_tf.datasets.attributes import of_name
from ganad_tf.datasets.fact_sheets import SHEETS
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.results.published import TEST_CLIPS
from ganad_tf.run import machine_runs


def touch(root, *names):
    """Empty files: a layout looks at names alone."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def listed(root, name, mode="dev", **settings):
    """The listings, none of which has a file that doesn't fit, unless `on_bad_clip` is `skip`."""
    on_bad_clip = settings.pop("on_bad_clip", "error")
    audio = settings.pop("audio", {})
    mapping = {"dev_directory": str(root), "eval_directory": str(root), "on_bad_clip": on_bad_clip, "audio": audio}
    config = configuration.from_mapping(mapping | {"dataset": {"name": name, **settings}}, source="test")
    runs = machine_runs(config, datasets.list_clips(config, mode), mode)
    datasets.refuse_foreign(runs)
    return [run.listing for run in runs]


def kinds(listing):
    return Counter((clip.machine_id, clip.domain, clip.split, clip.label) for clip in listing.clips)


NAMES = {  # of training clips, as each year has them
    "dcase2021": ("section_00_source_train_normal_0000_strength_1_ambient.wav", {"condition": "strength_1_ambient"}),
    "dcase2022": ("section_01_target_train_normal_0009_vel_6_f-n_A.wav", {"vel": "6", "f-n": "A"}),
    "dcase2023": ("section_00_source_train_normal_0853_vel_500_ac_0.30.wav", {"vel": "500", "ac": "0.30"}),
    "dcase2024": ("section_00_source_train_normal_0990_noAttribute.wav", {}),
    "dcase2025": ("section_00_target_train_normal_0010_car_B2_spd_7_mic_1.wav", {"car": "B2", "spd": "7", "mic": "1"}),
    "dcase2026": ("section_00_source_train_normal_0000_noAttribute.wav", {}),
    "mimii_due": ("section_05_target_train_normal_0002_0_g_25_mm_2000_mV_none.wav", None),
    "mimii_dg": ("section_02_source_train_normal_0989_m-n_X.wav", {"m-n": "X"}),
}


class TestSections:
    @pytest.mark.parametrize("year", NAMES)
    def test_names_of_each_year(self, tmp_path, year):
        name, attributes = NAMES[year]
        section = name[8:10]
        source = f"section_{section}_source_train_normal_0500_vel_1.wav"
        touch(tmp_path, f"fan/train/{name}", f"fan/train/{source}")
        (listing,) = listed(tmp_path, year)
        clip = next(clip for clip in listing.clips if clip.name == name)
        assert (clip.machine, clip.machine_id, clip.split, clip.label) == ("fan", section, "train", 0)
        assert clip.domain == name[11:17]
        whole = {"condition": "0_g_25_mm_2000_mV_none"}  # there is no telling names from values
        assert dict(clip.attributes) == (whole if attributes is None else attributes)
        assert list(clip.attributes) == sorted(clip.attributes)

    def test_the_real_recordings_of_2023(self, real_data):
        listings = listed(real_data / "dcase2023" / "dev_data", "dcase2023")
        machines = ["ToyCar", "ToyTrain", "bearing", "fan", "gearbox", "slider", "valve"]
        assert [listing.machine for listing in listings] == machines
        total = sum((kinds(listing) for listing in listings), Counter())
        assert total[("00", "source", "train", 0)] == 14
        assert sum(total.values()) == 28
        clips = {clip.file: clip for listing in listings for clip in listing.clips}
        clip = clips["ToyTrain/test/section_00_target_test_anomaly_0015_car_A2_spd_6_mic_2.wav"]
        assert (clip.domain, clip.split, clip.label) == ("target", "test", 1)
        assert clip.attributes == (("car", "A2"), ("mic", "2"), ("spd", "6"))

    def test_test_folders_of_2021(self, tmp_path):
        train = "fan/train/section_00_source_train_normal_0000_strength_1_ambient.wav"
        touch(tmp_path, train)
        touch(tmp_path, *(f"fan/{d}_test/section_00_{d}_test_{k}_0000.wav" for d in DOMAINS for k in KINDS))
        (listing,) = listed(tmp_path, "dcase2021")
        tests = {("00", d, "test", label): 1 for d in DOMAINS for label in (0, 1)}
        assert kinds(listing) == {("00", "source", "train", 0): 1, **tests}
        touch(tmp_path, "fan/source_test/section_00_target_test_normal_0001.wav")
        with pytest.raises(DataError, match="0001.wav: expected a name such as .* with the domain source"):
            listed(tmp_path, "dcase2021")

    @pytest.mark.parametrize(
        ("year", "name", "domain"),
        [
            ("dcase2021", "source_test/section_03_source_test_0000.wav", "source"),
            ("dcase2022", "test/section_03_test_0000.wav", ""),
            ("dcase2024", "test/section_03_test_0200.wav", ""),
            ("dcase2026", "test/section_03_0000.wav", ""),
        ],
    )
    def test_unlabelled_evaluation_data(self, tmp_path, year, name, domain):
        touch(tmp_path, f"fan/{name}")  # without training clips: the detectors of --dev score them
        (listing,) = listed(tmp_path, year, "eval")
        assert kinds(listing) == {("03", domain, "test", None): 1}
        with pytest.raises(
            DataError, match=r"expected a name such as `section_00_source_test_anomaly_0000_vel_16\.wav`"
        ):
            listed(tmp_path, year)

    def test_labels_of_evaluation_data(self, tmp_path):
        data, truth = tmp_path / "data", tmp_path / "eval_data_list_2023.csv"
        touch(data, *(f"bandsaw/test/section_00_test_000{i}.wav" for i in range(2)))
        lines = ["grinder", "section_00_test_0000.wav,section_00_source_test_normal_0000_x_1.wav", "bandsaw"]
        lines += ["section_00_test_0000.wav,section_00_target_test_anomaly_0000_vel_4.wav"]
        truth.write_text("\n".join(lines))
        with pytest.raises(DataError, match="section_00_test_0001.wav: expected a line in .*eval_data_list_2023.csv"):
            listed(data, "dcase2023", "eval", truth=str(truth))
        lines += ["section_00_test_0001.wav,section_00_source_test_normal_0001_vel_6.wav"]
        truth.write_text("\n".join(lines))
        (listing,) = listed(data, "dcase2023", "eval", truth=str(truth))
        first, second = listing.clips
        assert (first.name, first.label, first.domain, first.attributes) == (
            "section_00_test_0000.wav",
            1,
            "target",
            (("vel", "4"),),
        )
        assert (second.label, second.domain) == (0, "source")
        truth.write_text("\n".join([*lines, "section_00_test_0009.wav,section_00_source_test_normal_0009_vel_6.wav"]))
        with pytest.raises(DataError, match=r"expected files that are in .*bandsaw\. Received: section_00_test_0009"):
            listed(data, "dcase2023", "eval", truth=str(truth))
        for wrong in ("bandsaw\nsection_00_test_0000.wav,1", "x\na.wav,b.wav\na.wav,c.wav", "\na.wav,b.wav"):
            truth.write_text(wrong)
            with pytest.raises(DataError, match=r"Expected `file,name with label` .*in line [23]\."):
                listed(data, "dcase2023", "eval", truth=str(truth))
        with pytest.raises(DataError, match="Can't read .*none.csv, which `dataset.truth` names: No such file"):
            listed(data, "dcase2023", "eval", truth=str(tmp_path / "none.csv"))

    def test_renamed_evaluation_data_are_labelled(self, tmp_path):
        touch(tmp_path, "bandsaw/test/section_00_test_0000.wav")
        touch(tmp_path, "bandsaw/test_rename/section_00_target_test_anomaly_0000_vel_4.wav")
        (listing,) = listed(tmp_path, "dcase2023", "eval")
        assert kinds(listing) == {("00", "target", "test", 1): 1}

    def test_the_challenge_of_2020_takes_labels_too(self, tmp_path):
        touch(tmp_path / "data", "fan/test/id_01_00000000.wav", "fan/train/normal_id_01_00000000.wav")
        truth = tmp_path / "eval_data_list_2020.csv"
        truth.write_text("fan\nid_01_00000000.wav,anomaly_id_01_00000000.wav,1\n")
        (listing,) = listed(tmp_path / "data", "dcase2020", "eval", truth=str(truth))
        assert kinds(listing) == {("01", "", "train", 0): 1, ("01", "", "test", 1): 1}
        truth.write_text("fan\n" + "\n".join(f"id_01_0000000{i}.wav,normal_id_01_0000000{i}.wav" for i in (1, 2)))
        with pytest.raises(DataError) as caught:
            listed(tmp_path / "data", "dcase2020", "eval", truth=str(truth))
        assert "3 files" not in str(caught.value)
        assert "id_01_00000000.wav: expected a line in" in str(caught.value)
        assert "Received: id_01_00000001.wav, id_01_00000002.wav" in str(caught.value)

    def test_supplemental_recordings(self, tmp_path):
        train = "fan/train/section_00_source_train_normal_0000_n_B.wav"
        clean = [
            "section_00_machine_0001_.wav",
            "section_00_target_supplemental_machine_0000_noise_2.wav",
            "section_00_machine_source_0002_noAttribute.wav",
        ]
        noise = ["section_00_noise_0001_.wav", "section_00_noise_supplemental_normal_0000.wav"]
        touch(tmp_path, train, *(f"fan/supplemental/{name}" for name in clean + noise))
        for year in ("dcase2025", "dcase2026"):
            (listing,) = listed(tmp_path, year)
            assert [clip.file for clip in listing.clips] == [train]  # they are no training clips unless asked for
            (listing,) = listed(tmp_path, year, sections={"supplemental": "train"})
            added = [clip for clip in listing.clips if clip.file != train]
            assert sorted(clip.name for clip in added) == sorted(clean)
            assert {(c.split, c.label, c.attributes) for c in added} == {("train", 0, (("supplemental", "machine"),))}
            assert Counter(clip.domain for clip in added) == {"source": 2, "target": 1}
        with pytest.raises(DataError, match="supplemental: expected only the folders `train`, `test` and"):
            listed(tmp_path, "dcase2024")
        touch(tmp_path, "fan/supplemental/section_00_other_0001.wav")
        with pytest.raises(DataError, match="other_0001.wav: expected a name such as `section_00_machine_0001_.wav`"):
            listed(tmp_path, "dcase2025")

    def test_near_and_far_microphone_are_one_recording(self, tmp_path):
        names = [f"fan/train/section_00_source_train_normal_000{i}_noAttribute.wav" for i in range(2)]
        for name in names:
            write_wav(tmp_path / name, np.stack([tone(0.1), 0.1 * tone(0.1)], axis=1))
        (near,) = listed(tmp_path, "dcase2026")
        assert [clip.channel for clip in near.clips] == [None, None]  # `audio.channel`, 0 by default
        (both,) = listed(tmp_path, "dcase2026", audio={"channel": "all"})
        assert [(clip.recording, clip.channel) for clip in both.clips] == [(n, c) for n in names for c in (0, 1)]


DOMAINS, KINDS = ("source", "target"), ("normal", "anomaly")


class TestAttributes:
    STEM = "section_00_source_train_normal_0000_vel_16_ac_0.30"

    @pytest.mark.parametrize(
        "table",
        [
            "file_name,d1p,d1v,d2p,d2v\nslider/train/{}.wav,vel,16,ac,0.3\n",  # 0.3 and 0.30 are the same number
            "file_name,d1p,d1v,d2p,d2v\n{},vel,16,ac,0.30\n",
            "file_name\nslider/train/{}.wav\n",
        ],
        ids=["path", "stem", "none"],
    )
    def test_files_of_all_machine_types(self, tmp_path, table):
        touch(tmp_path, f"slider/train/{self.STEM}.wav")
        (tmp_path / "slider/attributes_00.csv").write_text(table.format(self.STEM))
        (listing,) = listed(tmp_path, "dcase2023")
        assert {name: float(value) for name, value in listing.clips[0].attributes} == {"vel": 16, "ac": 0.3}

    def test_names_that_are_no_pairs(self):
        assert of_name("vel_16_x") == {"condition": "vel_16_x"}
        assert of_name("a_1_a_2") == {"condition": "a_1_a_2"}
        assert of_name("_") == {}

    def test_a_file_says_more_than_names(self, tmp_path):
        touch(tmp_path, "slider/train/section_00_source_train_normal_0001_noAttribute.wav")
        row = "section_00_source_train_normal_0001_noAttribute,noise,factory 2,,"
        (tmp_path / "slider/attributes_00.csv").write_text(f"file_name,d1p,d1v,d2p,d2v\n{row}\n")
        (listing,) = listed(tmp_path, "dcase2024")
        assert listing.clips[0].attributes == (("noise", "factory 2"),)

    def test_everything_that_is_wrong_is_said_in_one_go(self, tmp_path, caplog):
        good = "section_00_source_train_normal_0000_vel_6.wav"
        touch(tmp_path, f"fan/train/{good}", "fan/train/section_00_source_train_normal_0001_vel_6.wav")
        touch(tmp_path, "fan/train/normal_id_00_00000000.wav", "fan/LICENSE.pdf", "fan/source_test/x.wav")
        touch(tmp_path, "fan/train/section_00_source_train_anomaly_0000_vel_6.wav")
        touch(tmp_path, "fan/test/section_02_target_test_normal_0000_vel_6.wav")
        touch(tmp_path, "pump/train/section_00_source_train_normal_0000_vel_6.wav", "pump/attributes_00.csv")
        rows = ["file_name,d1p,d1v", "fan/train/section_00_source_train_normal_0001_vel_6.wav,vel,8"]
        rows += [f"fan/train/section_00_source_train_normal_01{i:02d}_vel_6.wav,vel,6" for i in range(7)]
        (tmp_path / "fan/attributes_00.csv").write_text("\n".join(rows))
        with pytest.raises(DataError) as caught:
            listed(tmp_path, "dcase2022")
        first, *lines = str(caught.value).splitlines()
        assert first.startswith("8 files or folders don't fit the layout `dcase2022`")
        expected = [
            "LICENSE.pdf: expected only the folders `train`, `test` and `attributes_00.csv` here",
            "source_test: expected only the folders",
            "normal_id_00_00000000.wav: expected a name such as `section_00_source_train_normal_0000_vel_16.wav`",
            "anomaly_0000_vel_6.wav: expected a name such as",
            "normal_0001_vel_6.wav: expected the attributes of its name in",
            "0104_vel_6.wav and 2 more",  # of seven
            "fan/train: expected clips of the source domain of section 02. Received: none",
            "Expected the columns file_name in",
        ]
        assert len(lines) == 8
        assert all(any(text in line for line in lines) for text in expected), lines
        fan, pump = listed(tmp_path, "dcase2022", on_bad_clip="skip")
        assert [clip.name for clip in fan.clips] == [good, "section_02_target_test_normal_0000_vel_6.wav"]
        assert len(pump.clips) == 1
        assert sum("left out" in message for message in caplog.messages) == 8


class TestMIMII:
    def test_ratios_and_the_split_of_the_baseline(self, tmp_path):
        for ratio in ("-6_dB_fan", "6_dB_fan"):
            touch(tmp_path, *(f"{ratio}/fan/id_00/normal/{i:08d}.wav" for i in range(7)))
            touch(tmp_path, *(f"{ratio}/fan/id_00/abnormal/{i:08d}.wav" for i in range(3)))
        touch(tmp_path, "min6dB/pump/id_02/normal/00000000.wav")
        low, high, pump = listed(tmp_path, "mimii")
        assert [listing.machine for listing in (low, high, pump)] == ["fan_min6dB", "fan_6dB", "pump_min6dB"]
        assert kinds(low) == {("00", "", "train", 0): 4, ("00", "", "test", 0): 3, ("00", "", "test", 1): 3}
        tests = sorted(clip.name for clip in low.clips if clip.split == "test" and clip.label == 0)
        assert tests == [f"id_00/normal/{i:08d}.wav" for i in range(3)]
        assert low.clips[0].attributes == (("snr", "-6"),)
        (only,) = listed(tmp_path, "mimii", mimii={"snr": 6, "split": "random"})
        assert only.machine == "fan"
        tests = sorted(clip.name for clip in only.clips if clip.split == "test" and clip.label == 0)
        assert len(tests) == 3
        assert tests != [f"id_00/normal/{i:08d}.wav" for i in range(3)]
        with pytest.raises(ConfigError, match=r"`dataset\.mimii\.snr: 0` in .*Received: -6, 6\."):
            listed(tmp_path, "mimii", mimii={"snr": 0})

    def test_real_recordings_with_eight_channels(self, real_data):
        (listing,) = listed(real_data / "mimii", "mimii", audio={"channel": "all"})
        assert Counter(clip.recording for clip in listing.clips).most_common()[-1][1] == 8
        assert {clip.machine_id for clip in listing.clips} == {"00"}

    def test_names_outside_the_layout(self, tmp_path):
        touch(
            tmp_path, "fan/id_00/normal/00000000.wav", "fan/id_00/normal/a.wav", "fan/id_00/other/0.wav", "fan/id_0/x"
        )
        with pytest.raises(DataError, match="^3 files"):
            listed(tmp_path, "mimii")
        touch(tmp_path, "0_dB_fan/fan/id_00/normal/00000000.wav", "0dB/fan/id_00/normal/00000000.wav")
        with pytest.raises(DataError, match="Expected fan once at 0 dB"):
            listed(tmp_path, "mimii", on_bad_clip="skip")


class TestToyADMOS:
    def test_takes_of_four_microphones_are_never_separated(self, tmp_path):
        for take in range(10):
            for channel in range(1, 5):
                end = f"IND_ch{channel}_{take:04d}.wav"
                touch(tmp_path, f"ToyCar/case1/NormalSound_IND/1100010001_ToyCar_case1_normal_{end}")
                touch(tmp_path, f"ToyCar/case1/AnomalousSound_IND/1101010001_ToyCar_case1_ab01_{end}")
        touch(tmp_path, "ToyCar/case2/NormalSound_CNT/1200110001_ToyCar_case2_normal_CNT_ch1_0001.wav")
        touch(tmp_path, "ToyCar/EnvironmentalSound_CNT/anything.wav", "ToyCar/case1/EnvironmentalSound_CNT/x.wav")
        (one,) = listed(tmp_path, "toyadmos")
        assert kinds(one) == {("01", "", "train", 0): 8, ("01", "", "test", 0): 2, ("01", "", "test", 1): 10}
        settings = {"channels": [1, 2, 3, 4], "kinds": ["IND", "CNT"], "test_split": 0.3}
        (every,) = listed(tmp_path, "toyadmos", toyadmos=settings)
        assert kinds(every)[("01", "", "test", 0)] == 12
        assert kinds(every)[("02", "", "train", 0)] == 1
        of = {clip.recording: set() for clip in every.clips}
        for clip in every.clips:
            of[clip.recording].add((clip.split, clip.label))
        assert len(of) == 21
        assert all(len(splits) == 1 for splits in of.values())
        assert dict(every.clips[0].attributes) == {"channel": "1", "condition": "ab01", "kind": "IND"}

    def test_names_agree_with_folders(self, tmp_path):
        good = "ToyCar/case1/NormalSound_IND/1100010001_ToyCar_case1_normal_IND_ch1_0001.wav"
        touch(tmp_path, good, good.replace("1_normal", "2_normal"), good.replace("normal_IND", "ab01_IND"))
        touch(tmp_path, good.replace("ToyCar_", "ToyTrain_"), "ToyCar/case1/Sounds/x.wav", "ToyCar/readme.txt")
        with pytest.raises(DataError, match="^5 files"):
            listed(tmp_path, "toyadmos")
        with pytest.raises(ConfigError, match=r"channels from 1 to 4 .*\[0\]"):
            listed(tmp_path, "toyadmos", toyadmos={"channels": [0]})


class TestClasses:
    def urban(self, root):
        rows = ["slice_file_name,fsID,start,end,salience,fold,classID,class"]
        for fold in (1, 9, 10):
            for index in range(2):
                rows.append(f"10{fold}-5-0-{index}.wav,10{fold},0,4,1,{fold},5,engine_idling")
                rows.append(f"20{fold}-3-0-{index}.wav,20{fold},0,4,1,{fold},3,dog_bark")
        write = root / "metadata" / "UrbanSound8K.csv"
        write.parent.mkdir(parents=True)
        write.write_text("\n".join(rows))
        cells = [row.split(",") for row in rows[1:]]
        touch(root, *(f"audio/fold{row[5]}/{row[0]}" for row in cells))

    def test_urbansound8k_respects_folds_and_sources(self, tmp_path):
        self.urban(tmp_path)
        (listing,) = listed(tmp_path, "urbansound8k", classes={"normal_class": "engine_idling"})
        assert listing.machine == "engine_idling"
        assert kinds(listing) == {("00", "", "train", 0): 4, ("00", "", "test", 0): 2, ("00", "", "test", 1): 2}
        assert {dict(clip.attributes)["fold"] for clip in listing.clips if clip.split == "test"} == {"10"}
        assert {clip.recording for clip in listing.clips if clip.split == "train"} == {"101", "109"}
        chosen = {"normal_class": "dog_bark", "test_folds": [1, 9]}
        (other,) = listed(tmp_path, "urbansound8k", classes=chosen)
        assert kinds(other) == {("00", "", "train", 0): 2, ("00", "", "test", 0): 4, ("00", "", "test", 1): 4}

    def test_esc50(self, tmp_path):
        rows = ["filename,fold,target,category,esc10,src_file,take", "1-100032-A-0.wav,1,0,dog,True,100032,A"]
        rows += ["5-1-A-0.wav,5,0,dog,True,1,A", "5-1-B-0.wav,5,0,dog,True,1,B", "5-9-A-44.wav,5,44,engine,False,9,A"]
        (tmp_path / "meta").mkdir()
        (tmp_path / "meta/esc50.csv").write_text("\n".join(rows))
        touch(tmp_path, *(f"audio/{row.split(',')[0]}" for row in rows[1:]))
        (listing,) = listed(tmp_path, "esc50", classes={"normal_class": "dog"})
        assert kinds(listing) == {("00", "", "train", 0): 1, ("00", "", "test", 0): 2, ("00", "", "test", 1): 1}
        assert [clip.group for clip in listing.clips] == ["100032", "1", "1", "9"]

    def test_what_is_not_there(self, tmp_path):
        self.urban(tmp_path)
        with pytest.raises(ConfigError, match=r"normal_class`\. Known: dog_bark, engine_idling\."):
            listed(tmp_path, "urbansound8k")
        with pytest.raises(ConfigError, match="did you mean `engine_idling`"):
            listed(tmp_path, "urbansound8k", classes={"normal_class": "engine_idle"})
        for folds, received in (([2], "2"), ([1, 9, 10], "1, 9, 10")):
            with pytest.raises(ConfigError, match=rf"some of the folds 1, 9, 10, not all.*Received: {received}\."):
                listed(tmp_path, "urbansound8k", classes={"normal_class": "dog_bark", "test_folds": folds})
        with pytest.raises(DataError, match=r"Can't read .*esc50\.csv: No such file"):
            listed(tmp_path, "esc50", classes={"normal_class": "dog"})
        (tmp_path / "audio/fold1/101-5-0-0.wav").unlink()
        touch(tmp_path, "audio/fold1/new.wav")
        with pytest.raises(DataError) as caught:
            listed(tmp_path, "urbansound8k", classes={"normal_class": "dog_bark"})
        assert "new.wav: expected a line in" in str(caught.value)
        assert "Received: audio/fold1/101-5-0-0.wav" in str(caught.value)


class TestTable:
    def test_a_list_gives_labels_ids_splits_domains_and_more(self, tmp_path):
        touch(tmp_path / "hall", "a/1.wav", "a/2.wav", "b/3.wav", "b/4.wav")
        rows = ["file,label,id,split,domain,group,speed", "a/1.wav,normal,07,train,source,r1,slow"]
        rows += ["2.wav,0,07,calibration,target,,", "3.wav,anomaly,,test,,,", "b/4.wav,,08,test,source,,fast"]
        (tmp_path / "labels.csv").write_text("\n".join(rows))
        (listing,) = listed(tmp_path / "hall", "table", table={"csv": str(tmp_path / "labels.csv")})
        assert listing.machine == "hall"
        assert [(c.name, c.machine_id, c.split, c.label, c.domain, c.group, c.attributes) for c in listing.clips] == [
            ("a/1.wav", "07", "train", 0, "source", "r1", (("speed", "slow"),)),
            ("a/2.wav", "07", "calibration", 0, "target", "", ()),
            ("b/3.wav", "00", "test", 1, "", "", ()),
            ("b/4.wav", "08", "test", None, "source", "", (("speed", "fast"),)),
        ]

    def test_everything_that_is_wrong_is_said_in_one_go(self, tmp_path):
        touch(tmp_path / "hall", "1.wav", "2.wav", "3.wav", "4.wav")
        rows = ["file,label,split,domain", "1.wav,broken,test,", "2.wav,anomaly,train,", "3.wav,normal,train,near"]
        (tmp_path / "labels.csv").write_text("\n".join([*rows, "5.wav,normal,train,"]))
        table = {"csv": str(tmp_path / "labels.csv"), "machine_type": "fan"}
        with pytest.raises(DataError) as caught:
            listed(tmp_path / "hall", "table", table=table)
        texts = ["^5 files", "4.wav: expected a line", r"Received: 5\.wav", "1.wav with 'test'", "'near'", "2.wav with"]
        for text in texts:
            caught.match(text)
        (tmp_path / "labels.csv").write_text("\n".join([rows[0], "1.wav,normal,train,", "./1.wav,anomaly,test,"]))
        with pytest.raises(DataError, match=r"expected one line for .*1\.wav\. Received: 1\.wav, \./1\.wav"):
            listed(tmp_path / "hall", "table", table=table)
        with pytest.raises(ConfigError, match=r"Expected a CSV file for `dataset\.table\.csv`"):
            listed(tmp_path / "hall", "table")
        (tmp_path / "labels.csv").write_text("file,label\n1.wav,normal\n")
        with pytest.raises(
            DataError, match=r"Expected the columns file, label, split in .*`dataset\.table\.csv` names"
        ):
            listed(tmp_path / "hall", "table", table=table)


OF_TWO_MACHINES = {
    "dcase2020": "{}/train/normal_id_00_00000000.wav",
    "dcase2023": "{}/train/section_00_source_train_normal_0000_vel_1.wav",
    "mimii": "0_dB_{0}/{0}/id_00/normal/00000000.wav",
    "toyadmos": "{0}/case1/NormalSound_IND/1100010001_{0}_case1_normal_IND_ch1_0001.wav",
}


@pytest.mark.parametrize("name", OF_TWO_MACHINES)
def test_of_one_machine_type_no_other_is_looked_into(tmp_path, monkeypatch, name):
    touch(tmp_path, *(OF_TWO_MACHINES[name].format(machine) for machine in ("fan", "pump")))
    config = configuration.from_mapping({"dev_directory": str(tmp_path), "dataset": {"name": name}}, source="test")
    both = datasets.list_clips(config, "dev")
    assert [listing.machine for listing in both] == ["fan", "pump"]
    read, original = [], Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: read.append(path) or original(path))
    assert datasets.list_clips(config, "dev", ["pump"]) == both[1:]
    assert any(path.name == "pump" for path in read)
    assert not any(path.name == "fan" for path in read)


@pytest.mark.parametrize("name", ["mimii", "mimii_due", "mimii_dg", "toyadmos", "esc50", "table"])
def test_layouts_without_evaluation_data_say_so(tmp_path, name):
    with pytest.raises(ConfigError, match=f"the layout `{name}` has no evaluation data"):
        listed(tmp_path, name, "eval")


def test_every_test_clip_of_a_benchmark_has_a_score():
    for name in SHEETS:
        config = configuration.from_mapping({"dataset": {"name": name}}, source="test")
        assert not config.checks_recordings, name
        is_like_challenge = name not in ("urbansound8k", "esc50")
        assert config.threshold.method == ("gamma" if is_like_challenge else "conformal"), name


def test_every_public_layout_has_a_fact_sheet():
    assert datasets.DATASETS.keys() - SHEETS.keys() == {"folder", "table", "imported", "synthetic"}


class TestFactSheets:
    def test_numbers_agree_with_those_of_others(self):
        tests = Counter()
        for count in SHEETS["dcase2020"].counts["dev"]:
            tests[count.machine] += count.number if count.kind.startswith("test") else 0
        assert tests == TEST_CLIPS
        # 7 machine types, 3 sections, 1000 training and 200 test clips each, in both domains (Dohi et al. 2022).
        assert sum(count.number for count in SHEETS["dcase2022"].counts["dev"]) == 7 * 3 * 1200
        assert sum(count.number for count in SHEETS["dcase2026"].counts["eval"]) == 5 * 1200
        assert sum(count.number for count in SHEETS["urbansound8k"].counts["dev"]) == 8732

    def test_ratios_of_mimii_have_the_same_numbers(self, tmp_path):
        counts = [count for count in SHEETS["mimii"].counts["dev"] if count.machine == "fan"]
        clips = tuple(clip for count in counts for clip in of(count))
        both = [Listing(f"fan_{ratio}", tmp_path, clips) for ratio in ("min6dB", "6dB")]
        assert not SHEETS["mimii"].differences(both, "dev", only=["fan_6dB"])
        both[1] = Listing("fan_6dB", tmp_path, clips[:-1])
        assert SHEETS["mimii"].differences(both, "dev", only=["fan_6dB"]) == ["fan_6dB 06: anomaly 360 of 361"]

    def test_complete_or_what_differs(self, tmp_path):
        counts = SHEETS["dcase2023"].counts["dev"]
        listings = [
            Listing(
                machine, tmp_path, tuple(clip for count in counts if count.machine == machine for clip in of(count))
            )
            for machine in dict.fromkeys(count.machine for count in counts)
        ]
        (line,) = tables.facts("dcase2023", listings, "dev")
        assert line.endswith("arXiv 2305.07828): complete.")
        clips = [clip for clip in listings[3].clips if clip.domain == "source" or clip.split == "test"]
        fewer = [listings[0], Listing("fan", tmp_path, tuple(clips)), Listing("x", tmp_path, listings[0].clips)]
        _, *lines = tables.facts("dcase2023", fewer, "dev")
        assert lines == [
            *(f"  {machine}: not there" for machine in ("ToyTrain", "bearing", "gearbox", "slider", "valve")),
            "  fan 00: training target 0 of 10",
            "  x: not a machine type of this data set",
        ]
        _, *lines = tables.facts("dcase2023", fewer[1:2], "dev", ["fan"])
        assert lines == ["  fan 00: training target 0 of 10"]
        assert "no exact numbers" in next(tables.facts("mimii_due", listings, "dev"))
        assert not list(tables.facts("folder", listings, "dev"))


def of(count):
    """Clips of a published number."""
    split = "train" if count.kind == "training" else "test"
    label = 1 if "anomaly" in count.kind else 0
    name = f"{count.machine}_{count.machine_id}_{count.domain}_{split}_{label}"
    for index in range(count.number):
        yield Clip(f"{name}_{index}", name, count.machine, count.machine_id, split, label, 1, 1, domain=count.domain)


def test_list_shows_domains_attributes_lengths_and_facts(tmp_path, capsys):
    for index, seconds in enumerate((0.2, 0.4)):
        write_wav(tmp_path / f"fan/train/section_00_source_train_normal_000{index}_m-n_{index}.wav", tone(seconds))
    write_wav(tmp_path / "fan/test/section_00_target_test_anomaly_0000_m-n_Y.wav", tone(0.2, seed=1))
    (tmp_path / "a.yaml").write_text(f"dev_directory: {tmp_path}\ndataset: {{name: dcase2023}}\n")
    assert main.main(["list", str(tmp_path / "a.yaml"), "-q"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["machine", "id", "domain", "train", "normal", "anomaly", "unlabelled"]
    assert [line.split() for line in lines[2:4]] == [
        ["fan", "00", "source", "2", "0", "0", "0"],
        ["fan", "00", "target", "0", "0", "1", "0"],
    ]
    assert lines[4] == "fan: 0.2 to 0.4 s; m-n 0, 1, Y"
    assert lines[5].startswith("DCASE 2023 Task 2 (Zenodo 7882613, 7830345, 7860847; CC BY 4.0;")
    assert "  fan 00: training source 2 of 990, test normal source 0 of 50" in lines[-1]
    touch(tmp_path, "fan/notes.txt")
    assert main.main(["list", str(tmp_path / "a.yaml"), "-q"]) == 2
    assert "notes.txt: expected only the folders" in capsys.readouterr().err
    assert main.main(["list", str(tmp_path / "a.yaml"), "-q", "--ignore-foreign"]) == 0


def test_domains_and_attributes_are_kept_in_the_manifest(tmp_path):
    clip = Clip("a", "a", "fan", "00", "train", 0, 1, 1, domain="target", attributes=(("loc", "A"), ("vel", "6")))
    written = manifest.Manifest("f", {}, "", entries=(manifest.Entry(clip, "a.tfrecord", 0, 1),))
    manifest.save(tmp_path, written)
    assert manifest.load(tmp_path).entries[0].clip == clip


@pytest.mark.slow
def test_the_first_shot_set_up_of_2023_on_real_recordings(real_data, tmp_path):
    """A process of its own: every stage of `yaml/dcase2023.yaml`, made small."""
    config = configuration.shipped("dcase2023.yaml")
    settings = [f"dev_directory={real_data / 'dcase2023' / 'dev_data'}", "fit.epochs=1", "feature.n_mels=16"]
    settings += ["model.hidden=[16]", "fit.validation_split=0"]
    words = [sys.executable, "-m", "ganad_tf", "run", str(config), "--machine", "fan", "bearing", "--set", *settings]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    scores = (tmp_path / "result/dcase2023/anomaly_score_bearing_id_00.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in scores] == [
        "section_00_source_test_normal_0022_vel_9_loc_A.wav",
        "section_00_target_test_anomaly_0021_vel_8_loc_G.wav",
    ]
    body = json.loads((tmp_path / "cache/dcase2023/dev/bearing/test/manifest.json").read_text())
    assert '"target"' in json.dumps(body)
