"""Clips of one recording: found by their names or as the user says, and on one side of every split."""

import csv
import dataclasses
import json
import shutil

import numpy as np
import pytest
from conftest import tone, write_wav

from ganad_tf import datasets, splits
from ganad_tf.cache.manifest import Entry
from ganad_tf.cache.validation import split_by_file
from ganad_tf.config import Config, from_mapping
from ganad_tf.config.sections import Dataset, FolderData, Scorer
from ganad_tf.errors import ConfigError, DataError
from ganad_tf.run import MachineRun
from ganad_tf.scoring import densities, fit


def write(root, *files):
    """Small files of different contents with the names of recordings, which listing does not read."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(str(path).encode())
    return root


def listings(root, mode="dev", **folder):
    config = Config(dev_directory=str(root), eval_directory=str(root), dataset=Dataset("folder", FolderData(**folder)))
    found = datasets.list_clips(config, mode)
    datasets.refuse_foreign([MachineRun(config, listing, mode) for listing in found])
    return found


def groups_of(root, **folder):
    (listing,) = listings(root, **folder)
    return {clip.name.partition("/")[2]: clip.group for clip in listing.clips if clip.label == 0}


def numbered(*stems, count=4, ending="_{:03d}.wav"):
    return [f"fan/normal/{stem}{ending.format(index)}" for stem in stems for index in range(1, count + 1)]


@pytest.mark.parametrize(
    ("files", "groups"),
    [
        (numbered("rec12", "rec13", "rec14"), {"rec12", "rec13", "rec14"}),
        (numbered("rec12", "rec13", ending="_ch{}.wav"), {"rec12", "rec13"}),
        (numbered("a 01", "b 07", ending=" part {:02d}.flac"), {"a 01", "b 07"}),
        (numbered("2026-11-01", "2026-11-02", ending="_{:03d}.wav"), {"2026-11-01", "2026-11-02"}),
        (numbered("take1_001", "take1_002", "take2_001", "take2_002", ending="_mic{}.wav"), {"take1", "take2"}),
        (numbered("monday/rec1", "tuesday/rec1"), {"monday/rec1", "tuesday/rec1"}),
        # No doubt is left only by these; the others are no parts of recordings, or may not be.
        (numbered("clip", count=40), {""}),
        (numbered("", ending="{:08d}.wav"), {""}),
        (numbered("normal_id_00", "normal_id_02", ending="_{:08d}.wav"), {""}),
        (numbered("2026-10", "2026-11", ending="-{:02d}.wav", count=28), {""}),
        ([f"fan/normal/{m}_{rpm}.wav" for m in ("idle", "load") for rpm in range(600, 3000, 300)], {""}),
        (numbered("bench", "torch", ending="{}.wav"), {""}),
        ([*numbered("x", "y", count=2), *(f"fan/normal/{name}.wav" for name in "abcdefghij")], {""}),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_guess_is_made_where_names_leave_no_doubt_and_is_said(tmp_path, caplog, files, groups):
    caplog.set_level("INFO", logger="ganad_tf")
    write(tmp_path, *files)
    found = groups_of(tmp_path / "fan")
    assert set(found.values()) == groups
    assert ("which no split separates; if they are not, set `dataset.folder.group: file`" in caplog.text) == (
        groups != {""}
    )
    assert set(groups_of(tmp_path / "fan", group="file").values()) == {""}


def test_the_user_says_what_belongs_together(tmp_path):
    write(tmp_path, *(f"fan/normal/{day}/{n}-{speed}.wav" for day in ("mon", "tue") for n in (1, 2) for speed in "xy"))
    write(tmp_path, "fan/normal/alone.wav", "fan/anomaly/bad.wav")
    by_folder = groups_of(tmp_path / "fan", group="folder")
    assert (by_folder.pop("alone.wav"), len(by_folder)) == ("", 8)
    assert all(group == name.partition("/")[0] for name, group in by_folder.items())
    with pytest.raises(DataError, match=r"to fit the name of every normal recording\. Received: 1 of 9 .*alone\.wav"):
        groups_of(tmp_path / "fan", group=r"-(\w)\.wav")
    assert set(groups_of(tmp_path / "fan", group=r"(x|y|alone)\.wav").values()) == {"x", "y", "alone"}
    table = tmp_path / "groups.csv"
    table.write_text("file,group\nnormal/mon/1-x.wav,a\nfan/normal/tue/2-y.wav,a\nalone.wav,b\n")
    config = from_mapping({"dataset": {"folder": {"group": {"csv": str(table)}}}}, source="test")
    found = groups_of(tmp_path / "fan", group=config.dataset.folder.group)
    assert {name: group for name, group in found.items() if group} == {
        "mon/1-x.wav": "a",
        "tue/2-y.wav": "a",
        "alone.wav": "b",
    }
    table.write_text("file,group\nnormal/mon/9.wav,a\n")
    with pytest.raises(DataError, match=r"Expected files in .*fan.*groups\.csv.* Received: normal/mon/9\.wav\."):
        groups_of(tmp_path / "fan", group=config.dataset.folder.group)
    table.write_text("name,group\nx,a\n")
    with pytest.raises(DataError, match="Expected the columns file, group"):
        groups_of(tmp_path / "fan", group=config.dataset.folder.group)


@pytest.mark.parametrize("pattern", [r"rec\d+", "(rec", 7, {"tsv": "x"}])
def test_a_setting_that_names_no_group_is_refused(pattern):
    with pytest.raises(ConfigError, match="group"):
        from_mapping({"dataset": {"folder": {"group": pattern}}}, source="test")


@pytest.mark.parametrize("n_recordings", [2, 5, 12])
def test_no_split_separates_the_clips_of_a_recording(tmp_path, n_recordings):
    """Neither test, nor validation, nor a fold; a copy of a file draws its whole recording after it."""
    write(tmp_path, *numbered(*(f"rec{number}" for number in range(n_recordings)), count=8))
    (listing,) = listings(tmp_path / "fan")
    test = {clip.group for clip in listing.clips_of("test")}
    train = {clip.group for clip in listing.clips_of("train")}
    assert test and train and not test & train
    assert len(listing.clips_of("test")) == {2: 8, 5: 8, 12: 16}[n_recordings]  # a fifth, as near as recordings allow
    entries = [Entry(clip, "a", index, 9, str(index)) for index, clip in enumerate(listing.clips)]
    parts = split_by_file(entries, 0.1, seed=0)
    recordings = [{entry.clip.group for entry in part} for part in parts]
    assert not recordings[0] & recordings[1] and len(parts[1]) == {2: 0, 5: 8, 12: 8}[n_recordings]
    if parts[1]:
        copied = [dataclasses.replace(e, sha256="0") if e.clip == parts[1][0].clip else e for e in entries]
        copied = [dataclasses.replace(e, sha256="0") if e.clip == parts[0][0].clip else e for e in copied]
        assert not {entry.clip.group for entry in split_by_file(copied, 0.1, seed=0)[1]} & recordings[1]
    folds = splits.folds([clip.recording for clip in listing.clips], 10, seed=3)
    assert sorted(np.concatenate(folds)) == list(range(len(listing.clips)))
    named = [{listing.clips[index].group for index in fold} for fold in folds]
    assert len(folds) == min(10, n_recordings) and sum(map(len, named)) == n_recordings
    original, copy = (tmp_path / "fan" / "normal" / f"{next(iter(side))}_001.wav" for side in (train, test))
    shutil.copyfile(original, copy)
    (after,) = listings(tmp_path / "fan")
    assert {clip.group for clip in after.clips_of("test")} == test - {copy.name.partition("_")[0]}


def test_clips_that_stand_alone_are_divided_as_ever():
    for n_clips in (2, 9, 10, 57):
        for seed in range(3):
            before = np.random.default_rng(seed).permutation(n_clips) % min(10, n_clips)
            folds = splits.folds([f"{index}.wav" for index in range(n_clips)], 10, seed)
            assert [list(fold) for fold in folds] == [list(np.flatnonzero(before == k)) for k in range(len(folds))]


def test_siblings_in_the_fold_made_scores_too_low(tmp_path, caplog):
    """Eight channels of a recording are nearly one vector; left out alone, a channel finds itself in the others."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(10, 4)), 8, axis=0) + 0.01 * rng.normal(size=(80, 4))
    settings = Scorer(name="density", density="knn")
    names = [f"rec{index // 8}" for index in range(80)]
    alone, together = (densities.cross_validated_scores(vectors, settings, 0, given) for given in (None, names))
    assert np.median(together) > 20 * np.median(alone)
    new = densities.score_in_chunks(densities.fit(vectors, settings, 0), rng.normal(size=(200, 4)).astype(np.float32))
    false_alarms = [np.mean(new > np.quantile(scores, 0.9)) for scores in (alone, together)]
    assert false_alarms[0] > 0.9 and false_alarms[1] < 0.3
    with pytest.raises(DataError, match=r"at least two recordings .* Received: 8 clips of 1"):
        densities.cross_validated_scores(vectors[:8], settings, 0, names[:8])
    write(tmp_path, *numbered("rec1", count=8))
    (listing,) = listings(tmp_path / "fan", group="(rec1)")
    assert fit.recordings_left_out(listing.clips_of("train"), settings, 0) is None
    assert "8 normal training clips are of one recording, too few to leave out" in caplog.text


class TestLayouts:
    def test_own_split_by_folders(self, tmp_path):
        write(tmp_path, "fan/train/a.wav", "fan/train/mon/b.wav", "fan/test/normal/c.wav", "fan/test/abnormal/d.wav")
        write(tmp_path, "fan/calibration/e.wav", "pump/train/normal/a.wav", "pump/test/b.wav")
        fan, pump = listings(tmp_path)
        assert {(clip.name, clip.split, clip.label) for clip in fan.clips} == {
            ("train/a.wav", "train", 0),
            ("train/mon/b.wav", "train", 0),
            ("test/normal/c.wav", "test", 0),
            ("test/abnormal/d.wav", "test", 1),
            ("calibration/e.wav", "calibration", 0),
        }
        assert [(clip.name, clip.split, clip.label) for clip in pump.clips] == [
            ("train/normal/a.wav", "train", 0),
            ("test/b.wav", "test", None),
        ]
        write(tmp_path, "pump/train/anomaly/x.wav")
        with pytest.raises(DataError, match=r"train/anomaly: expected only the folder `normal`"):
            listings(tmp_path)

    def test_own_split_by_a_list(self, tmp_path):
        write(tmp_path, "fan/a.wav", "fan/b.wav", "fan/x/c.wav", "fan/x/d.wav", "fan/x/e.wav")
        table = tmp_path / "split.csv"
        rows = "a.wav,train,normal\nb.wav,calibration,0\nx/c.wav,test,anomaly\nfan/x/d.wav,test,\n"
        table.write_text(f"file,split,label\n{rows}")
        with pytest.raises(DataError, match=r"x/e\.wav: expected a line in .*split\.csv"):
            listings(tmp_path / "fan", split=str(table))
        table.write_text(f"file,split,label\n{rows}e.wav,test,0\n")
        (listing,) = listings(tmp_path / "fan", split=str(table))
        assert [(clip.name, clip.split, clip.label) for clip in listing.clips] == [
            ("a.wav", "train", 0),
            ("b.wav", "calibration", 0),
            ("x/c.wav", "test", 1),
            ("x/d.wav", "test", None),
            ("x/e.wav", "test", 0),
        ]
        table.write_text("file,split,label\na.wav,train,anomaly\n")
        with pytest.raises(DataError, match=r"Received: a\.wav with split 'train' and label 'anomaly'"):
            listings(tmp_path / "fan", split=str(table))

    def test_mimii_as_it_comes(self, tmp_path):
        for machine in ("fan", "pump"):
            for number in ("00", "02"):
                files = [f"normal/{index:08d}.wav" for index in range(10)] + ["abnormal/00000000.wav"]
                write(tmp_path, *(f"{machine}/id_{number}/{file}" for file in files))
        fan, pump = listings(tmp_path)
        assert (fan.machine, pump.machine, len(pump.clips)) == ("fan", "pump", 22)
        kinds = [(clip.machine_id, clip.split, clip.label) for clip in fan.clips]
        assert {kind: kinds.count(kind) for kind in kinds} == {
            (number, *kind): count
            for number in ("00", "02")
            for kind, count in {("train", 0): 8, ("test", 0): 2, ("test", 1): 1}.items()
        }
        assert "id_02/abnormal/00000000.wav" in {clip.name for clip in fan.clips}
        (typed,) = listings(tmp_path / "fan", machine_type="blower")
        assert {(clip.machine, clip.machine_id) for clip in typed.clips} == {("blower", "00"), ("blower", "02")}
        assert [listing.machine for listing in listings(tmp_path / "fan")] == ["id_00", "id_02"]  # as ever
        write(tmp_path, "fan/notes.txt")
        with pytest.raises(DataError, match=r"notes\.txt: expected only folders such as `id_00`"):
            listings(tmp_path)

    def test_machines_a_level_lower(self, tmp_path):
        write(tmp_path, "hall 1/fan/normal/a.wav", "hall 1/pump/normal/a.wav", "hall 2/fan/normal/a.wav")
        assert [listing.machine for listing in listings(tmp_path)] == ["hall 1_fan", "pump", "hall 2_fan"]

    def test_labels_of_new_recordings(self, tmp_path):
        write(tmp_path, "new/fan/normal/a.wav", "new/fan/anomaly/mon/b.wav", "new/pump/mon/c.wav")
        fan, pump = listings(tmp_path / "new", "eval")
        assert [(clip.name, clip.label, clip.machine_id) for clip in fan.clips] == [
            ("anomaly/mon/b.wav", 1, "new"),
            ("normal/a.wav", 0, "new"),
        ]
        assert [(clip.name, clip.label) for clip in pump.clips] == [("mon/c.wav", None)]
        (directly,) = listings(tmp_path / "new" / "fan", "eval", machine_type="blower")
        assert (directly.machine, len(directly.clips)) == ("blower", 2)
        write(tmp_path, "new/fan/c.wav")
        with pytest.raises(DataError, match=r"c\.wav: expected only the folders `normal`"):
            listings(tmp_path / "new", "eval")

    def test_one_machine_type_has_one_name(self, tmp_path):
        write(tmp_path, "fan/normal/a.wav", "pump/normal/a.wav")
        with pytest.raises(ConfigError, match=r"Expected one machine type in .*`dataset\.folder\.machine_type: x`"):
            listings(tmp_path, machine_type="x")
        with pytest.raises(ConfigError, match="a name without slashes"):
            from_mapping({"dataset": {"folder": {"machine_type": "a/b"}}}, source="test")

    @pytest.mark.parametrize("bad", ["bad", "Broken", "not ok"])
    def test_a_wrong_tree_is_shown_with_the_way_out(self, tmp_path, bad):
        """Recordings of a broken machine in a folder of another name are never taken for normal ones."""
        write(tmp_path, *(f"data/{folder}/{index:02d}.wav" for folder in ("ok", bad) for index in range(20)))
        with pytest.raises(DataError, match=r"00\.wav\n(?s:.*)09\.wav\n  \.\.\. and 30 more\nRearrange them: healthy"):
            listings(tmp_path / "data")
        write(tmp_path, "deep/a/b/c/normal/x.wav")
        with pytest.raises(DataError, match=r"b/c/normal/x\.wav\nRearrange them"):
            listings(tmp_path / "deep")

    def test_anomalies_alone_are_refused(self, tmp_path):
        write(tmp_path, "fan/anomaly/a.wav", "fan/anomaly/b.wav")
        with pytest.raises(DataError, match=r"Expected healthy recordings .* Received: 2 anomalies, and no others"):
            listings(tmp_path / "fan")

    def test_calibration_shares_nothing_with_training_and_test(self, tmp_path):
        write(tmp_path, *numbered("rec1", "rec2", "rec3"), "fan/anomaly/bad.wav", "fan/calibration/rec4_001.wav")
        (listing,) = listings(tmp_path / "fan")
        (kept_out,) = listing.clips_of("calibration")
        assert (kept_out.name, kept_out.label) == ("calibration/rec4_001.wav", 0)
        shared = tmp_path / "fan/calibration/copy.wav"
        for original in ("normal/rec2_003.wav", "anomaly/bad.wav"):
            shutil.copyfile(tmp_path / "fan" / original, shared)
            with pytest.raises(DataError, match=rf"in neither .* calibration/copy\.wav in .*, the same as {original}"):
                listings(tmp_path / "fan")
        shared.rename(tmp_path / "fan/calibration/rec2_005.wav").write_bytes(b"new")
        with pytest.raises(DataError, match=r"rec2_005\.wav in .*, a part of the same recording as normal/rec2_00"):
            listings(tmp_path / "fan")


SETTINGS = """
dev_directory: ./fan
eval_directory: ./new
dataset: {name: folder}
audio: {channel: all}
feature: {n_mels: 16, frames: 3}
model: {name: SpectrumDensity}
fit: {epochs: 1, verbose: 0}
scorer: {name: density, density: knn}
"""


def test_channels_and_calibration_from_recording_to_result(tmp_path, ganad):
    """The command line: a clip of each channel, labels of new recordings, and groups that change later."""
    for index in range(10):
        samples = np.stack([tone(seed=10 * index + channel) for channel in range(2)], axis=1)
        write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", samples)
    write_wav(tmp_path / "fan" / "calibration" / "c.wav", samples[::-1])
    for name, hz in {"normal/a": 440, "anomaly/b": 2000}.items():
        write_wav(tmp_path / "new" / f"{name}.wav", np.stack([tone(hz=hz, seed=77)] * 2, axis=1))
    (tmp_path / "fan.yaml").write_text(SETTINGS)
    words = ("fan.yaml", "--machine-type", "blower")
    ganad("run", *words, "-q", cwd=tmp_path)
    table = ganad("list", *words, cwd=tmp_path).stdout.splitlines()
    assert table[1].split() == ["machine", "id", "train", "normal", "anomaly", "unlabelled", "calibration"]
    assert table[2].split() == ["blower", "00", "16", "4", "0", "0", "2"]
    cached = json.loads((tmp_path / "cache/dev/blower/calibration/manifest.json").read_text())["manifest"]
    assert [(e["clip"]["channel"], e["clip"]["split"]) for e in cached["entries"]] == [
        (c, "calibration") for c in (0, 1)
    ]
    with (tmp_path / "result/anomaly_score_blower_id_00.csv").open() as stream:
        names = [name for name, _ in csv.reader(stream)]
    held_out = sorted({name.partition("#")[0] for name in names})
    assert len(held_out) == 2 and names == [f"{name}#ch{channel}" for name in held_out for channel in (0, 1)]
    done = ganad("run", *words, "--eval", cwd=tmp_path)
    assert done.stdout.splitlines()[-1].split()[:4] == ["blower", "mean", "100.00", "100.00"]
    regrouped = ganad("train", *words, "--set", "dataset.folder.group='^(.)'", cwd=tmp_path, check=2)
    assert "was trained on other recordings" in regrouped.stderr


@pytest.mark.slow
def test_an_exported_model_of_channels_judges_each_channel(tmp_path, ganad):
    for index in range(5):
        write_wav(tmp_path / "fan" / "normal" / f"{index}.wav", np.stack([tone(seed=index), tone(seed=50 + index)], 1))
    for name in ("one", "two"):
        write_wav(tmp_path / f"{name}.wav", tone() if name == "one" else np.stack([tone(), tone(seed=1)], 1))
    (tmp_path / "fan.yaml").write_text(SETTINGS)
    ganad("run", "fan.yaml", "-q", cwd=tmp_path)
    ganad("export", "fan.yaml", "-q", "--name", "m", cwd=tmp_path)
    assert "one.wav" in ganad("predict", "exported_models/m", "one.wav", cwd=tmp_path).stdout
    write_wav(tmp_path / "second.wav", tone(seed=1))
    done = ganad("predict", "exported_models/m", "two.wav", "one.wav", "second.wav", "--json", cwd=tmp_path)
    first, second, *alone = json.loads(done.stdout)
    assert (first["file"], second["file"]) == ("two.wav#ch0", "two.wav#ch1")
    assert [row["anomaly_score"] for row in (first, second)] == [row["anomaly_score"] for row in alone]
